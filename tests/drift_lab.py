"""A champion at work on a source of payments, for tests and benches of monitoring: trained, put to work, then drifted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data.costs import DecisionCosts, Policy, decline_threshold
from data.dataset import Dataset, to_frame
from data.history import History, build_features
from data.scenarios import scenario
from data.world import Change, World, WorldConfig
from pipelines.monitor import WindowResult, watch
from pipelines.parameters import LightGBMParameters
from pipelines.reference import Reference, WatchPlan, freeze_reference, reference_frame

Frames = tuple[pd.DataFrame, pd.DataFrame]  # transactions or prediction log, labels
PLAN = WatchPlan()
TRAINED, SERVED, DRIFT = 30, 51, 58  # days: the model learns before TRAINED; the reference is the 14 days before SERVED
END = 86
PARAMETERS = replace(LightGBMParameters(), rounds=200)  # no early stopping: no rows to spare for it


@dataclass(frozen=True)
class PaymentSource:
    """Where payments come from: the first day, and the rows of days [first, last) under the world's changes."""

    start: date
    days: Callable[[int, int, tuple[Change, ...]], Frames]

    def midnight(self, day: int) -> datetime:
        return datetime.combine(self.start + timedelta(days=day), time(), UTC)


def world_source(config: WorldConfig) -> PaymentSource:
    """The synthetic world."""

    def days(first: int, last: int, changes: tuple[Change, ...]) -> Frames:
        world = World(replace(config, changes=changes))
        tables = [world.day(config.start + timedelta(days=k)) for k in range(first, last)]
        transactions = pa.concat_tables([t["transactions"] for t in tables])
        return to_frame(transactions, "transactions"), to_frame(pa.concat_tables([t["labels"] for t in tables]), "labels")

    return PaymentSource(config.start, days)


def recorded_source(dataset: Dataset) -> PaymentSource:
    """Recorded payments, which no change of the world reaches."""
    start = dataset.days()[0]

    def days(first: int, last: int, changes: tuple[Change, ...]) -> Frames:
        span = (start + timedelta(days=first), start + timedelta(days=last))
        return dataset.read("transactions", *span), dataset.read("labels", *span)

    return PaymentSource(start, days)


def fit(features: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The lab's LightGBM; its probabilities need no calibration where no class was weighted."""
    import lightgbm

    chosen = PARAMETERS.to_lightgbm(seed=7)
    model = lightgbm.train(chosen, lightgbm.Dataset(features, y, params=chosen), PARAMETERS.rounds)
    return lambda rows: np.asarray(model.predict(rows))


def known(transactions: pd.DataFrame, labels: pd.DataFrame, by: datetime) -> np.ndarray:
    """Which payments were known as frauds by then."""
    reported = labels[labels["is_fraud"] & (labels["report_time"] <= pd.Timestamp(by))]
    return transactions["transaction_id"].isin(reported["transaction_id"]).to_numpy()


@dataclass(frozen=True)
class DriftLab:
    """A champion that has just been put to work."""

    source: PaymentSource
    score: Callable[[np.ndarray], np.ndarray]
    policy: Policy
    reference: Reference
    history: Path
    labels: pd.DataFrame

    def serve(self, name: str, *, last: int = END, strength: float | None = None) -> Frames:
        """The prediction log and the labels from SERVED on, with that drift injected at DRIFT."""
        injection = scenario(name).inject(self.source.midnight(DRIFT).date(), seed=7, strength=strength)
        transactions, labels = self.source.days(SERVED, last, injection.changes)
        transactions, _ = injection.apply(transactions)
        pending = self.labels[self.labels["report_time"] > pd.Timestamp(self.source.midnight(SERVED))]
        features, _ = build_features(transactions, pd.concat([pending, labels], ignore_index=True), History.load(self.history))
        log = reference_frame(transactions, features, self.score(features), self.policy, "1")
        return log, labels[~labels["transaction_id"].isin(log["transaction_id"][log["decision"] == "decline"])]

    def watch(self, served: Frames, day: int) -> WindowResult:
        return watch(served[0], self.reference, served[1], now=self.source.midnight(day), plan=PLAN)


def build_lab(source: PaymentSource, folder: Path) -> DriftLab:
    """Train, choose a threshold that alerts on one payment in a hundred, and freeze the reference."""
    transactions, labels = source.days(0, SERVED, ())
    features, history = build_features(transactions, labels)
    history.save(folder / "snapshot")
    early = (transactions["event_time"] < pd.Timestamp(source.midnight(TRAINED))).to_numpy()
    score = fit(features[early], known(transactions, labels, source.midnight(TRAINED + 7))[early])
    scores = score(features)
    policy = Policy(float(np.quantile(scores[~early], 0.99)), decline_threshold(DecisionCosts()))
    late = (transactions["event_time"] >= pd.Timestamp(source.midnight(SERVED - 14))).to_numpy()
    frame = reference_frame(transactions[late].reset_index(drop=True), features[late], scores[late], policy, "1")
    return DriftLab(source, score, policy, freeze_reference(frame, labels, PLAN), folder / "snapshot", labels)
