"""How hard is a world? Rules, logistic regression and LightGBM on the same rows, and the best anybody could do.

Trained as one would: on labels reported by the day of training. For `tests/bench/world.py` and the test of the bands.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data.dataset import to_frame
from data.features import CATEGORICAL_FEATURES, FEATURE_INDEX
from data.history import build_features
from data.rules import rules_score
from data.world import World, WorldConfig

WARM_UP_DAYS = 7  # the history is too short to learn from
DELAY_DAYS = 7
TEST_DAYS = 14
PER_THOUSAND = 10
_CATEGORICAL = [FEATURE_INDEX[name] for name in CATEGORICAL_FEATURES]
_LIGHTGBM = {
    "objective": "binary", "learning_rate": 0.08, "num_leaves": 15, "min_child_samples": 50, "min_child_weight": 1.0, "lambda_l2": 10.0,
    "feature_fraction": 0.6, "bagging_fraction": 0.8, "bagging_freq": 1, "num_threads": 1, "verbosity": -1,
}  # fmt: skip

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """Rows of one world for training (labels known by then) and for testing (the truth)."""

    train: Floats
    known: NDArray[np.bool_]  # frauds reported when the model was trained
    test: Floats
    truth: NDArray[np.bool_]
    kind: NDArray[np.object_]
    in_campaign: NDArray[np.bool_]  # includes the honest payments at which cards were copied


def drawn(config: WorldConfig, days: int) -> dict[str, pd.DataFrame]:
    """The first days of a world as frames."""
    world = World(config)
    tables = [world.day(config.start + timedelta(n)) for n in range(days)]
    return {kind: to_frame(pa.concat_tables([day[kind] for day in tables]), kind) for kind in tables[0]}


def split(frames: dict[str, pd.DataFrame], start: date) -> Split:
    """The last TEST_DAYS are the test; the DELAY_DAYS before them are left out while labels ripen."""
    transactions, labels, truth = frames["transactions"], frames["labels"], frames["truth"]
    features, _ = build_features(transactions, labels)
    opening = pd.Timestamp(start, tz="UTC")
    day = (transactions["event_time"] - opening).dt.days.to_numpy()
    first_test = day.max() + 1 - TEST_DAYS
    reported = labels[labels["is_fraud"] & (labels["report_time"] <= opening + pd.Timedelta(days=int(first_test)))]
    known = transactions["transaction_id"].isin(reported["transaction_id"]).to_numpy()
    train = (day >= WARM_UP_DAYS) & (day < first_test - DELAY_DAYS)
    test = day >= first_test
    return Split(
        features[train], known[train], features[test], truth["is_fraud"].to_numpy()[test],
        truth["campaign_kind"].astype("object").to_numpy()[test], truth["campaign_id"].notna().to_numpy()[test],
    )  # fmt: skip


def scores(data: Split, seeds: tuple[int, ...] = (1,)) -> dict[str, Floats]:
    """Test scores of each contender; LightGBM once per seed."""
    contenders = {"rules": rules_score(data.test), "logistic regression": logistic(data)}
    return contenders | {f"LightGBM, seed {seed}": lightgbm(data, seed) for seed in seeds}


def lightgbm(data: Split, seed: int, rounds: int = 130) -> Floats:
    """A careful small LightGBM."""
    rows = lgb.Dataset(data.train, data.known, categorical_feature=_CATEGORICAL)
    return lgb.train({**_LIGHTGBM, "seed": seed}, rows, rounds).predict(data.test)


def logistic(data: Split) -> Floats:
    """Logistic regression on signed logarithms, flags of missing history and one column per level."""
    gaps = np.isnan(data.train).any(axis=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    model.fit(_linear(data.train, gaps), data.known)
    return model.predict_proba(_linear(data.test, gaps))[:, 1]


def _linear(features: Floats, gaps: NDArray[np.bool_]) -> Floats:
    missing = np.isnan(features)
    filled = np.where(missing, 0.0, features)
    levels = [np.eye(20)[filled[:, column].astype(int)] for column in _CATEGORICAL]
    numbers = np.delete(filled, _CATEGORICAL, axis=1)
    return np.hstack([np.sign(numbers) * np.log1p(np.abs(numbers)), missing[:, gaps], *levels])


def average_precision(data: Split, score: Floats) -> float:
    """Against the truth, not the labels."""
    return float(average_precision_score(data.truth, score))


def ceiling(data: Split) -> float:
    """AP of knowing each payment's campaign: below 1, since honest payments at a copying till belong to one too."""
    return float(average_precision_score(data.truth, data.in_campaign))


def recall_at_capacity(data: Split, score: Floats) -> float:
    """Share of frauds among the PER_THOUSAND highest scores of each thousand payments."""
    alerts = np.argsort(-score)[: len(score) * PER_THOUSAND // 1000]
    return float(data.truth[alerts].sum() / data.truth.sum())
