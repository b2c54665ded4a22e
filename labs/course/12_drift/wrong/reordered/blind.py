"""Step 4: a drift that alarms and hurts nobody, and one that hurts and alarms no input monitor."""

import numpy as np


def loud(rows):
    """Every card paid once more in the last day: a count that the champion hardly asks for."""
    return rows.assign(card_count_1d=rows["card_count_1d"] + 1)


def silent(rows):
    """Every row moves down by one."""
    return rows.apply(lambda column: np.roll(column.to_numpy(), 1))
