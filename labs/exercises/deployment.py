"""A champion trained, given its threshold and put to work: what every exercise of one source has in common.

The calendar, in days of the source: the model learns before TRAINED; calibration and threshold come from the week after; the
reference is the two weeks before LIVE; a drift begins at ONSET, and END is the last day anybody looks.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from data.bundle import Model
from data.costs import DecisionCosts, Policy, decline_threshold
from data.forest import Forest
from data.history import build_features
from data.ids import are_among
from data.partial import partial_of
from labs.exercises.source import Days, PaymentSource
from pipelines.monitoring.profile import Floats, Mask
from pipelines.monitoring.reference import Reference, WatchPlan, freeze_reference, reference_frame
from pipelines.training.calibrate import fit_platt
from pipelines.training.parameters import LightGBMParameters

TRAINED, REFERENCE, LIVE, ONSET, END = 30, 37, 51, 58, 86
ALERTS: Final = 0.01  # share of payments above the threshold: the capacity of the fraud team
VERSION: Final = "1"  # of the champion
PARAMETERS: Final = replace(LightGBMParameters(), rounds=200)  # no early stopping: no rows to spare for it


@dataclass(frozen=True, eq=False)
class Deployment:
    """A champion that has just gone live. Compared by identity: what is made of one may be kept for it."""

    source: PaymentSource
    model: Model
    before: Days  # the days before ONSET, which no drift reaches
    reference: Reference
    plan: WatchPlan


def deploy(source: PaymentSource, home: Path) -> Deployment:
    """Train on `source` (or take the model of the same rows from `home`), choose a threshold and freeze the reference."""
    plan = WatchPlan()
    before = source.days(0, ONSET, ())
    features, _ = build_features(*before)
    time = before.transactions["event_time"]

    def span(first: int, last: int) -> Mask:
        return ((time >= pd.Timestamp(source.midnight(first))) & (time < pd.Timestamp(source.midnight(last)))).to_numpy()

    early = span(0, TRAINED)
    text = kept_model(features[early], known_frauds(*before, by=source.midnight(REFERENCE))[early], home)
    forest = Forest(text)
    week = span(TRAINED, REFERENCE)
    margins = forest.margins(features[week])
    calibration = fit_platt(margins, known_frauds(*before, by=source.midnight(LIVE))[week])
    threshold = float(np.quantile(calibration.probabilities(margins), 1 - ALERTS))
    model = Model(VERSION, forest, calibration, Policy(threshold, decline_threshold(DecisionCosts())))
    late = span(REFERENCE, LIVE)
    frame = reference_frame(
        before.transactions[late].reset_index(drop=True), features[late], model.score_many(features[late]), model.policy, VERSION
    )
    return Deployment(source, model, before, freeze_reference(frame, before.labels, plan), plan)


def known_frauds(transactions: pd.DataFrame, labels: pd.DataFrame, *, by: datetime) -> Mask:
    """Which payments were known as frauds by then, shape (n,)."""
    reported = labels[labels["is_fraud"] & (labels["report_time"] <= pd.Timestamp(by))]
    return are_among(transactions["transaction_id"], reported["transaction_id"])


def kept_model(features: Floats, is_fraud: Mask, home: Path) -> bytes:
    """LightGBM's model of these rows. Kept under the digest of all that decides it, so a change of any code makes another."""
    recipe = {**asdict(PARAMETERS), "lightgbm": version("lightgbm")}
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode() + features.tobytes() + is_fraud.tobytes()).hexdigest()
    file = home / "exercises" / f"{digest[:32]}.lgb"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_of(file)
        partial.write_text(train(features, is_fraud))
        partial.replace(file)
    return file.read_bytes()


def train(features: Floats, is_fraud: Mask) -> str:
    """LightGBM's text of a model, the lab's parameters on (n, FEATURE_COUNT) rows; one thread, hence the same on any machine."""
    import lightgbm

    chosen = PARAMETERS.to_lightgbm(seed=7)
    booster = lightgbm.train(chosen, lightgbm.Dataset(features, is_fraud.astype(np.float64), params=chosen), PARAMETERS.rounds)
    return str(booster.model_to_string())
