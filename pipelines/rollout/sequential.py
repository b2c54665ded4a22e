"""Tests that may be looked at after every payment: e-processes for coins and for means. Pure values, updated by adding evidence.

Looking at a z-test after every batch and stopping at the first "significant" result is wrong in 28 to 49 of 100 rollouts
where nothing is wrong. An e-process is a bet against the null hypothesis that starts with 1 and that nobody can expect to grow
while the null is true. By Ville's inequality it ever reaches 1/alpha with probability at most alpha, *whenever* one stops
(Ramdas, Grünwald, Vovk, Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference", Statistical Science 38).

Each test keeps one wealth per alternative and averages them (a mixture, Robbins 1970): it need not know how large an effect is
and pays at most log(number of alternatives) for that. Wealth is kept as a logarithm; how evidence is cut into updates
does not change it. Used by `guardrails.py`; anything may call it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

# How many times the null's odds an alternative expects: from a slow bleed to a crash.
HIGHER_ODDS: Final = (1.5, 3.0, 6.0, 20.0, 300.0)
LOWER_ODDS: Final = tuple(1.0 / ratio for ratio in HIGHER_ODDS)
# What is under a ceiling may be under it by little: 18 alerts per thousand of 20 are shown in some 50,000 payments.
CEILING_ODDS: Final = (0.95, 0.9, 0.8, 1 / 1.5, 1 / 3)
# A share of slow answers is a fault at twice its objective, and no model makes it a hundred times.
OBJECTIVE_ODDS: Final = (1.5, 2.2, 5.0, 25.0)
# A sample ratio can be off either way, and by little: one card in ten gone missing is a fault.
EITHER_ODDS: Final = (0.5, 0.8, 0.92, 1.09, 1.25, 2.0)
# Bets as fractions of what would risk everything on one unit; the best one is mean / variance, which nobody knows beforehand.
FRACTIONS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)


@dataclass(frozen=True)
class OddsTest:
    """Coins whose chance of heads is at most `null` (at least, for odds below 1; exactly, for odds on both sides).

    One class serves four guardrails, each a likelihood ratio of Bernoulli trials:
    - failing or slow requests: heads = "it was the challenger's", null = the challenger's share of the cards. That coin knows
      neither the base rate nor its changes, only that a failure has no reason to prefer an arm (the conditional binomial
      test of two Poisson rates, Przyborowski and Wilenski 1940; its always-valid form in Lindon and Malek 2022,
      "Anytime-valid inference for multinomial count data");
    - answers above the latency objective, and payments alerted on: heads = it was, null = the share allowed;
    - failures of two models on the same payments: a fair coin (the sign test, Dixon and Mood 1946);
    - sample ratio: heads = a card was assigned to the challenger, null = the share declared, odds on both sides.
    """

    odds: tuple[float, ...]
    log_wealth: tuple[float, ...]
    heads: int = 0
    tails: int = 0

    @classmethod
    def against(cls, odds: tuple[float, ...]) -> Self:
        """Nothing seen yet; `odds` are the alternatives, as multiples of the null's odds."""
        return cls(odds, (0.0,) * len(odds))

    def add(self, heads: int, tails: int, null: float) -> Self:
        """After so many more coins, each with chance `null` in (0, 1) under the hypothesis; `null` may differ between calls."""
        if heads + tails == 0:
            return self
        gains = []
        for ratio in self.odds:
            weight = 1.0 + null * (ratio - 1.0)  # alternative = null * ratio / weight
            gains.append(heads * math.log(ratio / weight) - tails * math.log(weight))
        wealth = tuple(old + gain for old, gain in zip(self.log_wealth, gains, strict=True))
        return replace(self, log_wealth=wealth, heads=self.heads + heads, tails=self.tails + tails)

    @property
    def log_e(self) -> float:
        """Natural logarithm of the e-value."""
        return log_mean(self.log_wealth)


@dataclass(frozen=True)
class MeanTest:
    """Values of at least `-bound` whose mean, given the past, is at most 0.

    Bets a constant fraction against it and averages over fractions: the capital process of Waudby-Smith and Ramdas 2024,
    "Estimating means of bounded random variables by betting" (JRSS B 86), one-sided; only the lower bound is needed.
    """

    bound: float
    log_wealth: tuple[float, ...] = (0.0,) * len(FRACTIONS)

    def add(self, values: NDArray[np.float64]) -> Self:
        """After more values, shape (n,), each at least -bound (ValueError otherwise: the promise would be void)."""
        values = values[values != 0.0]
        if values.size == 0:
            return self
        if values.min() < -self.bound * (1 + 1e-9):
            raise ValueError("a value lies below the declared bound")
        bets = np.array(FRACTIONS)[:, None] / self.bound
        gains = np.log1p(bets * values[None, :]).sum(axis=1)
        return replace(self, log_wealth=tuple((np.array(self.log_wealth) + gains).tolist()))

    @property
    def log_e(self) -> float:
        """Natural logarithm of the e-value."""
        return log_mean(self.log_wealth)


def rejects(log_e: float, alpha: float) -> bool:
    """Whether the null is refuted at level `alpha`, however often one has looked (Ville 1939)."""
    return log_e >= math.log(1.0 / alpha)


@dataclass(frozen=True)
class RunningMean:
    """Count, sum and sum of squares: enough for a mean and its confidence sequence."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[np.float64]) -> "RunningMean":
        """After more values, shape (n,)."""
        return RunningMean(self.count + values.size, self.total + float(values.sum()), self.squares + float(values @ values))

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        return max(self.squares / self.count - self.mean**2, 0.0) if self.count else 0.0

    def interval(self, alpha: float, tightest_at: int) -> tuple[float, float]:
        """An asymptotic confidence sequence: covers the mean at all times with probability about 1 - alpha.

        Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, "Time-uniform central limit theory" (Annals of Statistics 52);
        `tightest_at` is the count at which it is narrowest. For reading only: decisions rest on e-processes, which need no
        large numbers. (-inf, inf) before the first value.
        """
        if not self.count:
            return -math.inf, math.inf
        rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tightest_at
        spread = self.count * rho2 + 1
        half = math.sqrt(self.variance * 2 * spread / (self.count**2 * rho2) * math.log(math.sqrt(spread) / alpha))
        return self.mean - half, self.mean + half


NOTHING: Final = RunningMean()


def count_needed(mean: float, variance: float, bound: float, alpha: float) -> int | None:
    """About how many values a `MeanTest` needs to refute "mean at most 0" when the truth is `mean`, `variance`; None when never.

    A bet of b gains about b * mean - b² * variance / 2 a value (Taylor expansion of Kelly's criterion); the best is
    mean / variance, as far as `bound` allows.
    """
    if mean <= 0:
        return None
    bet = min(mean / variance if variance > 0 else math.inf, FRACTIONS[-1] / bound)
    return math.ceil(math.log(len(FRACTIONS) / alpha) / (bet * mean - bet**2 * variance / 2))


def log_mean(logs: Sequence[float]) -> float:
    """log(mean(exp(logs))) without overflow: the mean of e-values of one null, however they depend on each other, is one too."""
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(logs))
