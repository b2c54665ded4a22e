"""Yours: how good are the alerts of a shop that declines? Nobody reports a payment that never happened."""

import numpy as np
import pandas as pd


def counted(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Of each payment of the log: does it count as a fraud (n,), and for how many payments does it stand (n,)? 0 leaves it out.

    `rows`: decision ("approve", "review", "decline"); held_out (due to be declined, and let through at random); reported; score.
    """
    return rows["reported"].to_numpy(), np.where(rows["decision"] == "decline", 0.0, 1.0)
