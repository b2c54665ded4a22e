"""The fair comparison: every rule on the same rollouts, its false rollbacks beside what it lets through. Facts of `make bench-canary`."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.bench.canary_ramp import LEVELS, Level, in_parts
from tests.bench.canary_rules import NEVER, RULES, Rule
from tests.bench.drift_goals import Rate, quantiles

OURS: Final = "ours"


@dataclass(frozen=True)
class Cell:
    """One rule at one level. `exposed`: requests that the canary had answered when it was stopped, one per stopped rollout, sorted."""

    level: Level
    rule: str
    stopped: Rate
    exposed: tuple[float, ...]

    @property
    def median(self) -> float:
        return quantiles(self.exposed)[0]

    @property
    def late(self) -> float:
        """The 95th percentile."""
        return quantiles(self.exposed)[1]

    @property
    def shows_exposure(self) -> bool:
        """Whether a median of the stopped says something: there is a fault, and most rollouts were stopped."""
        return self.level.is_fault and self.stopped.value >= 0.5

    def told(self) -> str:
        """For the table: how often it stopped, and after how many requests of the canary."""
        if not self.shows_exposure:
            return f"{self.stopped.value:.1%}" if self.stopped.hits else "0"
        often = "" if self.stopped.value > 0.995 else f"{self.stopped.value:.0%}: "
        return f"{often}{self.median:,.0f} ({self.late:,.0f})"


def measure(runs: int, seed: int) -> list[Cell]:
    """Every rule at every level, over the same `runs` rollouts."""
    return [cell for level in LEVELS for cell in _level(level, runs, seed)]


def _level(level: Level, runs: int, seed: int) -> list[Cell]:
    exposed: dict[str, list[float]] = {rule.name: [] for rule in RULES}
    for draws in in_parts(level, runs, seed):
        seen = draws.exposed
        for rule in RULES:
            first = rule.first(draws)
            stopped = np.flatnonzero(first != NEVER)
            exposed[rule.name] += seen[stopped, first[stopped]].tolist()
    return [Cell(level, rule.name, Rate(len(exposed[rule.name]), runs), tuple(sorted(exposed[rule.name]))) for rule in RULES]


def find(cells: list[Cell], level: Level, rule: str = OURS) -> Cell:
    """One cell."""
    return next(cell for cell in cells if (cell.level, cell.rule) == (level, rule))


def explained() -> list[Rule]:
    """The rules in the order of the table."""
    return list(RULES)
