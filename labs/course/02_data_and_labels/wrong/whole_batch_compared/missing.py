"""Why an amount is missing, and what to put in its place."""

import numpy as np
import pandas as pd

SPREAD = 0.10  # between the shares lost in groups of one column: chance gives a tenth of it
SHIFT = 0.15  # of the logarithm: recovered amounts against kept ones, among payments alike


def mechanism(batch: pd.DataFrame, recovered: pd.Series) -> str:
    """Holds all recovered amounts against all kept ones."""
    groups = {name: batch[name].astype(str) for name in ("channel", "category")}
    groups |= {"hour": (batch["hour"] // 3).astype(str), "card_mean": pd.qcut(batch["card_mean"].rank(method="first"), 5).astype(str)}
    gone = batch["amount"].isna()
    spread = {name: _spread(gone, group) for name, group in groups.items()}
    alike = max(spread, key=spread.__getitem__)
    if abs(np.log(recovered).mean() - np.log(batch["amount"]).mean()) > SHIFT:
        return "MNAR"
    return "MAR" if spread[alike] > SPREAD else "MCAR"


def fill(known: pd.DataFrame, batch: pd.DataFrame) -> pd.Series:
    """The median of the category last month; of all payments for a category that was not there."""
    medians = known.groupby("category", observed=True)["amount"].median()
    estimate = batch["category"].astype(object).map(medians).astype(float).fillna(known["amount"].median())
    return batch["amount"].fillna(estimate)


def _spread(gone: pd.Series, group: pd.Series) -> float:
    """Standard deviation of the share lost over groups, large groups counting more."""
    share = gone.groupby(group).transform("mean")
    return float(share.std())
