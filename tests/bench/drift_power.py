"""How small a change each scenario may be and still be seen in one window: power over strength, at 2,000 and 10,000 rows.

Windows are drawn row by row from the week after the onset and held against the champion's reference of two weeks; what
counts is any alarm of the window's own tests, at the portfolio's budget. No labels, no memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from data.scenarios import Injection, scenario
from labs.exercises.catalogue import deployment_of
from labs.exercises.deployment import ONSET, Deployment
from labs.exercises.serve import serve
from pipelines.monitoring.portfolio import detections, examine
from tests.bench.drift_goals import Goal, Rate
from tests.bench.drift_quiet import JOBS_AT_ONCE, OF_ROWS, in_processes
from tests.bench.parts import Parts

SIZES: Final = (2_000, 10_000)
DRAWS: Final = {2_000: 10, 10_000: 4}  # windows of each size per seed; a week holds 24,500 payments
CURVES: Final[dict[str, tuple[float, ...]]] = {
    "channel_push": (0.02, 0.05, 0.1, 0.2, 0.3),
    "price_rise": (1.02, 1.05, 1.1, 1.25, 1.5),
    "unit_change": (0.001, 0.002, 0.005, 0.01, 0.03),
    "currency": (0.005, 0.01, 0.02, 0.05, 0.2),
    "null_burst": (0.005, 0.01, 0.02, 0.05, 0.3),
    "error_code": (0.005, 0.01, 0.02, 0.05, 0.2),
    "new_category": (0.001, 0.002, 0.005, 0.01, 0.03),
    "time_zone": (1, 2, 3, 6),
    "feature_skew": (1.1, 1.25, 1.5, 2),
}
# Share of windows that must alarm: (goal, rows, scenario, strength, share).
TARGETS: Final = (
    *(("G5", 2_000, name, strength, 0.99) for name, strength in (
        ("price_rise", 1.5), ("unit_change", 0.01), ("null_burst", 0.05), ("new_category", 0.01), ("time_zone", 3), ("feature_skew", 2))),
    *(("G5", 2_000, name, strength, 0.95) for name, strength in (("currency", 0.05), ("error_code", 0.05), ("time_zone", 1))),
    *(("G6", 10_000, name, strength, 0.95) for name, strength in (
        ("price_rise", 1.1), ("null_burst", 0.01), ("new_category", 0.002), ("unit_change", 0.002))),
)  # fmt: skip
BY_TERMINAL: Final = frozenset({"unit_change", "new_category"})  # a share of the terminals: of the rows only about
TRIES: Final = 20


@dataclass(frozen=True)
class Point:
    """One scenario at one strength, in windows of one size."""

    scenario: str
    strength: float
    rows: int
    seen: Rate


def measure_power(seeds: Sequence[int], home: Path, parts: Parts) -> list[Point]:
    """Every point of CURVES, over all seeds."""
    jobs = [(seed, name, strength, home) for seed in seeds for name, strengths in CURVES.items() for strength in strengths]
    points: dict[tuple[str, float, int], Rate] = {}
    measured = parts.measured("power", partial(in_processes, _point), jobs, at_once=JOBS_AT_ONCE)
    for (_, name, strength, _), found in zip(jobs, measured, strict=True):
        for rows, rate in found.items():
            key = (name, strength, rows)
            points[key] = points.get(key, Rate(0, 0)) + rate
    return [Point(*key, rate) for key, rate in points.items()]


def judge_power(points: Sequence[Point]) -> list[Goal]:
    """G5 and G6."""
    by_key = {(p.scenario, p.strength, p.rows): p.seen for p in points}
    goals = []
    for goal, what, target in (
        ("G5", "power in 2,000 rows", "≥ .99 of six, ≥ .95 of three"),
        ("G6", "power in 10,000 rows", "≥ .95 of four"),
    ):
        asked = [(by_key[name, strength, rows], name, strength, share) for g, rows, name, strength, share in TARGETS if g == goal]
        short = [f"{name} {strength:g}: {rate.value:.2f}" for rate, name, strength, share in asked if rate.value < share]
        measured = f"{len(asked) - len(short)} of {len(asked)}" + (f"; short: {', '.join(short)}" if short else "")
        goals.append(Goal(goal, what, target, f"{measured}; {asked[0][0].of} windows each", not short))
    return goals


def _point(job: tuple[int, str, float, Path]) -> dict[int, Rate]:
    seed, name, strength, home = job
    deployment = deployment_of(seed, home)
    injection = _inject(deployment, name, strength, seed)
    log = serve(deployment, injection, last=ONSET + 7).log
    drifted = np.flatnonzero(injection.level(log["event_time"]) > 0)
    start, end = (deployment.source.midnight(day) for day in (ONSET, ONSET + 7))
    rng = np.random.default_rng([seed, round(1000 * strength)])
    seen = {}
    for rows in SIZES:
        hits = 0
        for _ in range(DRAWS[rows]):
            window = log.iloc[np.sort(rng.choice(drifted, min(rows, len(drifted)), replace=False))].reset_index(drop=True)
            examined = examine(window, deployment.reference, start=start, end=end, plan=deployment.plan)
            said = detections(examined, (), None, deployed=False, end=end)
            hits += any(d.alarmed for d in said if d.detector in OF_ROWS)
        seen[rows] = Rate(hits, DRAWS[rows])
    return seen


def _inject(deployment: Deployment, name: str, strength: float, seed: int) -> Injection:
    """Where terminals are chosen, the choice of TRIES whose share of the rows is closest to the strength."""
    start = deployment.source.midnight(ONSET).date()
    if name not in BY_TERMINAL:
        return scenario(name).inject(start, seed=seed, strength=strength)
    week = deployment.source.days(ONSET, ONSET + 7, ()).transactions
    tries = [scenario(name).inject(start, seed=seed * TRIES + k, strength=strength) for k in range(TRIES)]
    return min(tries, key=lambda one: abs(one.apply(week)[1].mean() - strength))
