"""How many payments an experiment needs: a split or a paired shadow, looked at once or as often as one likes. Pure formulas.

The event is anything that a payment has or has not: a fraud that got through, an alert, an honest payer declined. Tests are
one-sided: an experiment asks whether the challenger is better, or whether it is worse by more than a margin.

Sources: two proportions, Fleiss, Levin and Paik 2003, "Statistical Methods for Rates and Proportions", section 4.2; pairs, Connor 1987,
"Sample size for testing differences in proportions for the paired-sample design" (Biometrics 43). The sequential test is the
product's own (`OddsTest`): its log wealth is a walk with drift, and the count at which it first reaches its bound is an inverse
Gaussian variable (Wald 1947, "Sequential Analysis", appendix A).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, NamedTuple

from data.errors import BadInput
from pipelines.rollout.sequential import FRACTIONS, HIGHER_ODDS, LOWER_ODDS

TYPICAL: Final = 0.5  # of the runs of a sequential test are over by then


class Coin(NamedTuple):
    """An event as a coin: heads, the challenger's. What `OddsTest` sees of an experiment."""

    null: float  # chance of heads while the models are equal
    chance: float  # chance of heads under the effect
    rate: float  # coins a payment, under the effect

    @property
    def odds(self) -> float:
        """The alternative that a sequential test bets on, as a multiple of the null's odds; never all of its wealth on one side."""
        heads, tails = self.chance * (1 - self.null), (1 - self.chance) * self.null
        return min(max(heads / max(tails, 1e-12), LOWER_ODDS[-1]), HIGHER_ODDS[-1])


@dataclass(frozen=True)
class Question:
    """What an experiment is to find, and how surely."""

    base_rate: float  # share of payments with the event under the champion
    effect: float  # smallest relative change worth finding: -0.2 is a fifth fewer
    alpha: float = 0.05  # chance to find it where there is none
    power: float = 0.8  # chance to find it where it is
    share: float = 0.5  # of cards that the challenger answers, in a split
    overlap: float = 0.9  # of the events of the model with fewer, those that the other has as well: 0.91 to 0.95 on retrained models
    design_effect: float = 1.0  # variance over that of independent payments: payments of one card are alike

    def __post_init__(self) -> None:
        """Raises BadInput naming the first value that makes no sense."""
        sound = (
            ("base-rate", 0 < self.base_rate < 1, "above 0 and below 1: 0.0025 is 2.5 in a thousand"),
            ("effect", self.effect != 0 and self.effect >= -1, "a relative change other than 0, -1 at least: -0.2 is a fifth fewer"),
            ("effect", self.base_rate * (1 + self.effect) < 1, "small enough that the changed rate stays below 1"),
            ("alpha", 0 < self.alpha < 0.5, "above 0 and below 0.5"),
            ("power", self.alpha < self.power < 1, "above alpha and below 1"),
            ("share", 0 < self.share < 1, "above 0 and below 1"),
            ("overlap", 0 <= self.overlap <= 1, "between 0 and 1"),
            ("design-effect", 1 <= self.design_effect < math.inf, "1 or more"),
        )
        for name, holds, expected in sound:
            if not holds:
                raise BadInput(f"{name} must be {expected}.", next_step=f"Correct --{name} and run again.", where=name)

    @property
    def changed_rate(self) -> float:
        """Share of payments with the event under the challenger."""
        return self.base_rate * (1 + self.effect)


def split_coin(question: Question) -> Coin:
    """An event of either arm: whose card was it?"""
    theirs, ours = question.share * question.changed_rate, (1 - question.share) * question.base_rate
    return Coin(question.share, theirs / (theirs + ours), theirs + ours)


def paired_coin(question: Question) -> Coin:
    """A payment on which just one of the models has the event: which? (McNemar 1947)."""
    both = question.overlap * min(question.base_rate, question.changed_rate)
    theirs, ours = question.changed_rate - both, question.base_rate - both
    return Coin(0.5, theirs / (theirs + ours), theirs + ours)


def split_once(question: Question) -> float:
    """Payments of both arms together for a z-test of two proportions, looked at once."""
    p0, p1, share = question.base_rate, question.changed_rate, question.share
    pooled = share * p1 + (1 - share) * p0
    null = math.sqrt(pooled * (1 - pooled) * (1 / share + 1 / (1 - share)))
    real = math.sqrt(p1 * (1 - p1) / share + p0 * (1 - p0) / (1 - share))
    return question.design_effect * ((_z(1 - question.alpha) * null + _z(question.power) * real) / (p1 - p0)) ** 2


def paired_once(question: Question) -> float:
    """Payments that both models score for McNemar's test, looked at once."""
    differ, change = paired_coin(question).rate, question.changed_rate - question.base_rate
    spread = _z(1 - question.alpha) * math.sqrt(differ) + _z(question.power) * math.sqrt(differ - change**2)
    return question.design_effect * (spread / change) ** 2


def sequential(question: Question, coin: Coin, finished: float | None = None) -> float:
    """Payments by which `finished` of the runs (default: `power`) have ended, looked at after every event.

    The test is `OddsTest` betting on `coin.odds`. A design effect is taken as so many fewer coins; counting a card once, as the
    guardrails do, is the exact way.
    """
    weight = 1 + coin.null * (coin.odds - 1)
    heads, tails = math.log(coin.odds / weight), -math.log(weight)
    drift = coin.chance * heads + (1 - coin.chance) * tails
    variance = coin.chance * (1 - coin.chance) * (heads - tails) ** 2
    coins = first_passage(math.log(1 / question.alpha), drift, variance, finished or question.power)
    return question.design_effect * coins / coin.rate


def first_passage(bound: float, drift: float, variance: float, finished: float) -> float:
    """Steps by which a walk of mean `drift` and `variance` a step has passed `bound` with chance `finished`; infinite for no drift.

    The distribution function of the inverse Gaussian, inverted by bisection.
    """
    if drift <= 0:
        return math.inf
    if variance <= 1e-12 * drift**2:
        return bound / drift
    low, high = 0.0, bound / drift
    while _passed(high, bound, drift, variance) < finished:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _passed(middle, bound, drift, variance) < finished else (low, middle)
    return high


def mean_once(change: float, variance: float, alpha: float, power: float) -> float:
    """Values needed to tell a mean of `change` from 0, looked at once; `variance` of one value, clusters allowed for. Infinite for none."""
    return variance * ((_z(1 - alpha) + _z(power)) / change) ** 2 if change else math.inf


def mean_sequential(change: float, variance: float, bound: float, alpha: float, power: float) -> float:
    """The same for the betting test of the product (`MeanTest`), whose values are at least -`bound`; about, by a Taylor expansion.

    A bet of b gains b * change - b² * variance / 2 a value; the best is change / variance, as far as the bound allows.
    """
    if not change:
        return math.inf
    bet = min(abs(change) / variance, FRACTIONS[-1] / bound)
    drift = bet * abs(change) - bet**2 * variance / 2
    return first_passage(math.log(len(FRACTIONS) / alpha), drift, bet**2 * variance, power)


def _passed(steps: float, bound: float, drift: float, variance: float) -> float:
    spread = math.sqrt(variance * steps)
    back = 2 * drift * bound / variance + math.log(max(_below((-drift * steps - bound) / spread), 1e-300))
    return _below((drift * steps - bound) / spread) + math.exp(min(back, 0.0))


def _below(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def _z(chance: float) -> float:
    return NormalDist().inv_cdf(chance)
