"""Many exercises at once, one process per core: each process deploys a seed's champion once and runs its exercises one by one.

Which process runs what changes nothing but the time it takes: an exercise depends on its scenario, seed and strength alone.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from data.scenarios import Scenario
from data.world import WorldConfig
from labs.exercises.deployment import Deployment, deploy
from labs.exercises.exercise import run_exercise
from labs.exercises.expectations import Review
from labs.exercises.outcome import Outcome
from labs.exercises.source import PAYMENTS_PER_DAY, world_source

Report = Callable[[Outcome], None]


class Task(NamedTuple):
    """One exercise to run on the synthetic world."""

    scenario: Scenario
    seed: int
    review: Review


def run_tasks(tasks: Sequence[Task], home: Path, *, jobs: int | None = None, on_outcome: Report | None = None) -> list[Outcome]:
    """The outcomes in the order of `tasks`; `on_outcome` hears of each group as it ends. `jobs`: processes, one per core when None.

    Raises what `run_exercise` raises.
    """
    jobs = jobs or cores()
    groups = list(_groups(tasks, jobs))
    outcomes: dict[int, Outcome] = {}

    def take(group: Sequence[int], done: Sequence[Outcome]) -> None:
        for place, outcome in zip(group, done, strict=True):
            outcomes[place] = outcome
            if on_outcome:
                on_outcome(outcome)

    if jobs == 1 or len(tasks) == 1:
        for group in groups:
            take(group, run_group([tasks[k] for k in group], home))
    else:
        for seed in {tasks[group[0]].seed for group in groups if len(groups) > len({task.seed for task in tasks})}:
            deployment_of(seed, home)  # one training for the processes that share a seed
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(run_group, [tasks[k] for k in group], home): group for group in groups}
            for future in as_completed(running):
                take(running[future], future.result())
    return [outcomes[place] for place in range(len(tasks))]


def run_group(tasks: Sequence[Task], home: Path) -> list[Outcome]:
    """Exercises of one process, in turn."""
    return [
        run_exercise(
            task.scenario, deployment_of(task.seed, home), seed=task.seed, strength=task.review.strength, expected=task.review.expected
        )
        for task in tasks
    ]


@lru_cache(maxsize=1)
def deployment_of(seed: int, home: Path) -> Deployment:
    """The champion of one seed of the world; the last one asked for is kept, as exercises come by seed."""
    return deploy(world_source(WorldConfig(seed=seed, transactions_per_day=PAYMENTS_PER_DAY)), home)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _groups(tasks: Sequence[Task], jobs: int) -> Iterator[list[int]]:
    """Places of the tasks, one group per seed; a few seeds are dealt out among the processes like cards."""
    seeds: dict[int, list[int]] = {}
    for place, task in enumerate(tasks):
        seeds.setdefault(task.seed, []).append(place)
    hands = -(-jobs // len(seeds)) if seeds else 1
    for places in seeds.values():
        yield from (hand for hand in (places[k::hands] for k in range(hands)) if hand)
