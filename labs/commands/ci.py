"""`lab ci drift`: the catalogue, or part of it, as a check for continuous integration."""

import sys
from collections.abc import Sequence
from pathlib import Path

from data.errors import BadInput
from data.settings import Settings
from labs.commands.drift_run import keep
from labs.exercises.catalogue import Task, run_tasks
from labs.exercises.formats import EXIT_STATUS, FORMATS, line, overall
from labs.exercises.outcome import Outcome
from labs.exercises.select import choose


def drift(
    names: Sequence[str], *, seeds: int, form: str, expect: Path | None, scenarios: Path | None, out: Path | None, jobs: int | None
) -> int:
    """Run each named scenario (all when none is named) with `seeds` seeds and print it as `form`; progress goes to stderr.

    `out` keeps every outcome as JSON and as a page, and all as junit.xml. Returns 0 when all ended as expected, 1 when one did
    not, 2 when one is inconclusive. Raises BadInput for a name, format or file that does not fit.
    """
    if form not in FORMATS:
        raise BadInput("No such format.", next_step=f"Choose one of {', '.join(FORMATS)}.", where="--format")
    settings = Settings.load()
    tasks = [Task(scenario, settings.seed + k, review) for k in range(seeds) for scenario, review in choose(names, scenarios, expect)]

    def tell(outcome: Outcome) -> None:
        sys.stderr.write(line(outcome) + "\n")

    outcomes = run_tasks(tasks, settings.home, jobs=jobs, on_outcome=None if form == "text" else tell)
    if out is not None:
        for outcome in outcomes:
            keep(outcome, out)
        (out / "junit.xml").write_text(FORMATS["junit"](outcomes), encoding="utf-8")
    sys.stdout.write(FORMATS[form](outcomes))
    return EXIT_STATUS[overall(outcomes)]
