"""Step 1: a model that is right 99.5 times in a hundred and catches nothing."""

import numpy as np


def score(features):
    """A score from 0 to 1 for each row of `features` (n, features); from 0.5 on it is an alert. Answer: shape (n,)."""
    return np.zeros(len(features))
