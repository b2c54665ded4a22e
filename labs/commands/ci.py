"""`lab ci drift` and `lab ci canary`: a catalogue, or part of it, as a check for continuous integration."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from data.errors import BadInput
from data.settings import Settings
from labs.exercises.contract import Exercise
from labs.exercises.formats import EXIT_STATUS, FORMATS, line, overall
from labs.exercises.keep import keep

E = TypeVar("E", bound=Exercise)
Hear = Callable[[E], None] | None


@dataclass(frozen=True)
class Request:
    """What is to be run, and how it is told."""

    names: Sequence[str] = ()  # by name or id; all when empty
    seeds: int = 1  # how many, from the lab's own on
    form: str = "text"
    expect: Path | None = None  # expected outcomes under review
    out: Path | None = None  # where every outcome is kept as JSON and as a page, and all as junit.xml
    jobs: int | None = None
    every: bool = False  # --all was given

    def __post_init__(self) -> None:
        if self.every and self.names:
            raise BadInput("--all runs the whole catalogue.", next_step="Leave out --all, or --scenario.", where="--all")
        if self.form not in FORMATS:
            raise BadInput("No such format.", next_step=f"Choose one of {', '.join(FORMATS)}.", where="--format")


def drift(asked: Request, scenarios: Path | None) -> int:
    """Run drift exercises, those of a team's own file too; the exit status. Raises BadInput for a name or file that does not fit."""
    from labs.exercises.catalogue import Task, run_tasks
    from labs.exercises.page import render
    from labs.exercises.select import choose

    settings = Settings.load()
    chosen = choose(asked.names, scenarios, asked.expect)
    tasks = [Task(scenario, settings.seed + k, review) for k in range(asked.seeds) for scenario, review in chosen]
    return _told(asked, lambda hear: run_tasks(tasks, settings.home, jobs=asked.jobs, on_outcome=hear), render)


def canary(asked: Request) -> int:
    """The same for canary exercises."""
    from labs.canaries.page import render
    from labs.canaries.run import Task, run_tasks
    from labs.canaries.select import choose

    settings = Settings.load()
    chosen = choose(asked.names, asked.expect)
    tasks = [Task(one, settings.seed + k) for k in range(asked.seeds) for one in chosen]
    return _told(asked, lambda hear: run_tasks(tasks, settings.home, jobs=asked.jobs, on_outcome=hear), render)


def _told(asked: Request, run: Callable[[Hear[E]], list[E]], render: Callable[[E], str]) -> int:
    """Run, keep and print; progress goes to stderr.

    Returns 0 when all ended as expected, 1 when one did not, 2 when one is inconclusive.
    """

    def hear(outcome: E) -> None:
        sys.stderr.write(line(outcome) + "\n")

    outcomes = run(None if asked.form == "text" else hear)
    if asked.out is not None:
        for outcome in outcomes:
            keep(outcome, render(outcome), asked.out)
        (asked.out / "junit.xml").write_text(FORMATS["junit"](outcomes), encoding="utf-8")
    sys.stdout.write(FORMATS[asked.form](outcomes))
    return EXIT_STATUS[overall(outcomes)]
