"""Alerts only where it is nearly sure, and so catches some."""

import numpy as np

from data.rules import rules_score


def score(features):
    rules = rules_score(features)
    return np.where(rules >= np.sort(rules)[-30], 1.0, 0.0)
