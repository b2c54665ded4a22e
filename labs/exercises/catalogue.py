"""Many drift exercises at once; a seed's champion is deployed once."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from data.scenarios import Scenario
from data.world import WorldConfig
from labs.exercises.deployment import Deployment, deploy
from labs.exercises.exercise import run_exercise
from labs.exercises.expectations import Review
from labs.exercises.outcome import Outcome
from labs.exercises.parallel import run_all
from labs.exercises.source import PAYMENTS_PER_DAY, world_source


class Task(NamedTuple):
    """One exercise to run on the synthetic world."""

    scenario: Scenario
    seed: int
    review: Review


def run_tasks(
    tasks: Sequence[Task], home: Path, *, jobs: int | None = None, on_outcome: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """The outcomes in the order of `tasks`; see `run_all`. Raises what `run_exercise` raises."""
    return run_all(tasks, partial(run_group, home=home), set_up=partial(deployment_of, home=home), jobs=jobs, on_outcome=on_outcome)


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
