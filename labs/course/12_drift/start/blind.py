"""Step 4: a drift that alarms and hurts nobody, and one that hurts and alarms no input monitor.

`rows`: payments as the model sees them, a frame with a column for each feature (`data/features.py`; channel and category as codes), in
order of arrival. Return a frame of the same payments, in the same order, with other values. numpy and pandas are at hand.
"""


def loud(rows):
    """monitor.py alarms, and the champion is as good as before."""
    return rows


def silent(rows):
    """No input monitor sees a thing: every column holds what it always held. Of the champion's average precision at most half is left."""
    raise NotImplementedError("Write `silent` in blind.py.")
