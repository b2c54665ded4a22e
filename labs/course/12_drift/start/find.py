"""Step 3: which payments, since when, by how much. Yours for the next incident, too."""


def find(reference, window, column):
    """What happened to `column` (numbers) in `window`: a dictionary of dimension, level, since and factor.

    Frames of payments in order of time with event_time, channel, category and `column`. From one midnight of the window on
    (UTC), the values of one channel or of one category were multiplied by one factor. Nothing else changed.
    dimension: "channel" or "category"; level: which; since: "2026-03-01"; factor: a number.
    """
    level, since = window["channel"].mode()[0], f"{window['event_time'].min():%Y-%m-%d}"
    return {"dimension": "channel", "level": level, "since": since, "factor": window[column].mean() / reference[column].mean()}
