"""What the model declined must have been fraud."""

import numpy as np


def learned(rows):
    return np.ones(len(rows), dtype=bool), (rows["reported"] | (rows["decision"] == "decline")).to_numpy(), np.ones(len(rows))
