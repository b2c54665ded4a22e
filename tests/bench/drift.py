"""The report card of drift monitoring: what each detector saw of each scenario, how often it cried wolf, what was decided.

python -m tests.bench.drift --ci            # two seeds: what continuous integration runs, in two minutes
python -m tests.bench.drift --quick         # ten seeds
python -m tests.bench.drift --nightly       # a hundred
python -m tests.bench.drift --data <file>   # and what a retraining wins back on recorded payments too (the Handbook's, say)

Prints the goals of the drift catalogue beside what was reached, and writes bench/drift.json and bench/drift.html (one page,
nothing to fetch) under LAB_HOME.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from data.dataset import Dataset
from data.environment import prepare_environment
from data.scenarios import SCENARIOS
from data.settings import Settings
from data.sources import import_file
from data.world import WorldConfig
from labs.exercises.catalogue import Task, run_tasks
from labs.exercises.deployment import END
from labs.exercises.expectations import catalogue_review
from labs.exercises.outcome import Outcome
from labs.exercises.source import PAYMENTS_PER_DAY, recorded_source, world_source
from tests.bench.drift_card import Card, failures, judge_card
from tests.bench.drift_goals import Goal
from tests.bench.drift_recovery import recovery
from tests.bench.table import conclude, publish


@dataclass(frozen=True)
class Length:
    """How much one run measures."""

    seeds: int


LENGTHS = {"ci": Length(2), "quick": Length(10), "nightly": Length(100)}
FIRST_SEED = 101  # seeds on which nothing was tuned


def run_catalogue(seeds: int, home: Path) -> Card:
    """Every scenario with every seed, a dot for each exercise."""
    tasks = [Task(one, FIRST_SEED + k, catalogue_review(one)) for k in range(seeds) for one in SCENARIOS.values()]

    def dot(outcome: Outcome) -> None:
        sys.stderr.write({"as expected": ".", "unexpected": "x", "inconclusive": "?"}[outcome.result])
        sys.stderr.flush()

    outcomes = run_tasks(tasks, home, on_outcome=dot)
    sys.stderr.write("\n")
    return Card(tuple(outcomes))


def print_card(card: Card) -> None:
    """A line per scenario: who must fire and how soon it did, and the decisions."""
    rows: list[list[object]] = []
    for name in card.scenarios:
        fires = [cell for cell in card.cells if cell.scenario == name and cell.role == "must fire"]
        told = ", ".join(f"{cell.detector} {cell.fired.value:.0%} in {cell.windows[0]:g} w" for cell in fires)
        right, wrong = card.decisions([name]), card.wrong(name)
        rows.append([card.id(name), name, told or "–", f"{right.value:.0%}", f"{wrong.value:.0%}"])
    columns = ["id", "scenario", "must fire: how often, median delay in windows", "right", "wrong action"]
    publish("drift_catalogue", "The catalogue", columns, rows, card.to_json())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 0 when every goal that was measured is reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drift", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    length = parser.add_mutually_exclusive_group()
    for name, given in LENGTHS.items():
        length.add_argument(f"--{name}", dest="length", action="store_const", const=name, default="quick", help=f"{given.seeds} seeds")
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args(arguments)
    prepare_environment()
    home, began = Settings.load().home, time.monotonic()
    card = run_catalogue(LENGTHS[asked.length].seeds, home)
    print_card(card)
    goals = judge_card(card)
    misses = [] if asked.length == "ci" else recovered(asked.data, home)
    _print_goals(goals)
    _keep(card, goals, home, asked.length, time.monotonic() - began)
    misses += [f"{goal.name} {goal.what}: {goal.measured}; {goal.target} wanted" for goal in goals if goal.reached is False]
    return conclude([*misses, *failures(card.outcomes)[:20]] if misses else misses)


def recovered(data: Path | None, home: Path) -> list[str]:
    """What a retraining wins back, on the world and on recorded payments if there are any."""
    misses = recovery(world_source(WorldConfig(transactions_per_day=2 * PAYMENTS_PER_DAY)), "world", home)
    if data is not None:
        with tempfile.TemporaryDirectory() as folder:
            dataset = Dataset(Path(folder) / "data")
            import_file(data, dataset, days=END + 1)
            misses += recovery(recorded_source(dataset), "handbook", Path(folder))
    return misses


def _print_goals(goals: Sequence[Goal]) -> None:
    rows: list[list[object]] = [[goal.name, goal.what, goal.target, goal.measured, goal.verdict] for goal in goals]
    publish("drift_goals", "Goals", ["", "what", "target", "measured", ""], rows, {})


def _keep(card: Card, goals: Sequence[Goal], home: Path, length: str, seconds: float) -> None:
    facts = {"length": length, "seconds": round(seconds), "goals": [asdict(goal) for goal in goals], "card": card.to_json()}
    (home / "bench" / "drift.json").write_text(json.dumps(facts, indent=2, default=str) + "\n")


if __name__ == "__main__":
    sys.exit(main())
