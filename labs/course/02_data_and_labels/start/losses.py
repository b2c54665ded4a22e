"""Given: three ways to lose amounts, and what that does to the frauds found. `try_missing.py` and the checks use it."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rows import FIELDS, Floats, Model, payments

from data.features import FEATURE_INDEX
from pipelines.metrics import recall_at_capacity

KINDS = ("MCAR", "MAR", "MNAR")
CAPACITY = 10.0  # alerts per thousand payments
_DEAR = ("travel", "hotel", "electronics", "jewellery", "home")
FROM_AMOUNT = [name for name in FEATURE_INDEX if name.startswith("amount_to")]  # lost with the amount: this model does without them


class Served(NamedTuple):
    """Two weeks of payments, complete, and the month before them."""

    known: pd.DataFrame
    batch: pd.DataFrame
    is_fraud: NDArray[np.bool_]
    model: "Scorer"


class Scorer:
    """A model that was trained on complete rows; answers the batch with other amounts in it."""

    def __init__(self, features: Floats, teach: NDArray[np.bool_], judge: NDArray[np.bool_], known: NDArray[np.bool_]) -> None:
        without = features.copy()
        without[:, [FEATURE_INDEX[name] for name in FROM_AMOUNT]] = np.nan
        self._model = Model(without, FIELDS).learn(teach, known)
        self._judge = judge
        self._served = without

    def scores(self, amounts: "pd.Series[Any]") -> Floats:
        self._served[self._judge, FEATURE_INDEX["amount"]] = amounts.to_numpy()
        return self._model.scores(self._judge)


def served(features: Floats) -> Served:
    """The two weeks after history, and history's last month."""
    rows, _, today = everything = payments()
    began = pd.Timestamp(today)
    month = ((rows["event_time"] < began) & (rows["event_time"] >= began - pd.Timedelta(days=30))).to_numpy()
    known = (rows["is_fraud"] & (rows["report_time"] <= began)).to_numpy()
    scorer = Scorer(features, ~everything.later, everything.later, known)
    fraud = rows["is_fraud"].to_numpy()[everything.later]
    return Served(_frame(rows, features, month), _frame(rows, features, everything.later), fraud, scorer)


def lost(batch: pd.DataFrame, kind: str, seed: int) -> NDArray[np.bool_]:
    """Which amounts of the batch are lost (n,)."""
    random = np.random.default_rng(seed)
    chance: Any = 0.3
    if kind == "MAR":  # one gateway loses most of what passes it
        chance = np.where(batch["channel"] == "online", 0.75, 0.05)
        if seed % 3 == 0:
            chance = np.where(batch["hour"] < 10, 0.75, 0.10)
        elif seed % 3 == 1:
            chance = np.where(batch["category"].isin(_DEAR), 0.75, 0.10)
    elif kind == "MNAR":  # a field too short for large amounts
        chance = np.where(batch["amount"] > batch["amount"].quantile(0.8), 0.75, 0.10)
    return random.random(len(batch)) < chance


def recovered(batch: pd.DataFrame, gone: NDArray[np.bool_], seed: int) -> "pd.Series[float]":
    """A random half of the lost amounts, as their senders gave them again."""
    return batch.loc[gone & (np.random.default_rng(seed + 1).random(len(batch)) < 0.5), "amount"]


def found(at: Served, scores: Floats) -> float:
    """Share of all frauds among the alerts that the reviewers have time for."""
    return recall_at_capacity(at.is_fraud, scores, CAPACITY)


def _frame(rows: pd.DataFrame, features: Floats, chosen: NDArray[np.bool_]) -> pd.DataFrame:
    frame = (
        rows.loc[chosen, ["channel", "category"]]
        .astype("category")
        .assign(
            hour=features[chosen, FEATURE_INDEX["hour"]],
            card_mean=features[chosen, FEATURE_INDEX["card_mean_30d"]],
            amount=features[chosen, FEATURE_INDEX["amount"]],
        )
    )
    return frame.reset_index(drop=True)
