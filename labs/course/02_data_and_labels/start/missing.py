"""Yours: why is an amount missing, and what to put in its place?

Frames have channel, category, hour (0 to 24), card_mean (EUR, the card's mean payment) and amount (EUR, NaN where it was lost).
"""

import pandas as pd


def mechanism(batch: pd.DataFrame, recovered: pd.Series) -> str:
    """One of "MCAR", "MAR", "MNAR".

    `recovered`: the true amounts of a random half of the lost ones, which their senders gave again; indexed like the batch.
    """
    raise NotImplementedError("Write `mechanism` in missing.py.")


def fill(known: pd.DataFrame, batch: pd.DataFrame) -> pd.Series:
    """The batch's amounts (indexed like it), the lost ones estimated. `known`: payments of last month, all complete."""
    raise NotImplementedError("Write `fill` in missing.py.")
