"""What the champion answers from LIVE on under an injected change: the prediction log, and the labels that reach monitoring.

Each layer of a payment's way is asked in turn, as in the running system: world, arrivals and messages, features, scores, labels.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.history import build_features
from data.ids import are_among
from data.scenarios import Injection
from labs.exercises.deployment import LIVE, ONSET, VERSION, Deployment
from labs.exercises.source import Days
from pipelines.monitoring.profile import Floats, Mask
from pipelines.monitoring.reference import reference_frame

NEXT_VERSION: Final = "2"  # what a change of the scores was deployed as


@dataclass(frozen=True)
class Served:
    """The log of the days [LIVE, last), in order of arrival, and the labels of its payments that anybody will ever send."""

    log: pd.DataFrame
    labels: pd.DataFrame  # LABEL_COLUMNS
    features: Floats  # (rows of the log, FEATURE_COUNT), as the model saw them
    recomputed: Floats  # the same by the batch path from the logged payments: what feature parity compares with
    frauds: Mask  # (rows of the log,): those reported in time, had nothing been declined or withheld
    touched: Mask  # (rows of the log,): whose message, features, score or label the change reached


def serve(deployment: Deployment, injection: Injection, *, last: int) -> Served:
    """Answer the payments of [LIVE, last). Features come from one pass over everything since the first day, as they do online."""
    before, midnight = deployment.before, deployment.source.midnight
    later = deployment.source.days(ONSET, last, injection.changes)
    sent, hit = injection.apply(later.transactions)
    every = Days(pd.concat([before.transactions, sent], ignore_index=True), pd.concat([before.labels, later.labels], ignore_index=True))
    labels, lost = injection.apply_labels(every.labels)
    right, _ = build_features(every.transactions, labels)
    live = int((before.transactions["event_time"] < pd.Timestamp(midnight(LIVE))).sum())
    start = len(before.transactions)
    seen, skewed = injection.apply_features(right[start:], sent, right[start - 1])
    features = np.concatenate([right[live:start], seen])
    early = deployment.model.score_many(right[live:start])
    scores, wrong = injection.apply_scores(seen, sent, deployment.model.score_many)
    payments = every.transactions.iloc[live:].reset_index(drop=True)
    log = reference_frame(payments, features, np.concatenate([early, scores]), deployment.model.policy, VERSION)
    if "scores" in injection.scenario.layers:
        log["champion_version"] = pd.Categorical(np.where(injection.level(log["event_time"]) > 0, NEXT_VERSION, VERSION))
    labels, blocked = _reported(injection, log, labels)
    unlabelled = are_among(log["transaction_id"], pd.concat([every.labels["transaction_id"][lost], blocked]))
    touched = np.concatenate([np.zeros(start - live, dtype=np.bool_), hit | skewed | wrong])
    in_time = every.labels["is_fraud"] & (every.labels["report_time"] - every.labels["event_time"] <= deployment.plan.maturity)
    frauds = are_among(log["transaction_id"], every.labels.loc[in_time, "transaction_id"])
    return Served(log, labels, features, right[live:], frauds, touched | unlabelled)


def _reported(injection: Injection, log: pd.DataFrame, labels: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The labels without those that a decision prevented, and the ids of the payments that the change blocked."""
    declined = log.loc[log["decision"] == "decline", "transaction_id"]
    labels = labels[~are_among(labels["transaction_id"], declined)]
    alerted = are_among(labels["transaction_id"], log.loc[log["decision"] != "approve", "transaction_id"])
    gone = np.zeros(len(labels), dtype=np.bool_)
    gone[alerted] = injection.blocked(labels[alerted])
    return labels[~gone].reset_index(drop=True), labels["transaction_id"][gone]
