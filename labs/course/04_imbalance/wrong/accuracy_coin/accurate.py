"""Draws alerts at the rate of fraud."""

import numpy as np


def score(features):
    return (np.random.default_rng(0).random(len(features)) < 0.0045).astype(float)
