"""The goals of the drift catalogue, G1 to G15, and whether they were reached."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.monitoring.noise_floor import Share


@dataclass(frozen=True)
class Goal:
    """One goal beside what was measured. `reached` is None where this run had too little to say."""

    name: str  # "G7"
    what: str
    target: str
    measured: str
    reached: bool | None

    @property
    def verdict(self) -> str:
        return {True: "reached", False: "MISSED", None: "not measured"}[self.reached]


@dataclass(frozen=True)
class Rate:
    """So many of so many, with the exact 95 % interval."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else float("nan")

    @property
    def low(self) -> float:
        return Share(self.hits, self.of).interval[0]

    @property
    def high(self) -> float:
        return Share(self.hits, self.of).interval[1]

    def __add__(self, other: "Rate") -> "Rate":
        return Rate(self.hits + other.hits, self.of + other.of)

    def percent(self) -> str:
        return f"{self.value:.1%} of {self.of:,} ({self.low:.1%}–{self.high:.1%})" if self.of else "–"

    def per_thousand(self) -> str:
        return f"{1000 * self.value:.2f} ({1000 * self.low:.2f}–{1000 * self.high:.2f})" if self.of else "–"


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile; NaN for none."""
    if not values:
        return float("nan"), float("nan")
    return float(np.median(values)), float(np.quantile(values, 0.95, method="higher"))
