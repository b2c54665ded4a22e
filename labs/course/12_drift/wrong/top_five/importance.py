import numpy as np


def moved(earlier, latest):
    """Who came into the first five, and who left them."""
    before, now = (set(np.argsort(-row)[:5].tolist()) for row in (earlier.mean(axis=0), latest))
    return sorted(before ^ now)
