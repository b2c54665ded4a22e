"""Friction: a challenger that lets less fraud through and turns more honest payers away; the metric says win, a guardrail trips. Pure.

The challenger is the champion's own model with a harsher policy: it alerts twice as often, and declines what the champion sends to
review. In a paired shadow its honest declines are known wherever the champion let the payment pass; where both decline nobody knows,
and they do not differ. Replays of recorded payments know all.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.costs import DecisionCosts
from pipelines.experiments.scored import APPROVE, DECLINE, REVIEW, Decided, Floats, Mask, Scored, resamples, spread
from pipelines.metrics import Interval
from pipelines.rollout.sequential import HIGHER_ODDS, OddsTest, rejects

HARSHER: Final = 2.0  # times the champion's alerts
TOLERANCE: Final = 1.25  # times the champion's honest declines that may be: the ratio that the rollout plan allows alerts
ALPHA: Final = 0.001  # of the guardrail, whenever one looks


@dataclass(frozen=True)
class Measure:
    """One number per thousand payments under either policy, and the difference with a 95 % interval from resampled cards."""

    name: str
    champion: float
    challenger: float
    difference: Interval


@dataclass(frozen=True)
class Friction:
    """What the harsher policy does."""

    measures: tuple[Measure, ...]
    honest_cards: tuple[float, float]  # share of cards without fraud that were declined at least once: champion, challenger
    tripped_at: int | None  # payments in the shadow when the guardrail tripped; None: it never did


def harsher(scored: Scored) -> Decided:
    """The champion's scores under thresholds that alert `HARSHER` times as often and decline as often as the champion alerts."""
    champion = scored.champion
    share = float(champion.alerts.mean())
    review, decline = np.quantile(champion.score, [1 - HARSHER * share, 1 - share])
    by_score = np.where(champion.score >= decline, DECLINE, np.where(champion.score >= review, REVIEW, APPROVE))
    return Decided("harsher policy", champion.score, np.maximum(champion.decision, by_score).astype(np.int8))


def friction(scored: Scored, challenger: Decided, costs: DecisionCosts, *, seed: int) -> Friction:
    """The primary metric, what it hides, and when the guardrail speaks."""
    sums = [_per_payment(scored, model, costs) for model in (scored.champion, challenger)]
    measures = tuple(_measure(scored, name, sums[0][name], sums[1][name], seed) for name in sums[0])
    declined = [model.decision == DECLINE for model in (scored.champion, challenger)]
    return Friction(measures, _honest_cards(scored, declined), _tripped(scored, declined))


def _per_payment(scored: Scored, model: Decided, costs: DecisionCosts) -> dict[str, Floats]:
    missed = scored.is_fraud & ~model.alerts
    return {
        "fraud let through, EUR": np.where(missed, scored.amount + costs.chargeback_fee, 0.0),
        "payments reviewed": (model.decision == REVIEW).astype(np.float64),
        "honest payers declined": ((model.decision == DECLINE) & ~scored.is_fraud).astype(np.float64),
        "all costs, EUR": scored.losses(model, "its amount", costs),
    }


def _measure(scored: Scored, name: str, old: Floats, new: Floats, seed: int) -> Measure:
    payments, difference = scored.by_card(np.ones(len(scored))), scored.by_card(new - old)
    draws = [1000 * float(weight @ difference / (weight @ payments)) for weight in resamples(len(payments), seed)]
    before, after = 1000 * float(old.mean()), 1000 * float(new.mean())
    return Measure(name, before, after, spread(after - before, draws))


def _honest_cards(scored: Scored, declined: list[Mask]) -> tuple[float, float]:
    honest = scored.by_card(scored.is_fraud) == 0
    old, new = (float((scored.by_card(some)[honest] > 0).mean()) for some in declined)
    return old, new


def _tripped(scored: Scored, declined: list[Mask]) -> int | None:
    """The coin: of honest payments that just one of the two declines, each card's first, is it the challenger's?"""
    rows = np.flatnonzero((declined[0] != declined[1]) & ~scored.is_fraud)
    _, first = np.unique(scored.card[rows], return_index=True)
    coins: NDArray[np.int64] = rows[np.sort(first)]
    test = OddsTest.against(HIGHER_ODDS)
    for row in coins.tolist():
        theirs = bool(declined[1][row])
        test = test.add(int(theirs), int(not theirs), TOLERANCE / (1 + TOLERANCE))
        if rejects(test.log_e, ALPHA):
            return int(row) + 1
    return None
