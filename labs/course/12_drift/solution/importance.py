"""Step 5: which importances moved, and which only were retrained?"""

import numpy as np
from scipy.stats import t


def moved(earlier, latest):
    """Beyond the prediction interval of one more retraining, at 1 % for all features together."""
    n, usual = len(earlier), earlier.mean(axis=0)
    watched = usual >= 0.02
    error = earlier.std(axis=0, ddof=1) * np.sqrt(1 + 1 / n)
    far = np.abs(latest - usual) > t.isf(0.01 / (2 * watched.sum()), n - 1) * error
    return [int(place) for place in np.flatnonzero(watched & far)]
