"""How well the served model did on payments whose labels have matured, against its reference, with intervals.

Two conventions keep window and reference comparable. A fraud counts when it was reported within the label delay of its
payment, in both, so a younger window is not punished for labels still on their way. A declined payment gets no label. Where
some were let through at random, those stand for the others (`pipelines/selective.py`); elsewhere it counts as a fraud with
the probability that reviewed payments of such a score had, and as genuine with the rest. Leaving it out would make a model
look worse the more it declines; trusting its score would let a model that lost its calibration mark its own work (a
doubling of prices: 3,915 frauds believed where 626 happened). Called by `reference` and `monitor`.
"""

from dataclasses import dataclass, fields
from datetime import date, timedelta
from math import ceil
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.costs import DecisionCosts
from data.ids import are_among
from pipelines.metrics import Interval
from pipelines.monitoring.profile import Floats, Integers
from pipelines.selective import outcome_weights

MINIMUM_FRAUDS: Final = 30  # under this an interval spans everything
MINIMUM_FRAUD_CARDS: Final = 10
PRIOR_FRAUDS: Final = 5.0
_EPOCH: Final = date(1970, 1, 1)
RESAMPLES: Final = 100  # a window is judged daily: half a second


@dataclass(frozen=True)
class Performance:
    """Metrics of one span of matured payments, each with a 95 % interval from resampled cards.

    As a difference ("reference less window", see `damage`) a positive value is a loss.
    """

    average_precision: Interval
    recall_at_capacity: Interval  # share of frauds among the riskiest payments that the team can review
    recall_at_false_alerts: Interval  # at as many false alerts per genuine payment: does not move with the fraud share
    alert_recall: Interval  # share of frauds that were alerted, at the threshold served
    alert_precision: Interval  # share of alerts that were frauds
    saved_per_thousand: Interval  # EUR per thousand payments, against approving everything


@dataclass(frozen=True)
class MaturedRows:
    """Payments with settled labels; a declined payment is two rows, fraud and genuine, weighted by their probability."""

    y: Floats
    score: Floats
    alert: Floats
    weight: Floats
    amount: Floats
    card: NDArray[np.int64]
    position: NDArray[np.int64]  # of the payment in the frame

    @property
    def frauds(self) -> float:
        """Known frauds, and declined payments by their probability."""
        return float(self.y @ self.weight)


def matured_rows(frame: pd.DataFrame, labels: pd.DataFrame, maturity: timedelta, *, trusting: bool = False) -> MaturedRows:
    """The rows that metrics run on. `frame` needs score, decision, amount and card of payments old enough to judge.

    `trusting` takes the scores of declined payments at their word: the most frauds that they can hold.
    """
    in_time = labels["is_fraud"] & (labels["report_time"] - labels["event_time"] <= maturity)
    fraud = are_among(frame["transaction_id"], labels.loc[in_time, "transaction_id"])
    held_out = outcome_weights(frame, frame["held_out"].to_numpy()) if "held_out" in frame and frame["held_out"].any() else None
    if held_out is not None:
        return _rows(frame, np.arange(len(frame)), fraud.astype(np.float64), held_out)
    declined = (frame["decision"] == "decline").to_numpy() & ~fraud
    score = frame["score"].to_numpy(dtype=np.float64)
    calibration = 1.0 if trusting else _calibration(score, fraud, (frame["decision"] == "review").to_numpy())
    probability = np.minimum(1.0, score * calibration)
    twice = np.concatenate([np.arange(len(frame)), np.flatnonzero(declined)])
    weight = np.concatenate([np.where(declined, 1 - probability, 1.0), probability[declined]])
    return _rows(frame, twice, np.concatenate([fraud, np.ones(declined.sum())]).astype(np.float64), weight)


def _rows(frame: pd.DataFrame, position: Integers, y: Floats, weight: Floats) -> MaturedRows:
    """Rows at `position` in the frame. A payment held out at random had been due to be declined: it counts as alerted."""
    alert = (frame["decision"] != "approve").to_numpy()
    if "held_out" in frame:
        alert = alert | frame["held_out"].to_numpy()
    return MaturedRows(
        y=y,
        score=frame["score"].to_numpy(dtype=np.float64)[position],
        alert=alert.astype(np.float64)[position],
        weight=weight,
        amount=frame["amount_minor"].to_numpy(dtype=np.float64)[position] / 100,
        card=pd.factorize(frame["card_id"])[0].astype(np.int64)[position],
        position=position,
    )


def _calibration(score: Floats, fraud: NDArray[np.bool_], reviewed: NDArray[np.bool_]) -> float:
    """Known frauds per expected one among reviewed payments, the nearest that have labels; drawn to 1 where they are few."""
    return (float(fraud[reviewed].sum()) + PRIOR_FRAUDS) / (float(score[reviewed].sum()) + PRIOR_FRAUDS)


def measure(rows: MaturedRows, *, per_thousand: float, costs: DecisionCosts, seed: int) -> Performance | None:
    """Metrics with percentile intervals from resampled cards, or None where known frauds are too few to say anything.

    The definitions are those of `pipelines.metrics` (a test holds them equal); here all six share one sort and the same
    resamples, because a window is judged every day and a training once a week.
    """
    if rows.frauds < MINIMUM_FRAUDS or len(np.unique(rows.card[rows.y > 0])) < MINIMUM_FRAUD_CARDS:
        return None
    judge = _Judge(rows, per_thousand, costs)
    value = judge.metrics(np.ones(judge.cards))
    rng = np.random.default_rng(seed)
    draws = [judge.metrics(rng.multinomial(judge.cards, judge.even).astype(np.float64)) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(np.array(draws), [0.025, 0.975], axis=0)
    return Performance(*(Interval(float(v), float(a), float(b)) for v, a, b in zip(value, low, high, strict=True)))


def knowable_on(rows: MaturedRows, day: Integers, since: date, maturity: timedelta, *, frauds_per_day: float) -> date:
    """The first day on which a damage since `since` could be measured: when MINIMUM_FRAUDS of its frauds had matured.

    `rows` are judged payments, `day` their days since 1970, (n,). Where they hold too few frauds, the day is expected from
    `frauds_per_day`, at most a year ahead.
    """
    first = (since - _EPOCH).days
    counts = np.bincount(np.maximum(day - first, 0), rows.weight * rows.y * (day >= first))
    enough = np.flatnonzero(np.cumsum(counts) >= MINIMUM_FRAUDS)
    if len(enough):
        days = float(enough[0] + 1)
    else:
        days = ceil(min(365.0, len(counts) + (MINIMUM_FRAUDS - counts.sum()) / max(frauds_per_day, 0.1)))
    return since + timedelta(days=days) + maturity


def damage(before: Performance, now: Performance) -> Performance:
    """Reference less window, metric by metric: positive is a loss. Intervals of 95 %."""
    return Performance(*(_difference(getattr(before, f.name), getattr(now, f.name)) for f in fields(Performance)))


def _difference(a: Interval, b: Interval) -> Interval:
    """Interval of a - b for independent samples from the intervals of each (MOVER, Zou & Donner 2008)."""
    value = a.value - b.value
    low = value - float(np.hypot(a.value - a.low, b.high - b.value))
    return Interval(value, low, value + float(np.hypot(a.high - a.value, b.value - b.low)))


class _Judge:
    """The six metrics as a function of how often each card was drawn."""

    def __init__(self, rows: MaturedRows, per_thousand: float, costs: DecisionCosts) -> None:
        order = np.argsort(-rows.score, kind="stable")
        self._card = rows.card[order]
        self._weight = rows.weight[order]
        self._found = np.flatnonzero(fraud := (rows.weight * rows.y)[order])  # the few rows that may be frauds
        self._fraud = fraud[self._found]
        self._ends = np.append(np.flatnonzero(np.diff(rows.score[order])), len(order) - 1)  # of each run of equal scores
        self._before = np.searchsorted(self._found, self._ends, side="right")  # how many of the few stand up to there
        self._steps = np.flatnonzero(np.diff(self._before, prepend=0))  # runs that hold some
        self._capacity = per_thousand / 1000
        self.cards = int(rows.card.max()) + 1
        self.even = np.full(self.cards, 1 / self.cards)
        alerts = rows.alert * rows.weight
        gain = alerts * (rows.y * (rows.amount + costs.chargeback_fee) - costs.review)
        sums = (rows.weight, rows.weight * rows.y, alerts, alerts * rows.y, gain)
        self._sums = np.stack([np.bincount(rows.card, s, self.cards) for s in sums])  # (5, cards)

    def metrics(self, times: Floats) -> Floats:
        """In the order of Performance, (6,); NaN where a draw holds no fraud."""
        payments, frauds, alerts, hits, gain = self._sums @ times
        if frauds <= 0:
            return np.full(6, np.nan)
        rows = np.cumsum(self._weight * times[self._card])[self._ends]
        fraud = np.append(0.0, np.cumsum(self._fraud * times[self._card[self._found]]))[self._before]
        found = fraud[self._steps]
        precision = found / np.maximum(rows[self._steps], 1e-12)
        return np.array(
            [
                float(np.diff(found, prepend=0.0) @ precision) / frauds,
                _along(payments * self._capacity, rows, fraud) / frauds,
                _along((payments - frauds) * self._capacity, rows - fraud, fraud) / frauds,
                hits / frauds,
                hits / alerts if alerts > 0 else 0.0,
                1000 * gain / payments,
            ]
        )


def _along(x: float, at: Floats, value: Floats) -> float:
    """`value` at `x`, linear between the points (`at`, `value`) and from the origin; `at` never falls."""
    place = int(np.searchsorted(at, x, side="right"))
    if place == len(at):
        return float(value[-1])
    x0, v0 = (at[place - 1], value[place - 1]) if place else (0.0, 0.0)
    return float(v0 + (value[place] - v0) / (at[place] - x0) * (x - x0))
