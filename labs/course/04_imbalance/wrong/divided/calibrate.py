"""Divides so that the sum fits."""

import numpy as np


def calibrate(margin, is_fraud, new_margin):
    promised = (1 / (1 + np.exp(-margin))).mean()
    return 1 / (1 + np.exp(-new_margin)) * is_fraud.mean() / promised
