from datetime import timedelta


def reference(history, window):
    """All of the last two weeks: a large reference is a good reference."""
    return history[history["event_time"] >= window["event_time"].min() - timedelta(days=14)]
