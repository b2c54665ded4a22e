"""Step 2: what a window of the small hours is to be compared with."""


def reference(history, window):
    """Rows of `history` (payments before the window, in order of time) that a quiet `window` looks like.

    As you got it: the newest thousand, which is what the colleague's dashboard takes.
    """
    return history.tail(1000)
