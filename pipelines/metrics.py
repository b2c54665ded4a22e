"""What a score is worth: pure functions of numpy arrays, and how sure one can be of them.

Any step may call them. Rows are payments. Shared arguments:
- `y` (n,): 1 or True for fraud; `s` (n,): a score, higher is riskier; `p` (n,): a score that is a probability;
- `weights` (n,): how often a row counts (default once). A bootstrap resample is such weights, so nothing is copied.
Tied scores count as one threshold. Each function raises BadInput for shapes that differ, NaN or no rows, and NotEnoughLabels
where a measure is not defined for want of frauds or of genuine payments.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.costs import DecisionCosts
from data.errors import BadInput, NotEnoughLabels

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class CardPrecision(NamedTuple):
    """Card precision@k and the value that perfect scores would reach on the same days."""

    value: float
    ceiling: float


class Interval(NamedTuple):
    """A measured value and its interval, 95 % unless said otherwise."""

    value: float
    low: float
    high: float


class Reliability(NamedTuple):
    """A calibration curve: per bin (b,), mean predicted probability, share of fraud, and payments."""

    predicted: Floats
    observed: Floats
    payments: Floats


class CostCurve(NamedTuple):
    """What alerting at each threshold (t,) does per thousand payments: alerts raised and EUR saved."""

    threshold: Floats
    alerts_per_thousand: Floats
    saved_per_thousand: Floats


def average_precision(y: ArrayLike, s: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Area under the precision-recall curve as a sum of steps: sum of (R_i - R_{i-1}) P_i over distinct scores."""
    fraud, genuine = _cumulative(y, s, weights=weights)
    _need(fraud[-1] > 0, "a fraud")
    alerts = fraud + genuine
    precision = np.divide(fraud, alerts, out=np.zeros_like(fraud), where=alerts > 0)
    return float(np.sum(np.diff(fraud, prepend=0.0) * precision) / fraud[-1])


def roc_auc(y: ArrayLike, s: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Chance that a fraud outscores a genuine payment, ties counting half (Mann-Whitney U over its maximum)."""
    fraud, genuine = _cumulative(y, s, weights=weights)
    _need(fraud[-1] > 0 and genuine[-1] > 0, "a fraud and a genuine payment")
    heights = fraud - np.diff(fraud, prepend=0.0) / 2
    return float(np.sum(np.diff(genuine, prepend=0.0) * heights) / (fraud[-1] * genuine[-1]))


def recall_at_capacity(y: ArrayLike, s: ArrayLike, per_thousand: float, *, weights: ArrayLike | None = None) -> float:
    """Share of frauds among the `per_thousand` riskiest of a thousand payments; of tied rows a proportional part is taken."""
    fraud, genuine = _cumulative(y, s, weights=weights)
    _need(fraud[-1] > 0, "a fraud")
    alerts = np.concatenate([[0.0], fraud + genuine])
    capacity = alerts[-1] * per_thousand / 1000
    return float(np.interp(capacity, alerts, np.concatenate([[0.0], fraud])) / fraud[-1])


def card_precision(y: ArrayLike, s: ArrayLike, card: ArrayLike, day: ArrayLike, *, k: int = 100, weights: ArrayLike | None = None) -> float:
    """Card precision@k by the protocol of the Fraud Detection Handbook (chapter 4, "Card Precision top-k").

    Each day every card takes its highest score; of the k riskiest cards, the share with a fraud that day is the day's
    precision (over k even when fewer cards paid); a card caught leaves the later days; the mean over days is returned.
    Tied cards rank genuine first, so that luck earns nothing. `card` is fastest as codes 0..c-1. `weights` must agree
    within a card: a card of weight two stands for two cards.
    """
    labels, scores, w = _rows(y, s, weights=weights)
    cards, days = _codes(card, len(labels)), np.asarray(day)
    _same_length(labels, days)
    copies = np.zeros(int(cards.max()) + 1)
    copies[cards] = w
    caught = np.zeros(len(copies), dtype=bool)
    values = [_day_precision(labels[r], scores[r], cards[r], copies, caught, k) for r in _rows_by_day(days)]
    return float(np.mean(values))


def card_precision_at_k(y: ArrayLike, s: ArrayLike, card: ArrayLike, day: ArrayLike, k: int = 100) -> CardPrecision:
    """`card_precision` of the scores beside that of perfect scores: with few frauds a day even those stay below one."""
    return CardPrecision(card_precision(y, s, card, day, k=k), card_precision(y, np.asarray(y, dtype=np.float64), card, day, k=k))


def brier(y: ArrayLike, p: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Mean squared error of the probabilities (Brier 1950); a constant forecast of the fraud share q scores q(1-q)."""
    labels, probability, w = _rows(y, p, weights=weights, probability=True)
    return float(np.average((probability - labels) ** 2, weights=w))


def reliability(y: ArrayLike, p: ArrayLike, *, bins: int = 15, weights: ArrayLike | None = None, equal_frauds: bool = False) -> Reliability:
    """The calibration curve over bins of equal mass; equal widths would put nearly all payments into the first.

    With `equal_frauds` each bin holds as many frauds, so that a plot of rare frauds shows rates and not the luck of one.
    """
    labels, probability, w = _rows(y, p, weights=weights, probability=True)
    spread = probability[labels > 0] if equal_frauds else probability
    inner = np.unique(np.quantile(spread, np.linspace(0, 1, bins + 1)[1:-1]))
    index = np.searchsorted(inner, probability, side="right")
    sums = [np.bincount(index, w * column, len(inner) + 1).astype(np.float64) for column in (probability, labels, np.ones_like(w))]
    kept = sums[2] > 0
    predicted, observed, payments = (column[kept] for column in sums)
    return Reliability(predicted / payments, observed / payments, payments)


def expected_calibration_error(y: ArrayLike, p: ArrayLike, *, bins: int = 15, weights: ArrayLike | None = None) -> float:
    """Mean distance between predicted probability and observed share over bins of equal mass (ECE; Naeini et al. 2015)."""
    curve = reliability(y, p, bins=bins, weights=weights)
    return float(np.average(np.abs(curve.predicted - curve.observed), weights=curve.payments))


def money_saved_per_thousand(
    y: ArrayLike, alert: ArrayLike, amount: ArrayLike, costs: DecisionCosts, *, weights: ArrayLike | None = None
) -> float:
    """EUR saved per thousand payments against approving everything, when `alert` (n, bool) are reviewed.

    A reviewed fraud saves its `amount` (EUR) and the chargeback fee; every review costs its price. Negative when the
    reviews cost more than they catch.
    """
    labels, alerts, w = _rows(y, alert, weights=weights)
    return float(1000 * np.sum(w * alerts * _gain(labels, amount, costs)) / np.sum(w))


def cost_curve(y: ArrayLike, p: ArrayLike, amount: ArrayLike, costs: DecisionCosts, *, points: int = 400) -> CostCurve:
    """Alerts and money saved for alerting at `threshold` and above, from no alert to all; at most `points` thresholds."""
    labels, scores, w = _rows(y, p)
    order = np.argsort(-scores, kind="stable")
    ends = _ends(scores[order])
    # Few alerts is where the choice is made, so the kept thresholds are denser there.
    kept = ends[np.unique(np.geomspace(1, len(ends), min(points, len(ends))).astype(np.int64) - 1)]
    saved = np.cumsum((w * _gain(labels, amount, costs))[order])[kept]
    return CostCurve(scores[order][kept], 1000 * (kept + 1) / len(labels), 1000 * saved / len(labels))


def bootstrap_interval(
    metric: Callable[..., float], *arrays: ArrayLike, groups: ArrayLike, seed: int, n: int = 200, level: float = 0.95
) -> Interval:
    """`metric(*arrays)` with a percentile interval from `n` resamples of whole groups, usually cards.

    Payments of one card share its fraud, so rows are not independent and resampling them would be too sure of itself
    (cluster bootstrap; Davison & Hinkley 1997, section 3.8). `metric` must accept `weights`; bind other options with
    functools.partial. Every array has one value per row, the second being the score.
    """
    codes = _codes(groups, len(np.asarray(arrays[0])))
    evaluate = _in_score_order(metric, arrays, codes)
    value = evaluate(None)
    return _interval(value, _draws(evaluate, codes, seed, n), n, level)


def paired_difference(
    metric: Callable[..., float],
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *arrays: ArrayLike,
    groups: ArrayLike,
    seed: int,
    n: int = 200,
    level: float = 0.95,
) -> Interval:
    """`metric` of the `first` score less that of the `second`, both on the same resamples: their common luck cancels.

    An interval above zero says that the first is better on payments like these, beyond the draw of cards.
    """
    codes = _codes(groups, len(np.asarray(y)))
    a = _in_score_order(metric, (y, first, *arrays), codes)
    b = _in_score_order(metric, (y, second, *arrays), codes)
    return _interval(a(None) - b(None), _draws(lambda w: a(w) - b(w), codes, seed, n), n, level)


def exact_share(hits: int, of: int) -> Interval:
    """So many of so many, with the exact 95 % interval (Clopper and Pearson 1934, Biometrika 26). Of none: NaN, from 0 to 1."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0
    return Interval(hits / of if of else float("nan"), low, high)


def _rows(y: ArrayLike, s: ArrayLike, *, weights: ArrayLike | None = None, probability: bool = False) -> tuple[Floats, Floats, Floats]:
    """Labels, scores and weights as checked float arrays."""
    labels, scores = np.asarray(y, dtype=np.float64), np.asarray(s, dtype=np.float64)
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    _same_length(labels, scores)
    _same_length(labels, w)
    if len(labels) == 0:
        raise BadInput("There are no rows to measure.", next_step="Choose a window that holds labelled payments.", where="y")
    if not np.isin(labels, (0.0, 1.0)).all():
        raise BadInput("Labels must be 0 or 1.", next_step="Drop the payments whose outcome is not known.", where="y")
    if not np.isfinite(scores).all():
        raise BadInput("A score is not a finite number.", next_step="Find the rows that the model could not score.", where="s")
    if probability and not ((scores >= 0) & (scores <= 1)).all():
        raise BadInput("A probability lies outside 0 to 1.", next_step="Pass calibrated scores, not margins.", where="p")
    return labels, scores, w


def _same_length(first: NDArray[Any], second: NDArray[Any]) -> None:
    if first.ndim != 1 or second.shape != first.shape:
        raise BadInput(
            f"Arrays must have one value per row; found shapes {first.shape} and {second.shape}.",
            next_step="Pass arrays made from the same rows.",
        )


def _need(there: bool, what: str) -> None:
    if not there:
        raise NotEnoughLabels(
            f"This measure needs at least {what} among the rows.", next_step="Widen the window or wait for labels to mature.", where="y"
        )


def _cumulative(y: ArrayLike, s: ArrayLike, *, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    """Frauds and genuine payments at or above each distinct score, the highest first."""
    labels, scores, w = _rows(y, s, weights=weights)
    order = np.argsort(-scores, kind="stable")
    ends = _ends(scores[order])
    fraud = (w * labels)[order]
    return np.cumsum(fraud)[ends], np.cumsum(w[order] - fraud)[ends]


def _ends(ordered: Floats) -> Integers:
    """Last position of each run of equal values."""
    return np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)


def _gain(labels: Floats, amount: ArrayLike, costs: DecisionCosts) -> Floats:
    """EUR gained by reviewing each payment."""
    amounts = np.asarray(amount, dtype=np.float64)
    _same_length(labels, amounts)
    return labels * (amounts + costs.chargeback_fee) - costs.review


def _codes(ids: ArrayLike, n: int) -> Integers:
    """Ids as small integers; integers that are small already pass as they are."""
    values = np.asarray(ids)
    _same_length(np.empty(n), values)
    if values.dtype.kind in "iu" and n and values.min() >= 0 and values.max() < 8 * n:
        return values.astype(np.int64, copy=False)
    return np.unique(values, return_inverse=True)[1].astype(np.int64, copy=False)


def _rows_by_day(days: NDArray[Any]) -> list[Integers]:
    order = np.argsort(days, kind="stable")
    return np.split(order, np.flatnonzero(days[order][1:] != days[order][:-1]) + 1)


def _day_precision(labels: Floats, scores: Floats, cards: Integers, copies: Floats, caught: NDArray[np.bool_], k: int) -> float:
    """The precision of one day; marks the cards it catches."""
    score = np.full(len(copies), -np.inf)
    np.maximum.at(score, cards, scores)
    fraud = np.bincount(cards, labels, len(copies)) > 0
    there = np.flatnonzero(np.isfinite(score) & ~caught & (copies > 0))
    ranked = there[np.lexsort((fraud[there], -score[there]))]
    room = np.clip(k - (np.cumsum(copies[ranked]) - copies[ranked]), 0, copies[ranked])
    hit = fraud[ranked] & (room > 0)
    caught[ranked[hit]] = True
    return float(np.sum(room[hit]) / k)


def _in_score_order(metric: Callable[..., float], arrays: tuple[ArrayLike, ...], codes: Integers) -> Callable[[Floats | None], float]:
    """`metric` as a function of weights per group, its rows put in score order once: a stable sort of sorted rows is one pass."""
    order = np.argsort(-np.asarray(arrays[1], dtype=np.float64), kind="stable")
    ordered = [np.asarray(array)[order] for array in arrays]
    group = codes[order]
    return lambda weights: metric(*ordered, weights=None if weights is None else weights[group])


def _draws(evaluate: Callable[[Floats], float], codes: Integers, seed: int, n: int) -> list[float]:
    """`evaluate` on n resamples of the groups; those on which it is not defined, for want of a fraud, are left out."""
    rng = np.random.default_rng(seed)
    present = np.unique(codes)
    values = []
    for _ in range(n):
        drawn = present[rng.integers(0, len(present), len(present))]
        try:
            values.append(evaluate(np.bincount(drawn, minlength=int(present[-1]) + 1).astype(np.float64)))
        except NotEnoughLabels:
            continue
    return values


def _interval(value: float, draws: list[float], n: int, level: float) -> Interval:
    if len(draws) < 0.9 * n:
        raise NotEnoughLabels(
            f"Only {len(draws)} of {n} resamples held enough frauds for this measure.",
            next_step="Widen the window or wait for labels to mature.",
        )
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
