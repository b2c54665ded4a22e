"""Where the share fell most, seen from the end."""

import numpy as np


def hear(caught, usual):
    below = np.cumsum(usual - np.array(caught, dtype=float))
    drop = below - np.minimum.accumulate(below)
    if len(caught) == 0 or drop.max() < 17:
        return None
    return int(np.argmin(below[: int(np.argmax(drop)) + 1]))
