"""The streams that e-detectors watch: what counts as one observation, and what is usual of it. Called by `portfolio`.

Frauds come in campaigns: one till, one afternoon, many alerts. Counted one by one they vary three to six times as much as
independent payments, and a detector that believes them is either deaf or cries wolf. The first of a card on a day and of
a till in an hour vary nearly as independent ones do (three worlds of 140 days: design effect 1.2 to 1.9, where 3.0 to 3.7).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pandas as pd

from data.ids import are_among
from pipelines.monitoring.detectors import Detection, Detector
from pipelines.monitoring.performance import matured_rows
from pipelines.monitoring.profile import DAY_MS, HOUR_MS, Days, Floats, Integers, Mask, count_days, design_effect, milliseconds
from pipelines.monitoring.stream_detectors import FEWER_CAUGHT, FEWER_LABELS, MORE_ALERTS, EDetector

# Odds this near to the reference's are no change: fraudsters' habits move alert rates by a tenth from month to month on quiet
# worlds, and labels come in waves. What the reference itself cannot know for sure comes on top.
TOLERATED: Final = 1.15
TOLERATED_LABELS: Final = 1.5
PARTIES: Final = ["card_id", "terminal_id"]
JUDGED: Final = ["transaction_id", "event_time", "card_id", "amount_minor", "decision", "score", "held_out"]  # what `matured_rows` reads
CAUGHT: Final = ("transaction_id", "event_time", "card_id", "terminal_id", "decision")
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
class StreamRate:
    """What a reference says of one stream."""

    share: Floats  # of heads: (24,) by hour of the day, or (1,)
    effect: float  # how much more heads vary from day to day than independent ones would
    tolerance: float  # factor on the odds up to which the reference may be wrong, or habits move

    @classmethod
    def of(cls, stream: Observations, *, hourly: bool, tolerated: float) -> "StreamRate":
        """An hour's share is drawn to the overall one, and a share of few observations to one half."""
        heads, tails = stream.heads.sum() + 0.5, (~stream.heads).sum() + 0.5
        overall = heads / (heads + tails)
        effect = design_effect(stream.days, ordered=False, quantile=SURE)
        error = np.sqrt(effect * (1 / heads + 1 / tails))
        share = np.array([overall])
        if hourly:
            hour = stream.time // HOUR_MS % 24
            rows, hits = np.bincount(hour, minlength=24), np.bincount(hour, weights=stream.heads, minlength=24)
            share = (hits + PRIOR_ROWS * overall) / (rows + PRIOR_ROWS)
        return cls(share, effect, tolerated * float(np.exp(error)))

    def edge(self, time: Integers, *, more: bool) -> Floats:
        """The largest share that is no change yet (the smallest, unless `more`) at each time, (n,)."""
        share = self.share[time // HOUR_MS % len(self.share)]
        ratio = self.tolerance if more else 1 / self.tolerance
        edge: Floats = np.clip(share * ratio / (1 + share * (ratio - 1)), 1e-9, 1 - 1e-9)
        return edge


@dataclass(frozen=True)
class StreamRates:
    """What a reference says of the three streams."""

    alerts: StreamRate
    caught: StreamRate
    known: StreamRate
    payments_per_day: float
    frauds_per_day: float

    @classmethod
    def of(cls, frame: pd.DataFrame, labels: pd.DataFrame, maturity_days: int) -> "StreamRates":
        """Of the reference's rows and their labels."""
        alerts, caught, known = alert_stream(frame), caught_stream(frame, labels), known_stream(frame, labels, maturity_days)
        days = max(len(alerts.days.days), 1)
        return cls(
            StreamRate.of(alerts, hourly=True, tolerated=TOLERATED),
            StreamRate.of(caught, hourly=False, tolerated=TOLERATED),
            StreamRate.of(known, hourly=False, tolerated=TOLERATED_LABELS),
            len(frame) / days,
            len(caught.heads) / days,
        )


def first_alerts(frame: pd.DataFrame) -> Mask:
    """Payments that were alerted as the first of their card on that day and of their till in that hour, (n,)."""
    time = milliseconds(frame["event_time"])
    alerted = np.flatnonzero((frame["decision"] != "approve").to_numpy())
    alerted = alerted[np.argsort(time[alerted], kind="stable")]
    first = np.zeros(len(frame), dtype=np.bool_)
    first[alerted[_firsts(frame[PARTIES].iloc[alerted], time[alerted])]] = True
    return first


def alert_stream(frame: pd.DataFrame) -> Observations:
    """Every payment, in order of its time; heads: `first_alerts`."""
    time = milliseconds(frame["event_time"])
    order = np.argsort(time, kind="stable")
    return Observations(time[order], first_alerts(frame)[order])


def caught_stream(frame: pd.DataFrame, labels: pd.DataFrame) -> Observations:
    """Every known fraud, in order of its report, the first of a card on a day and of a till in an hour; heads: it was alerted.

    A fraud that was let through at random counts as alerted: the model had seen it.
    """
    frauds = labels.loc[labels["is_fraud"], ["transaction_id", "report_time"]].drop_duplicates("transaction_id")
    columns = [name for name in (*CAUGHT, "held_out") if name in frame]
    rows = frame[columns][are_among(frame["transaction_id"], frauds["transaction_id"])]
    known = rows.merge(frauds, on="transaction_id").sort_values(["report_time", "transaction_id"], kind="stable")
    known = known[_firsts(known, milliseconds(known["event_time"]))]
    heads = (known["decision"] != "approve").to_numpy()
    return Observations(milliseconds(known["report_time"]), heads | known["held_out"].to_numpy() if "held_out" in known else heads)


def known_stream(frame: pd.DataFrame, labels: pd.DataFrame, maturity_days: int, now: datetime | None = None) -> Observations:
    """Every payment old enough by `now` (all when None), when it got so; heads: it was reported in time, or declined as a fraud."""
    maturity = pd.Timedelta(days=maturity_days)
    old = frame if now is None else frame[frame["event_time"] < pd.Timestamp(now) - maturity]
    old = old[[name for name in JUDGED if name in old]].sort_values("event_time", kind="stable")
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
    payments, frauds = (max(1.0, plan.windows * plan.window_days * n) for n in (usual.payments_per_day, usual.frauds_per_day))
    watched: tuple[tuple[Detector, Observations, StreamRate, tuple[float, ...], float], ...] = (
        ("alert_rate_stream", alert_stream(frame), usual.alerts, MORE_ALERTS, payments),
        ("caught_frauds", caught_stream(frame, labels), usual.caught, FEWER_CAUGHT, frauds),
        ("label_flow", known_stream(frame, labels, maturity_days, now), usual.known, FEWER_LABELS, payments),
    )
    said = []
    for name, stream, rate, odds, run_length in watched:
        detector = EDetector(odds, run_length, plan.noise.get(f"{name}:", rate.effect))
        said.append(_detect(name, stream, rate.edge(stream.time, more=odds[-1] > 1), detector, start))
    return tuple(said)


def _detect(name: Detector, stream: Observations, null: Floats, detector: EDetector, start: datetime) -> Detection:
    """`effect`: heads over what the edge of the hypothesis promised, among the observations of the window."""
    state, alarms = detector.feed(stream.heads, null)
    inside = stream.time >= round(start.timestamp() * 1000)
    over = np.flatnonzero(alarms & inside)
    promised = float(null[inside].sum())
    first = None if len(over) == 0 else pd.Timestamp(int(stream.time[over[0]]), unit="ms", tz="UTC").to_pydatetime()
    return Detection(
        name, len(over) > 0, log_e=state.log_e if state.seen else None, column="is_fraud" if name == "label_flow" else "decision",
        effect=float(stream.heads[inside].sum()) / promised if promised else 0.0, first_alarm=first,
        observations=int(over[0]) + 1 if len(over) else state.seen,
    )  # fmt: skip


def _firsts(rows: pd.DataFrame, time: Integers) -> Mask:
    """Rows that are the first of their card on a day, and the first of their till in an hour; rows in order, (n,)."""
    again = np.zeros(len(rows), dtype=np.bool_)
    for name, span in (("card_id", DAY_MS), ("terminal_id", HOUR_MS)):
        who = pd.factorize(rows[name])[0].astype(np.int64)
        again |= pd.Index(time // span * (len(rows) + 1) + who).duplicated()
    return ~again
