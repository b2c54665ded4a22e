"""Many exercises at once, one process per core: each process sets up what a seed's exercises share once, and runs its own one by one.

Which process runs what changes nothing but the time it takes: an exercise depends on its scenario, seed and dose alone.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Protocol, TypeVar


class Seeded(Protocol):
    """One exercise to run."""

    @property
    def seed(self) -> int: ...


T = TypeVar("T", bound=Seeded)
Ended = TypeVar("Ended")


def run_all(
    tasks: Sequence[T],
    run_group: Callable[[Sequence[T]], list[Ended]],
    *,
    set_up: Callable[[int], object],
    jobs: int | None = None,
    on_outcome: Callable[[Ended], None] | None = None,
) -> list[Ended]:
    """The outcomes in the order of `tasks`; `on_outcome` hears of each group as it ends.

    `run_group` runs exercises of one seed in turn, in a process of its own, and is picklable; `set_up` makes what a seed's
    exercises share, so that the processes find it made. `jobs`: processes, one per core when None. Raises what these raise.
    """
    jobs = jobs or cores()
    groups = list(groups_of(tasks, jobs))
    outcomes: dict[int, Ended] = {}

    def take(group: Sequence[int], done: Sequence[Ended]) -> None:
        for place, outcome in zip(group, done, strict=True):
            outcomes[place] = outcome
            if on_outcome:
                on_outcome(outcome)

    if jobs == 1 or len(tasks) == 1:
        for group in groups:
            take(group, run_group([tasks[k] for k in group]))
    else:
        for seed in {tasks[group[0]].seed for group in groups if len(groups) > len({task.seed for task in tasks})}:
            set_up(seed)  # one training for the processes that share a seed
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(run_group, [tasks[k] for k in group]): group for group in groups}
            for future in as_completed(running):
                take(running[future], future.result())
    return [outcomes[place] for place in range(len(tasks))]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def groups_of(tasks: Sequence[Seeded], jobs: int) -> Iterator[list[int]]:
    """Places of the tasks, one group per seed; a few seeds are dealt out among the processes like cards."""
    seeds: dict[int, list[int]] = {}
    for place, task in enumerate(tasks):
        seeds.setdefault(task.seed, []).append(place)
    hands = -(-jobs // len(seeds)) if seeds else 1
    for places in seeds.values():
        yield from (hand for hand in (places[k::hands] for k in range(hands)) if hand)
