"""No report, no fraud."""

import numpy as np


def counted(rows):
    return rows["reported"].to_numpy(), np.ones(len(rows))
