"""Tests of the labels themselves: do they still come, and are they as young as they used to be? Called by `portfolio`.

Nothing may be concluded from labels that stopped: a model whose frauds go unreported looks perfect.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from data.ids import are_among
from pipelines.monitoring.column_tests import rate_p_value
from pipelines.monitoring.detectors import Detection
from pipelines.monitoring.profile import DAY_MS, Floats, milliseconds

OLD: Final = 0.75  # quantile of the reference's delays beyond which a label counts as old
MINIMUM_OLD_RISE: Final = 0.2  # of the labels that came


@dataclass(frozen=True)
class Delays:
    """How labels came in the reference: the delay of each report of a fraud, and how many reports a payment leads to."""

    days: Floats  # sorted, from payment to report
    per_payment: float
    effect: float  # how much more their number varies from day to day than independent reports would

    @classmethod
    def of(cls, frame: pd.DataFrame, labels: pd.DataFrame, *, effect: float) -> "Delays":
        """Of the frauds among the reference's payments; `effect` is that of frauds known by day."""
        mine = _of(frame, labels)
        return cls(np.sort(_delays(mine)), len(mine) / max(len(frame), 1), effect)

    def reported(self, age_days: Floats) -> Floats:
        """The share of its reports that a payment of each age has had, (n,)."""
        share: Floats = np.searchsorted(self.days, age_days, side="right") / max(len(self.days), 1)
        return share


def age_detection(frame: pd.DataFrame, labels: pd.DataFrame, delays: Delays, *, start: datetime, now: datetime, level: float) -> Detection:
    """Whether labels stay away for longer, or come older, than the reference's delays explain.

    `frame`: all payments served; `labels`: those known by `now`, of which only those of these payments count. Silence is
    judged by how many reports these very payments should have led to since the last one (a Poisson count); age by the share
    of the window's reports that are older than three quarters of the reference's, which a log that has just begun can only
    make smaller.
    """
    known = _of(frame, labels)
    silence, waited = _silence(frame, known, delays, now)
    came = _delays(known[known["report_time"] > pd.Timestamp(start)])
    limit = float(np.quantile(delays.days, OLD)) if len(delays.days) else 0.0
    old = float((came > limit).sum())
    older = rate_p_value(old, len(came), (1 - OLD) * len(delays.days), len(delays.days)) if len(came) and len(delays.days) else 1.0
    rise = old / len(came) - (1 - OLD) if len(came) else 0.0
    if rise < MINIMUM_OLD_RISE:
        older = 1.0
    p = min(1.0, 2 * min(silence, older))
    effect = waited if silence <= older else rise
    return Detection("label_age", p < level, p, column="report_time", effect=effect)


def _silence(frame: pd.DataFrame, known: pd.DataFrame, delays: Delays, now: datetime) -> tuple[float, float]:
    """The chance that no report came since the last one, and how many days that is."""
    last = known["report_time"].max() if len(known) else frame["event_time"].min()
    time = milliseconds(frame["event_time"])
    ages = [(round(moment.timestamp() * 1000) - time) / DAY_MS for moment in (last.to_pydatetime(), now)]
    due = [float(delays.reported(age[age > 0]).sum()) for age in ages]
    expected = delays.per_payment * (due[1] - due[0])
    return float(np.exp(-expected / delays.effect)), max((now - last.to_pydatetime()) / timedelta(days=1), 0.0)


def _of(frame: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The frauds among these payments."""
    frauds = labels[labels["is_fraud"]]
    return frauds[are_among(frauds["transaction_id"], frame["transaction_id"])]


def _delays(labels: pd.DataFrame) -> Floats:
    """Days from payment to report, (n,)."""
    return np.asarray((milliseconds(labels["report_time"]) - milliseconds(labels["event_time"])) / DAY_MS, dtype=np.float64)
