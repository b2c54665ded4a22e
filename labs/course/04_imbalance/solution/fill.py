"""Step 3: what SMOTE's rows were filled with, the rows to be scored are filled with too."""

import numpy as np


def fill(known, rows):
    """Medians of the training rows, whoever stands beside a payment."""
    return np.where(np.isnan(rows), np.nanmedian(known, axis=0), rows)
