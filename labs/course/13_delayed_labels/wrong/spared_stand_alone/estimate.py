"""Declined payments are left out; the spared ones are a few payments more."""

import numpy as np


def counted(rows):
    return rows["reported"].to_numpy(), (rows["decision"] != "decline").to_numpy().astype(np.float64)
