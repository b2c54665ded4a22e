"""Why an amount is missing, and what to put in its place."""

import numpy as np
import pandas as pd

SPREAD = 0.10  # between the shares lost in groups of one column: chance gives a tenth of it
SHIFT = 0.15  # of the logarithm: recovered amounts against kept ones, among payments alike


def mechanism(batch: pd.DataFrame, recovered: pd.Series) -> str:
    """Compare like with like first: only what is left then can be blamed on the amount itself."""
    groups = {name: batch[name].astype(str) for name in ("channel", "category")}
    groups |= {"hour": (batch["hour"] // 3).astype(str), "card_mean": pd.qcut(batch["card_mean"].rank(method="first"), 5).astype(str)}
    gone = batch["amount"].isna()
    spread = {name: _spread(gone, group) for name, group in groups.items()}
    alike = max(spread, key=spread.__getitem__)
    if abs(_shift(batch["amount"], recovered, groups[alike])) > SHIFT:
        return "MNAR"
    return "MAR" if spread[alike] > SPREAD else "MCAR"


def fill(known: pd.DataFrame, batch: pd.DataFrame) -> pd.Series:
    """Complete cases only."""
    return batch["amount"].dropna()


def _spread(gone: pd.Series, group: pd.Series) -> float:
    """Standard deviation of the share lost over groups, large groups counting more."""
    share = gone.groupby(group).transform("mean")
    return float(share.std())


def _shift(amount: pd.Series, recovered: pd.Series, group: pd.Series) -> float:
    """How far recovered amounts lie above kept ones, group by group."""
    kept = np.log(amount).groupby(group).mean()
    return float((np.log(recovered) - group.loc[recovered.index].map(kept)).mean())
