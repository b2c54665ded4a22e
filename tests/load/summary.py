"""What a load run was like: exact percentiles, a histogram, and the verdict against the objective. Pure."""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Bin edges in ms, 1-2-5 with halves between: fine where answers are, coarse where they should not be.
EDGES_MS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 200.0, 500.0, 1_000.0, 10_000.0)


@dataclass(frozen=True)
class Objective:
    """The limits of tests/load/slo.toml."""

    p95_ms: float
    p99_ms: float
    error_ratio: float


@dataclass(frozen=True)
class Arrivals:
    """How payments arrive: an open loop at a fixed rate over a number of connections."""

    rate_per_s: float
    users: int


@dataclass(frozen=True)
class LoadSummary:
    """One run. Bin `i` counts answers between `edges_ms[i]` and `edges_ms[i + 1]`; the last takes all that is slower."""

    requests: int
    failures: int
    duration_s: float
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    labels_sent: int
    label_failures: int
    slo_p95_ms: float
    slo_p99_ms: float
    slo_error_ratio: float
    missed: tuple[str, ...]
    met: bool
    edges_ms: tuple[float, ...]
    counts: tuple[int, ...]


def read_objective(file: Path) -> tuple[Objective, Arrivals]:
    """The objective and the arrivals of a TOML file."""
    facts = tomllib.loads(file.read_text())
    return Objective(**facts["objective"]), Arrivals(**facts["arrivals"])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed (nearest rank); NaN of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def summarise(
    latencies_ms: Sequence[float], failures: int, duration_s: float, objective: Objective, *, labels_sent: int, label_failures: int
) -> LoadSummary:
    """Judge one run. `latencies_ms` are those of every request; a run without any misses its objective."""
    ordered = sorted(latencies_ms)
    p95, p99 = percentile(ordered, 0.95), percentile(ordered, 0.99)
    error_ratio = (failures + label_failures) / max(1, len(ordered) + labels_sent)
    limits = (
        ("p95", p95, objective.p95_ms, "ms"),
        ("p99", p99, objective.p99_ms, "ms"),
        ("error ratio", error_ratio, objective.error_ratio, ""),
    )
    # `not <=` so that NaN, the percentile of nothing, misses.
    missed = tuple(f"{name} {value:.4g}{unit}, allowed {limit:g}{unit}" for name, value, limit, unit in limits if not value <= limit)
    counts = [0] * (len(EDGES_MS) - 1)
    for latency in ordered:
        counts[min(len(counts) - 1, sum(edge <= latency for edge in EDGES_MS) - 1)] += 1
    return LoadSummary(
        requests=len(ordered),
        failures=failures,
        duration_s=duration_s,
        requests_per_s=len(ordered) / duration_s if duration_s > 0 else 0.0,
        p50_ms=percentile(ordered, 0.5),
        p95_ms=p95,
        p99_ms=p99,
        max_ms=ordered[-1] if ordered else math.nan,
        labels_sent=labels_sent,
        label_failures=label_failures,
        slo_p95_ms=objective.p95_ms,
        slo_p99_ms=objective.p99_ms,
        slo_error_ratio=objective.error_ratio,
        missed=missed,
        met=not missed,
        edges_ms=EDGES_MS,
        counts=tuple(counts),
    )
