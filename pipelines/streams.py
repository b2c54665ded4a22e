"""The streams that e-detectors watch: what counts as one observation, and what is usual of it. Called by `portfolio`.

Frauds come in campaigns: one till, one afternoon, many alerts. Counted one by one they vary three to six times as much as
independent payments, and a detector that believes them is either deaf or cries wolf; the first of a card and of a
till on a day vary as independent ones do (measured on three worlds of 140 days: design effect 0.7 to 1.2 for 3.0 to 3.7).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pandas as pd

from pipelines.detectors import Detection, Detector
from pipelines.drift_profile import DAY_MS, HOUR_MS, Days, Floats, Integers, Mask, count_days, design_effect, milliseconds
from pipelines.performance import matured_rows
from pipelines.stream_detectors import FEWER_CAUGHT, FEWER_LABELS, MORE_ALERTS, EDetector

# Odds within this factor of the reference's are no change: fourteen days know a rate no better, and fraudsters' habits
# move alert rates by a tenth from month to month on quiet worlds.
TOLERATED_ALERTS: Final = 1.25
TOLERATED_CAUGHT: Final = 1.25
TOLERATED_LABELS: Final = 1.5
PRIOR_ROWS: Final = 200.0  # an hour's own rate is drawn to the overall one by so many payments
SURE: Final = 0.95  # how far a design effect estimated from few days is widened


@dataclass(frozen=True)
class Observations:
    """A stretch of one stream, in its order."""

    time: Integers  # (n,) ms since 1970, when each became known
    heads: Mask

    @property
    def days(self) -> Days:
        """Tails, heads, (none) by day."""
        return count_days(self.heads.astype(np.int64), self.time // DAY_MS, 3)


@dataclass(frozen=True)
class StreamRates:
    """What a reference says of the three streams."""

    alerts: Floats  # (24,) share of payments that are the first alert of their card and till that day, by hour
    alerts_effect: float
    caught: float  # share of known frauds, one per card, till and day, that were alerted
    caught_effect: float
    known: float  # share of payments that become known as frauds in time
    known_effect: float
    payments_per_day: float
    frauds_per_day: float

    @classmethod
    def of(cls, frame: pd.DataFrame, labels: pd.DataFrame, maturity_days: int) -> "StreamRates":
        """Of the reference's rows and their labels."""
        alerts, known = alert_stream(frame), known_stream(frame, labels, maturity_days)
        caught = caught_stream(frame, labels)
        hour = alerts.time // HOUR_MS % 24
        rows, heads = np.bincount(hour, minlength=24), np.bincount(hour, weights=alerts.heads, minlength=24)
        overall = alerts.heads.mean()
        days = max(len(np.unique(alerts.time // DAY_MS)), 1)
        return cls(
            (heads + PRIOR_ROWS * overall) / (rows + PRIOR_ROWS), _effect(alerts.days),
            float((caught.heads.sum() + 1) / (len(caught.heads) + 2)), _effect(caught.days),
            float(known.heads.mean()), _effect(known.days), len(frame) / days, len(caught.heads) / days,
        )  # fmt: skip


def alert_stream(frame: pd.DataFrame) -> Observations:
    """Every payment, in order of its time; heads: the first alert of its card and of its till on that day."""
    time = milliseconds(frame["event_time"])
    order = np.argsort(time, kind="stable")
    alerted = order[(frame["decision"] != "approve").to_numpy()[order]]
    first = alerted[_firsts(frame.iloc[alerted], time[alerted] // DAY_MS)]
    heads = np.zeros(len(frame), dtype=np.bool_)
    heads[first] = True
    return Observations(time[order], heads[order])


def caught_stream(frame: pd.DataFrame, labels: pd.DataFrame) -> Observations:
    """Every known fraud, in order of its report, one per card, till and day of payment; heads: it was alerted."""
    frauds = labels.loc[labels["is_fraud"], ["transaction_id", "report_time"]].drop_duplicates("transaction_id")
    rows = frame.loc[
        frame["transaction_id"].isin(frauds["transaction_id"]), ["transaction_id", "event_time", "card_id", "terminal_id", "decision"]
    ]
    known = rows.merge(frauds, on="transaction_id").sort_values(["report_time", "transaction_id"], kind="stable")
    known = known[_firsts(known, milliseconds(known["event_time"]) // DAY_MS)]
    return Observations(milliseconds(known["report_time"]), (known["decision"] != "approve").to_numpy())


def known_stream(frame: pd.DataFrame, labels: pd.DataFrame, maturity_days: int, now: datetime | None = None) -> Observations:
    """Every payment old enough by `now` (all when None), when it got so; heads: it was reported in time, or declined as a fraud."""
    maturity = pd.Timedelta(days=maturity_days)
    old = frame if now is None else frame[frame["event_time"] < pd.Timestamp(now) - maturity]
    old = old.sort_values("event_time", kind="stable")
    rows = matured_rows(old, labels, maturity.to_pytimedelta(), trusting=True)
    heads = np.zeros(len(old), dtype=np.bool_)
    heads[rows.position[(rows.y > 0) & (rows.weight > 0.5)]] = True
    return Observations(milliseconds(old["event_time"]) + maturity_days * DAY_MS, heads)


@dataclass(frozen=True)
class StreamPlan:
    """Mean windows to a false alarm, by detector, and design effects where they were measured."""

    windows: float
    window_days: float
    noise: Mapping[str, float]


def watch_streams(
    frame: pd.DataFrame, labels: pd.DataFrame, usual: StreamRates, *, start: datetime, now: datetime, maturity_days: int, plan: StreamPlan
) -> tuple[Detection, ...]:
    """The three e-detectors over all that was served since the reference; each alarmed if it did in [start, now)."""
    alerts, caught = alert_stream(frame), caught_stream(frame, labels)
    known = known_stream(frame, labels, maturity_days, now)
    payments, frauds = (plan.windows * plan.window_days * n for n in (usual.payments_per_day, usual.frauds_per_day))
    null = _odds_times(usual.alerts, TOLERATED_ALERTS)[alerts.time // HOUR_MS % 24]
    few = _odds_times(np.full(len(caught.heads), usual.caught), 1 / TOLERATED_CAUGHT)
    late = _odds_times(np.full(len(known.heads), usual.known), 1 / TOLERATED_LABELS)
    effect = plan.noise
    return (
        _detect(
            "alert_rate_stream",
            alerts,
            null,
            EDetector(MORE_ALERTS, payments, effect.get("alert_rate_stream:", usual.alerts_effect)),
            start,
        ),
        _detect(
            "caught_frauds",
            caught,
            few,
            EDetector(FEWER_CAUGHT, max(frauds, 1.0), effect.get("caught_frauds:", usual.caught_effect)),
            start,
        ),
        _detect("label_flow", known, late, EDetector(FEWER_LABELS, payments, effect.get("label_flow:", usual.known_effect)), start),
    )


def _detect(name: Detector, stream: Observations, null: Floats, detector: EDetector, start: datetime) -> Detection:
    """`effect`: heads over what the reference promised, among the observations of the window."""
    state, alarms = detector.feed(stream.heads, np.clip(null, 1e-9, 1 - 1e-9))
    inside = stream.time >= round(start.timestamp() * 1000)
    over = np.flatnonzero(alarms & inside)
    promised = float(null[inside].sum())
    first = None if len(over) == 0 else pd.Timestamp(int(stream.time[over[0]]), unit="ms", tz="UTC").to_pydatetime()
    return Detection(
        name, len(over) > 0, log_e=state.log_e if state.seen else None, column="decision" if name != "label_flow" else "is_fraud",
        effect=float(stream.heads[inside].sum()) / promised if promised else 0.0, first_alarm=first,
        observations=int(over[0]) + 1 if len(over) else state.seen,
    )  # fmt: skip


def _firsts(rows: pd.DataFrame, day: Integers) -> Mask:
    """Rows that are the first of their card, and the first of their till, on a day; rows in order, (n,)."""
    keys = pd.DataFrame({"day": day, "card": rows["card_id"].astype(str).to_numpy(), "till": rows["terminal_id"].astype(str).to_numpy()})
    return ~(keys.duplicated(["day", "card"]) | keys.duplicated(["day", "till"])).to_numpy()


def _odds_times(rate: Floats, ratio: float) -> Floats:
    """The rates whose odds are `ratio` times those of `rate`."""
    return rate * ratio / (1 + rate * (ratio - 1))


def _effect(days: Days) -> float:
    return design_effect(days, ordered=False, quantile=SURE)
