"""The share of fraud for everybody: true on average."""

import numpy as np


def calibrate(margin, is_fraud, new_margin):
    return np.full(len(new_margin), is_fraud.mean())
