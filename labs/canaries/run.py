"""Many canary exercises at once; a seed's stage is set once."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, NamedTuple

from data.world import WorldConfig
from labs.canaries.exercise import run_canary
from labs.canaries.outcome import Outcome
from labs.canaries.scenario import Canary
from labs.canaries.stage import Stage, set_stage
from labs.exercises.parallel import run_all

PAYMENTS_PER_DAY: Final = 4_000
FRAUD_SHARE: Final = 0.01  # twice the world's own: money is judged on frauds, and a minute of CI has room for few payments


class Task(NamedTuple):
    """One exercise to run."""

    canary: Canary
    seed: int


def run_tasks(
    tasks: Sequence[Task], home: Path, *, jobs: int | None = None, on_outcome: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """The outcomes in the order of `tasks`; see `run_all`."""
    return run_all(tasks, partial(run_group, home=home), set_up=partial(stage_of, home=home), jobs=jobs, on_outcome=on_outcome)


def run_group(tasks: Sequence[Task], home: Path) -> list[Outcome]:
    """Exercises of one process, in turn."""
    return [run_canary(task.canary, stage_of(task.seed, home), seed=task.seed) for task in tasks]


@lru_cache(maxsize=1)
def stage_of(seed: int, home: Path) -> Stage:
    """The stage of one seed; the last one asked for is kept, as exercises come by seed."""
    return set_stage(WorldConfig(seed=seed, transactions_per_day=PAYMENTS_PER_DAY, fraud_share=FRAUD_SHARE), home)
