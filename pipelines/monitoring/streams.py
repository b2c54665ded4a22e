"""The streams that e-detectors watch: what counts as one observation, and what is usual of it. Called by `portfolio`.

Frauds come in campaigns: one till, many alerts, for days. Counted one by one, the alerts of a week vary eleven times as much as
independent payments would, and a detector that believes them is either deaf or cries wolf. The first ones of a card and of a
till on a day vary as independent ones do (six worlds of 24 weeks: 1.04 times by week; 3.7 times with the first of a till in each
hour). Of labelled frauds there are too few for that: there the first of a till in an hour counts, at 1.7 times by week.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import pandas as pd

from data.ids import are_among
from pipelines.monitoring.detectors import Detection, Detector
from pipelines.monitoring.performance import matured_rows
from pipelines.monitoring.profile import DAY_MS, HOUR_MS, Days, Floats, Integers, Mask, count_days, design_effect, milliseconds
from pipelines.monitoring.stream_detectors import FEWER_CAUGHT, FEWER_LABELS, MORE_ALERTS, EDetector

# Standard deviation of the log odds of heads from fortnight to fortnight on quiet worlds, beyond chance (measured: 0.03 of
# alerts, where thrice that leaves room for worlds that wander more; 0.16 of caught frauds). What the reference itself cannot
# know for sure comes on top.
ALERTS_WANDER: Final = 0.1
CAUGHT_WANDER: Final = 0.15
MEMORY_DAYS: Final = 21.0  # after which a live day has a third of its weight left in what is usual
TOLERATED_LABELS: Final = 1.5  # odds of a label this much lower are no change: labels come in waves
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
    variance: float  # of the log odds of heads, as far as independent observations tell
    effect: float  # how much more heads vary from day to day than independent ones would

    @classmethod
    def of(cls, stream: Observations, *, hourly: bool) -> "StreamRate":
        """An hour's share is drawn to the overall one, and a share of few observations to one half."""
        heads, tails = stream.heads.sum() + 0.5, (~stream.heads).sum() + 0.5
        overall = heads / (heads + tails)
        effect = design_effect(stream.days, ordered=False, quantile=SURE)
        share = np.array([overall])
        if hourly:
            hour = stream.time // HOUR_MS % 24
            rows, hits = np.bincount(hour, minlength=24), np.bincount(hour, weights=stream.heads, minlength=24)
            share = (hits + PRIOR_ROWS * overall) / (rows + PRIOR_ROWS)
        return cls(share, float(1 / heads + 1 / tails), effect)

    def usual(self, stream: Observations, *, wander: float) -> Floats:
        """The chance of heads that the reference and the stream's own past give each observation of a quiet stream, (n,).

        Polya's urn: the predictive law of coins whose share is drawn from a Beta distribution, as wide as the reference's
        ignorance and a month's wander, with the hours' shares about it. So what quiet days teach sharpens the detector, and
        no band of rates has to be forgiven: the run length holds in the mean over the rates that the reference leaves open.
        A live day is forgotten after a while, so that habits may go on moving.
        """
        share = self._share(stream.time)
        prior = 1 / ((1 - self.share.mean()) * (self.variance + wander**2))  # heads that the reference is worth
        day = stream.time // DAY_MS
        usual: Floats = share * (prior + _remembered(stream.heads, day)) / (prior + _remembered(share, day))
        return np.clip(usual, 1e-9, 1 - 1e-9)

    def floor(self, stream: Observations, *, tolerated: float) -> Floats:
        """The smallest chance of heads that is no change yet, with odds so many times lower and what the reference cannot know, (n,)."""
        share, ratio = self._share(stream.time), float(np.exp(-np.sqrt(self.effect * self.variance))) / tolerated
        return np.clip(share * ratio / (1 + share * (ratio - 1)), 1e-9, 1 - 1e-9)

    def _share(self, time: Integers) -> Floats:
        return self.share[time // HOUR_MS % len(self.share)]


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
            StreamRate.of(alerts, hourly=True),
            StreamRate.of(caught, hourly=False),
            StreamRate.of(known, hourly=False),
            len(frame) / days,
            len(caught.heads) / days,
        )


def first_alerts(frame: pd.DataFrame) -> Mask:
    """Payments that were alerted as the first of their card and of their till on that day, (n,)."""
    time = milliseconds(frame["event_time"])
    alerted = np.flatnonzero((frame["decision"] != "approve").to_numpy())
    alerted = alerted[np.argsort(time[alerted], kind="stable")]
    first = np.zeros(len(frame), dtype=np.bool_)
    first[alerted[_firsts(frame[PARTIES].iloc[alerted], time[alerted], till=DAY_MS)]] = True
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
    known = known[_firsts(known, milliseconds(known["event_time"]), till=HOUR_MS)]
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
    alerts, caught, known = alert_stream(frame), caught_stream(frame, labels), known_stream(frame, labels, maturity_days, now)
    watched: tuple[tuple[Detector, Observations, Floats, EDetector], ...] = (
        ("alert_rate_stream", alerts, usual.alerts.usual(alerts, wander=ALERTS_WANDER), EDetector(MORE_ALERTS, payments)),
        ("caught_frauds", caught, usual.caught.usual(caught, wander=CAUGHT_WANDER), EDetector(FEWER_CAUGHT, frauds)),
        ("label_flow", known, usual.known.floor(known, tolerated=TOLERATED_LABELS), EDetector(FEWER_LABELS, payments, usual.known.effect)),
    )
    return tuple(
        _detect(name, stream, null, replace(detector, effect=plan.noise.get(f"{name}:", detector.effect)), start)
        for name, stream, null, detector in watched
    )


def _detect(name: Detector, stream: Observations, null: Floats, detector: EDetector, start: datetime) -> Detection:
    """`effect`: heads over what the hypothesis promised, among the observations of the window."""
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


def _remembered(values: Floats | Mask, day: Integers) -> Floats:
    """The sum of all that came before each observation, (n,), each day's part fading from day to day; `day` never falls."""
    if len(values) == 0:
        return np.empty(0)
    days, first, place = np.unique(day, return_index=True, return_inverse=True)
    weight: Floats = values.astype(np.float64)
    before: Floats = np.cumsum(weight) - weight
    kept = np.zeros(len(days))
    for k, total in enumerate(np.diff(before[first]), start=1):
        kept[k] = (kept[k - 1] + total) * np.exp((days[k - 1] - days[k]) / MEMORY_DAYS)
    return before + (kept - before[first])[place]


def _firsts(rows: pd.DataFrame, time: Integers, *, till: int) -> Mask:
    """Rows that are the first of their card on a day, and the first of their till in its span of ms; rows in order, (n,)."""
    again = np.zeros(len(rows), dtype=np.bool_)
    for name, span in (("card_id", DAY_MS), ("terminal_id", till)):
        who = pd.factorize(rows[name])[0].astype(np.int64)
        again |= pd.Index(time // span * (len(rows) + 1) + who).duplicated()
    return ~again
