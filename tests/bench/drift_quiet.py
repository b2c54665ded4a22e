"""How often monitoring cries wolf: quiet windows resampled from a long quiet world, every detector under its one error budget.

Two ways to resample. *Independent rows* (G2) draws payments one by one, without return, for references of 1,000 and 20,000 rows and
windows of 500 to 10,000: what a textbook's guarantee is about. *Whole days* (G3, G4) draws days, each for its own weekday, and
puts them one after the other: the daily cycle and the campaigns of a day stay together, as they do in life. Intervals take
windows for independent; days that are drawn again make them a little too narrow.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd

from data.history import build_features
from data.schema import TRANSACTION_COLUMNS
from labs.exercises.catalogue import deployment_of
from labs.exercises.deployment import REFERENCE, VERSION, Deployment
from labs.exercises.parallel import cores
from pipelines.monitoring.portfolio import detections, examine, sequential
from pipelines.monitoring.profile import WATCHED
from pipelines.monitoring.reference import freeze_reference, reference_frame
from tests.bench.drift_goals import Goal, Rate
from tests.bench.parts import Parts

T = TypeVar("T")
POOL_WEEKS: Final = 18
CHAIN_WEEKS: Final = 8  # watched after a reference of two weeks
STRETCHES: Final = (0, POOL_WEEKS - CHAIN_WEEKS - 2)  # first weeks
REFERENCES: Final = (1_000, 20_000)
WINDOWS: Final = (500, 2_000, 10_000)
WINDOWS_PER_REFERENCE: Final = 20
# Independent rows have no traffic to be counted, no labels in their order and no versions.
OF_ROWS: Final = frozenset(
    {"schema", "null_rate", "range", "unit", "unseen_level", "value_spike", "clock", "inputs", "score", "alert_rate"}
)
ENOUGH_WINDOWS: Final = 2_000  # in each cell of G2
ENOUGH_PAYMENTS: Final = 1_000_000  # for G4
JOBS_AT_ONCE: Final = 60  # a few minutes of work
WEEK: Final = pd.Timedelta(days=7)


@dataclass(frozen=True)
class Pool:
    """Quiet payments as served, and their labels."""

    deployment: Deployment
    log: pd.DataFrame
    labels: pd.DataFrame
    labelled: np.ndarray  # (labels,): the row of the log that each is about
    day: np.ndarray  # (rows of the log,), counted from the first
    time: np.ndarray  # (rows of the log,), datetime64

    @classmethod
    def of(cls, seed: int, home: Path) -> "Pool":
        """POOL_WEEKS of the world of `seed`, answered by its champion."""
        deployment = deployment_of(seed, home)
        first = -(-REFERENCE // 7) * 7  # a Monday that the model has not learnt from
        every = deployment.source.days(0, first + 7 * POOL_WEEKS, ())
        features, _ = build_features(*every)
        late = (every.transactions["event_time"] >= pd.Timestamp(deployment.source.midnight(first))).to_numpy()
        scores = deployment.model.score_many(features[late])
        rows = every.transactions[late].reset_index(drop=True)
        log = reference_frame(rows, features[late], scores, deployment.model.policy, VERSION)
        kept = [*TRANSACTION_COLUMNS, *(name for name in WATCHED if name not in TRANSACTION_COLUMNS), "decision", "champion_version"]
        day = (rows["event_time"] - pd.Timestamp(deployment.source.midnight(first))).dt.days.to_numpy()
        about = pd.Index(log["transaction_id"]).get_indexer(every.labels["transaction_id"])
        known = (about >= 0) & (log["decision"] != "decline").to_numpy()[about]
        time = rows["event_time"].dt.tz_localize(None).to_numpy()
        return cls(deployment, log[[name for name in kept if name in log]], every.labels[known], about[known], day, time)

    def days(self, chosen: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """These days of the log, one after the other from a Monday on, and their labels."""
        rows = [np.flatnonzero(self.day == day) for day in chosen]
        return self._moved(np.concatenate(rows), np.repeat(np.arange(len(chosen)) - chosen, [len(part) for part in rows]))

    def rows(self, chosen: np.ndarray, weeks: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
        """These rows in order of time, each at its own hour of the week in a week of its own, and their labels."""
        shift = 7 * (weeks - self.day[chosen] // 7)
        order = np.argsort(self.time[chosen] + shift.astype("timedelta64[D]"), kind="stable")
        return self._moved(chosen[order], shift[order])

    def _moved(self, rows: np.ndarray, days: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
        """These rows so many days later, and their labels, as much later."""
        shift = np.full(len(self.log), np.timedelta64("NaT", "D"))
        shift[rows] = days.astype("timedelta64[D]")
        log = self.log.iloc[rows]
        labels, by = self.labels, shift[self.labelled]
        moved = labels.assign(event_time=labels["event_time"] + by, report_time=labels["report_time"] + by)
        return log.assign(event_time=log["event_time"] + shift[rows]).reset_index(drop=True), moved[~np.isnat(by)]


@dataclass(frozen=True)
class Quiet:
    """What quiet windows gave: how many there were, how many alarmed, and which detectors did."""

    windows: int = 0
    payments: int = 0
    alarming: int = 0  # with any alarm
    alarming_tests: int = 0  # with an alarm of the window's own tests
    by_detector: tuple[tuple[str, int], ...] = ()

    @classmethod
    def one(cls, alarms: Iterable[str], payments: int) -> "Quiet":
        """One window."""
        names = frozenset(alarms)
        return cls(1, payments, int(bool(names)), int(bool(names & OF_ROWS)), tuple(sorted((name, 1) for name in names)))

    def __add__(self, other: "Quiet") -> "Quiet":
        both = Counter(dict(self.by_detector)) + Counter(dict(other.by_detector))
        return Quiet(
            self.windows + other.windows,
            self.payments + other.payments,
            self.alarming + other.alarming,
            self.alarming_tests + other.alarming_tests,
            tuple(sorted(both.items())),
        )

    @property
    def any(self) -> Rate:
        return Rate(self.alarming, self.windows)

    @property
    def tests(self) -> Rate:
        return Rate(self.alarming_tests, self.windows)

    def of(self, detector: str) -> Rate:
        return Rate(dict(self.by_detector).get(detector, 0), self.windows)


def measure_days(seeds: Sequence[int], chains: int, home: Path, parts: Parts) -> tuple[Quiet, Quiet]:
    """Weeks looked at by all detectors, those that remember included: so many chains of days drawn for each seed, and weeks in order.

    No bootstrap has what grows from week to week: that shows in the second only.
    """
    drawn = [(seed, number, None, home) for seed in seeds for number in range(chains)]
    every = sorted([*drawn, *((seed, 0, first, home) for seed in seeds for first in STRETCHES)], key=lambda job: job[0])
    found = list(zip(every, parts.measured("days", partial(in_processes, _chain), every, at_once=JOBS_AT_ONCE), strict=True))
    resampled, in_order = (sum((q for job, q in found if (job[2] is None) == kind), Quiet()) for kind in (True, False))
    return resampled, in_order


def measure_rows(seeds: Sequence[int], references: int, home: Path, parts: Parts) -> dict[tuple[int, int], Quiet]:
    """Independent rows: (rows of the reference, of the window) -> what its windows gave; so many references for each seed."""
    cells: dict[tuple[int, int], Quiet] = {}
    jobs = [(seed, number, home) for seed in seeds for number in range(references)]
    for found in parts.measured("rows", partial(in_processes, _rows), jobs, at_once=JOBS_AT_ONCE):
        for cell, quiet in found.items():
            cells[cell] = cells.get(cell, Quiet()) + quiet
    return cells


def judge_quiet(rows: dict[tuple[int, int], Quiet], days: Quiet, weeks: Quiet) -> list[Goal]:
    """G2, G3 and G4. Fewer windows than G2 asks for, or payments than G4, can only show that a goal is missed."""
    worst, high = max(quiet.tests.value for quiet in rows.values()), max(quiet.tests.high for quiet in rows.values())
    fewest = min(quiet.windows for quiet in rows.values())
    said = f"at most {worst:.2%}, upper limit {high:.2%}, of {fewest:,} windows or more"
    steady = worst <= 0.01 and high <= 0.015
    short = fewest < ENOUGH_WINDOWS and worst <= 0.01
    said += f"; {ENOUGH_WINDOWS:,} are needed" if short else ""
    what, target = "false alarm of a window, rows independent", "≤ 1 %, upper limit ≤ 1.5 %, six cells of ≥ 2,000"
    goals = [Goal("G2", what, target, said, None if short else steady)]
    tests = f"days drawn {days.tests.percent()}; weeks in order {weeks.tests.percent()}"
    goals.append(Goal("G3", "the same in order of hours and weekdays", "≤ 1 %", tests, max(days.tests.value, weeks.tests.value) <= 0.01))
    whole = (
        f"per 1,000: days drawn {days.any.per_thousand()} of {days.windows:,} windows, {days.payments / 1e6:.1f} M payments; "
        f"weeks in order {weeks.any.per_thousand()} of {weeks.windows:,}"
    )
    silent = max(days.any.value, weeks.any.value) <= 1e-3
    short = days.payments < ENOUGH_PAYMENTS and silent
    whole += f"; {ENOUGH_PAYMENTS / 1e6:g} M are needed" if short else ""
    return [*goals, Goal("G4", "false alarm of any detector", "≤ 1 per 1,000 windows, ≥ 1 M payments", whole, None if short else silent)]


def in_processes(work: Callable[[Any], T], jobs: Sequence[Any]) -> list[T]:
    """`work` on every job, in order, on all cores."""
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, jobs, chunksize=max(1, len(jobs) // (2 * cores()))))


@lru_cache(maxsize=1)
def _pool(seed: int, home: Path) -> Pool:
    return Pool.of(seed, home)


def _chain(job: tuple[int, int, int | None, Path]) -> Quiet:
    """CHAIN_WEEKS after a reference of two: days as they came from the week `first` on, or drawn, each on its own weekday."""
    seed, number, first, home = job
    if first is not None:
        return _watch(_pool(seed, home), list(range(7 * first, 7 * (first + CHAIN_WEEKS + 2))))
    rng = np.random.default_rng([seed, number, 1])
    weeks = np.stack([rng.permutation(POOL_WEEKS)[: CHAIN_WEEKS + 2] for _ in range(7)], axis=1)  # (weeks, weekdays)
    return _watch(_pool(seed, home), (weeks * 7 + np.arange(7)).ravel().tolist())


def _watch(pool: Pool, days: Sequence[int]) -> Quiet:
    """A reference of the first two weeks, and every week after it."""
    log, labels = pool.days(days)
    plan = pool.deployment.plan
    monday = log["event_time"].min().normalize()
    live = monday + 2 * WEEK
    reference = freeze_reference(log[log["event_time"] < live].reset_index(drop=True), labels, plan)
    served = log[log["event_time"] >= live].reset_index(drop=True)
    found = Quiet()
    for start in (live + k * WEEK for k in range(CHAIN_WEEKS)):
        end = start + WEEK
        seen = served[served["event_time"] < end]
        window = seen[seen["event_time"] >= start]
        known = labels[labels["report_time"] <= end]
        examined = examine(window, reference, start=start.to_pydatetime(), end=end.to_pydatetime(), plan=plan)
        remembered = sequential(seen, reference, known, start=start.to_pydatetime(), now=end.to_pydatetime(), plan=plan)
        said = detections(examined, remembered, None, deployed=False, end=end.to_pydatetime())
        found += Quiet.one((d.detector for d in said if d.alarmed), len(window))
    return found


def _rows(job: tuple[int, int, Path]) -> dict[tuple[int, int], Quiet]:
    """For each size of reference, one reference and WINDOWS_PER_REFERENCE windows of each size."""
    seed, number, home = job
    pool, plan = _pool(seed, home), _pool(seed, home).deployment.plan
    monday = pool.log["event_time"].min().normalize()
    found: dict[tuple[int, int], Quiet] = {}
    for size in REFERENCES:
        rng = np.random.default_rng([seed, number, size])
        order = rng.permutation(len(pool.log))
        reference = freeze_reference(*pool.rows(order[:size], rng.integers(0, 2, size)), plan)
        start, end = (monday + k * WEEK for k in (2, 3))
        for rows in WINDOWS:
            for _ in range(WINDOWS_PER_REFERENCE):
                chosen = rng.choice(order[size:], rows, replace=False)
                window, _ = pool.rows(chosen, np.full(rows, 2))
                examined = examine(window, reference, start=start.to_pydatetime(), end=end.to_pydatetime(), plan=plan)
                said = detections(examined, (), None, deployed=False, end=end.to_pydatetime())
                quiet = Quiet.one((d.detector for d in said if d.alarmed and d.detector in OF_ROWS), rows)
                found[size, rows] = found.get((size, rows), Quiet()) + quiet
    return found
