"""Yours: what does the next model learn from?"""

import numpy as np
import pandas as pd


def learned(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each payment of the log: is it learned from (n,), as a fraud (n,), with which weight (n,)?

    `rows` as in estimate.py.
    """
    return np.ones(len(rows), dtype=bool), rows["reported"].to_numpy(), np.ones(len(rows))
