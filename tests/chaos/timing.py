"""How much slower something got, on a machine that has other things to do."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from scipy.stats import binom

CONFIDENCE = 0.95


class Slowdown(NamedTuple):
    """Of rounds with and without a disturbance, taken in turn."""

    typical: float  # the median of the rounds' ratios
    at_least: float  # a lower bound of it, one-sided, at CONFIDENCE or better (order statistic: the sign test's interval)

    def __str__(self) -> str:
        return f"x{self.typical:.2f} (at least x{self.at_least:.2f})"


def slowdown(disturbed: Sequence[float], quiet: Sequence[float]) -> Slowdown:
    """From one figure per round. A promise is broken when `at_least` is beyond its limit: not by chance, then.

    Five rounds give their least ratio as the bound: all of five lie above the median in 1 of 32 cases.
    """
    ratios = sorted(one / other for one, other in zip(disturbed, quiet, strict=True))
    below = int(binom.ppf(1 - CONFIDENCE, len(ratios), 0.5))
    while below > 0 and binom.cdf(below, len(ratios), 0.5) > 1 - CONFIDENCE:
        below -= 1
    return Slowdown(median(ratios), ratios[below])
