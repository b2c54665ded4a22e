"""The goals of the scoring service, each judged by the median of its rounds."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.bench.serving_load import Run
from tests.bench.serving_variants import ANCHOR, BUFFERED, MLFLOW, VARIANTS

median = statistics.median


@dataclass(frozen=True)
class Finding:
    """One measure of one service beside its goal. `steady`: a busy machine does not spoil it."""

    what: str
    of: str
    values: list[float]
    limit: float
    side: Literal["at least", "at most"]
    steady: bool = False
    judged: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the median is on the right side; NaN never is."""
        value = median(self.values)
        return value >= self.limit if self.side == "at least" else value <= self.limit

    def goal(self) -> str:
        return f"{'≥' if self.side == 'at least' else '≤'} {self.limit:g}"

    def cell(self) -> str:
        shown = spread(self.values) if self.judged else figure(median(self.values))
        return f"{shown} {'✓' if self.met else '✗'}"

    def miss(self) -> str:
        return f"{self.what}: {spread(self.values)}, {self.side} {self.limit:g} wanted"


def judge_load(runs: Sequence[Run]) -> list[Finding]:
    """The ratios of every service of ours to the anchor and to MLflow's server, taken round by round.

    Judged is BUFFERED, whose answers do not wait for the disk, as those of nobody else here do. What the disk costs is the
    distance to OURS, whose answers do.
    """
    by_place = {(run.variant, run.round): run for run in runs}
    rounds = sorted({run.round for run in runs})
    found = []
    for variant in VARIANTS:
        if not variant.models:
            continue

        def ratio(of: Callable[[Run], float], to: Callable[[Run], float], other: str, name: str = variant.name) -> list[float]:
            return [of(by_place[name, number]) / to(by_place[other, number]) for number in rounds]

        judged = variant is BUFFERED
        empty, cpu = ANCHOR.name, ratio(_cpu, _cpu, ANCHOR.name)
        found += [
            Finding("req/s over the empty one's, c=64", variant.name, ratio(_rate, _rate, empty), 2.0, "at least", judged=judged),
            Finding("req/s over MLflow's server's, c=64", variant.name, ratio(_rate, _rate, MLFLOW.name), 75, "at least", judged=judged),
            Finding("CPU/request over the empty one's, c=64", variant.name, cpu, 0.5, "at most", steady=True, judged=judged),
            Finding("p99 over the empty one's p50, c=1", variant.name, ratio(_p99(1), _p50(1), empty), 1.1, "at most", judged=judged),
            Finding("p99 over the empty one's p99, c=8", variant.name, ratio(_p99(8), _p99(8), empty), 2.0, "at most", judged=judged),
        ]
    return found


def spread(values: Sequence[float]) -> str:
    """The median, and the least and most when there are several, with three digits."""
    middle = figure(median(values))
    return middle if len(values) == 1 else f"{middle} ({figure(min(values))}–{figure(max(values))})"


def figure(value: float) -> str:
    """Three digits, or all before the point: 0.181, 2.29, 20.4, 5,254."""
    size = abs(value)
    digits = next((digits for limit, digits in ((1, 3), (10, 2), (100, 1)) if size < limit), 0)
    return f"{value:,.{digits}f}" if size >= 0.001 else f"{value:.2g}"


def _rate(run: Run) -> float:
    return run.loads[64].rate


def _cpu(run: Run) -> float:
    return run.cpu_us[64]


def _p50(connections: int) -> Callable[[Run], float]:
    return lambda run: run.loads[connections].p50_us


def _p99(connections: int) -> Callable[[Run], float]:
    return lambda run: run.loads[connections].p99_us
