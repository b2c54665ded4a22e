"""Each batch is filled with its own medians."""

import numpy as np
import pandas as pd


def fill(known, rows):
    frame = pd.DataFrame(rows)
    return np.asarray(frame.fillna(frame.median()).fillna(0.0))
