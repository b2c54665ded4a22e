"""Given: the payments of the study, and a model that is quick to fit. The other given files and the checks use it.

History is the 60 days on disk; `later` are the two weeks that came after it. Beside the features of `data/features.py` a payment has
the fields of the warehouse's export, with `<field>_at` for each: when its value was written, and the notebook's own `shop_share`.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import union_categoricals

from data.features import FEATURES
from data.history import build_features
from data.settings import Settings
from labs.stream import Stream, midnight, open_stream
from pipelines.metrics import average_precision
from pipelines.training.parameters import LightGBMParameters

WAREHOUSE = ("account_age_band", "merchant_rating", "support_contacts")
FIELDS = (*WAREHOUSE, "shop_share")
KNOWN_OF_ROWS = ["event_time", "is_fraud", "report_time"]  # what split.py is given of them
NEVER = pd.Timestamp("2100-01-01", tz="UTC")
LATER_DAYS = 14
_QUICK = LightGBMParameters(rounds=60, learning_rate=0.1, max_bin=255)
_GENUINE = 20_000  # as many genuine rows teach this model nearly what 250,000 would
_PRIOR = 10.0  # payments that pull a quiet shop's share towards zero

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Payments(NamedTuple):
    """History and the two weeks after it, in order of arrival."""

    rows: pd.DataFrame  # TRANSACTION_COLUMNS, is_fraud, report_time (NEVER: no fraud report), WAREHOUSE and their `_at`
    labels: pd.DataFrame  # LABEL_COLUMNS: everything that was ever reported about them
    today: datetime  # the end of history

    @property
    def later(self) -> Flags:
        """Which rows came after today."""
        return (self.rows["event_time"] >= pd.Timestamp(self.today)).to_numpy()


_source: list[Stream] = []


def take_from(stream: Stream) -> None:
    """Read the payments of this stream, and not of the one that the settings name. For the checks."""
    _source[:] = [stream]


@cache
def payments() -> Payments:
    """History from disk, and the two weeks after it from where the live payments come from."""
    stream = _source[0] if _source else open_stream(Settings.load(), None, 0)
    days = [stream.day(stream.live + timedelta(days=n)) for n in range(LATER_DAYS)]
    rows = _stacked([stream.dataset.read("transactions", stream.first, stream.live), *(day.transactions for day in days)])
    labels = _stacked([stream.dataset.read("labels", stream.first, stream.live), *(day.labels for day in days)])
    frauds = labels[labels["is_fraud"]].groupby("transaction_id")["report_time"].min()
    rows["report_time"] = rows["transaction_id"].map(frauds).fillna(NEVER)
    rows["is_fraud"] = rows["report_time"] < NEVER
    return Payments(_with_warehouse(rows), labels, midnight(stream.live))


class Model:
    """LightGBM on the features and some of FIELDS. `counts_from` (a label each): from when labels count in the features."""

    def __init__(self, features: Floats, left_out: Collection[str] = ()) -> None:
        self.features = features
        self.fields = [name for name in FIELDS if name not in left_out]
        self.names = [*FEATURES, *self.fields]

    def learn(self, teach: Flags, known: Flags, seed: int = 7) -> "Model":
        """Fit it on the rows `teach` with the labels `known`: every fraud, and few genuine rows that stand for the others."""
        import lightgbm

        genuine = int((teach & ~known).sum())
        thin = known | (np.random.default_rng([seed, 1]).random(len(teach)) < _GENUINE / genuine)
        self._shop_share = _shop_share(teach, known)
        y = known[teach & thin]
        weights = np.where(y, 1.0, genuine / (~y).sum())
        settings = _QUICK.to_lightgbm(seed=seed, threads=1)
        data = lightgbm.Dataset(self._values(teach & thin), y, weight=weights, feature_name=self.names, params=settings)
        self._trees = lightgbm.train(settings, data, num_boost_round=_QUICK.rounds)
        return self

    def scores(self, judge: Flags, *, served: Floats | None = None) -> Floats:
        """Its answers on the rows `judge`. `served`: the features of a live service, and fields as they stood at the payment."""
        return np.asarray(self._trees.predict(self._values(judge, served)))

    def gains(self) -> list[tuple[str, float]]:
        """Each column's share of the gain of all splits, the largest first."""
        gain = self._trees.feature_importance("gain")
        return sorted(zip(self.names, gain / gain.sum(), strict=True), key=lambda pair: -pair[1])

    def _values(self, chosen: Flags, served: Floats | None = None) -> Floats:
        rows = payments().rows
        columns = {name: rows[name].to_numpy(dtype=np.float64) for name in WAREHOUSE} | {"shop_share": self._shop_share}
        if served is not None:  # nobody had called about the payment yet; a shop's rating was the same the night before
            columns["support_contacts"] = np.where(late(rows, "support_contacts"), 0.0, columns["support_contacts"])
        features = self.features if served is None else served
        return np.column_stack([features[chosen], *(columns[name][chosen] for name in self.fields)])


def features_of(labels: pd.DataFrame) -> Floats:
    """The features of all rows (n, 52); each fraud counts from its `report_time` in `labels`."""
    return build_features(payments().rows, labels)[0]


def reached(scores: Floats, judge: Flags) -> float:
    """Average precision on the rows `judge`, by everything that was ever reported of them."""
    return average_precision(payments().rows["is_fraud"].to_numpy()[judge], scores)


def random_instead(features: Floats, left_out: Collection[str], judge: Flags) -> float:
    """What a random split would promise for the rows `judge`: each half of history answered by a model of the other half."""
    rows, _, _ = everything = payments()
    fraud, half = rows["is_fraud"].to_numpy(), np.random.default_rng(7).random(len(rows)) < 0.5
    scores = np.zeros(len(rows))
    for one in (half, ~half):
        asked = judge & ~one
        scores[asked] = Model(features, left_out).learn(one & ~everything.later, fraud).scores(asked)
    return reached(scores[judge], judge)


def late(rows: pd.DataFrame, name: str) -> Flags:
    """Whether a field's value was written after the payment."""
    return (rows[f"{name}_at"] > rows["event_time"]).to_numpy()


@cache
def _shops() -> NDArray[np.int64]:
    return np.asarray(pd.factorize(payments().rows["terminal_id"])[0], dtype=np.int64)


def _shop_share(teach: Flags, known: Flags) -> Floats:
    """The share of frauds among the shop's payments that teach; each half of those is told the other half's share (target encoding)."""
    shops = _shops()
    half = np.random.default_rng(1).random(len(shops)) < 0.5

    def share(of: Flags) -> Floats:
        paid = np.bincount(shops[of], minlength=shops.max() + 1)
        return np.bincount(shops[of & known], minlength=shops.max() + 1) / (paid + _PRIOR)

    parts = [share(of)[shops] for of in (teach, teach & half, teach & ~half)]
    return np.where(~teach, parts[0], np.where(half, parts[2], parts[1]))


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    whole = {name: union_categoricals([frame[name] for frame in frames]) for name in frames[0].select_dtypes("category")}
    return pd.concat([frame.drop(columns=list(whole)) for frame in frames], ignore_index=True).assign(**whole)


def _with_warehouse(rows: pd.DataFrame) -> pd.DataFrame:
    """The fields as the warehouse exported them, long after the payments."""
    own, card, shop = (_uniform(rows[name]) for name in ("transaction_id", "card_id", "terminal_id"))
    other = own * 65_537 % 1
    paid, fraud = rows["event_time"], rows["is_fraud"].to_numpy()
    called = np.where(fraud, own < 0.8, own < 0.03)
    call = (rows["report_time"] - _seconds(other * 3600)).where(fraud, paid + _seconds((other - 0.5) * 60 * 86_400))
    return rows.assign(
        account_age_band=np.floor(card * 5),
        account_age_band_at=paid - _seconds((30 + card * 300) * 86_400),
        merchant_rating=np.round(1 + 4 * shop, 1),
        merchant_rating_at=paid.dt.floor("D") + pd.Timedelta(hours=26),
        support_contacts=called + (called & (other > 0.7)).astype(np.float64),
        support_contacts_at=call.where(called, paid - _seconds(other * 30 * 86_400)),
    )


def _seconds(number: Floats) -> Any:
    return number.astype("timedelta64[s]")


def _uniform(ids: "pd.Series[Any]") -> Floats:
    """A number in [0, 1) from each id."""
    return pd.util.hash_pandas_object(ids, index=False).to_numpy() / 2.0**64
