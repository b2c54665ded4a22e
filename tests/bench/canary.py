"""Our canary rule beside the others': false rollbacks and exposure on the same rollouts, and the goals H1 to H13.

python -m tests.bench.canary --ci            # what continuous integration runs: under two minutes
python -m tests.bench.canary --quick         # 2,000 rollouts of each kind
python -m tests.bench.canary --nightly       # 10,000

Prints the fair table and the goals, and writes bench/canary.json and bench/canary.html (one page, nothing to fetch) under LAB_HOME.
H5, H6, H8, H9 and H11 are other benches' goals: their newest results are read from the same folder.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

from data.environment import prepare_environment
from data.settings import Settings
from tests.bench import canary_alerts, canary_fair, canary_guards, canary_money, canary_replay
from tests.bench.canary_goals import (
    ELSEWHERE,
    from_elsewhere,
    judge_alerts,
    judge_comparison,
    judge_exposure,
    judge_false,
    judge_latency,
    judge_money,
    judge_replay,
    judge_split,
)
from tests.bench.canary_page import Measured, render
from tests.bench.canary_ramp import LEVELS
from tests.bench.canary_rules import RULES
from tests.bench.drift_goals import Goal
from tests.bench.table import conclude, publish

SEED: Final = 2026
T = TypeVar("T")


@dataclass(frozen=True)
class Length:
    """How much one run measures."""

    rollouts: int  # of each rule at each level
    quiet: int  # whole rollouts without a fault, at each base rate
    guards: int  # of each latency and split
    nulls: int  # replays of equal challengers
    replays: int  # rollouts judged again


LENGTHS: Final = {
    "ci": Length(2_000, 2_000, 2_000, 2_000, 2),
    "quick": Length(2_000, 2_000, 4_000, 2_000, 4),
    "nightly": Length(10_000, 10_000, 10_000, 10_000, 4),
}


def measure(length: str, folder: Path) -> Measured:
    """Everything, with the goals in their order."""
    asked = LENGTHS[length]
    cells = _timed("fair table", lambda: canary_fair.measure(asked.rollouts, SEED))
    false = _timed(
        "false rollbacks", lambda: {base: canary_guards.false_rollbacks(base, asked.quiet, SEED) for base in canary_guards.BASES}
    )
    found = _timed("latency", lambda: canary_guards.latency(asked.guards, SEED))
    on_ramp = canary_guards.latency_on_ramp(asked.guards, SEED)
    split = _timed("sample ratio", lambda: canary_guards.sample_ratio(asked.guards, SEED))
    alerts = _timed("alerts", lambda: canary_alerts.measure(asked.nulls, SEED))
    worths, null = _timed("money", lambda: canary_money.measure(asked.nulls, SEED))
    again = _timed("replay", lambda: canary_replay.from_log(asked.replays))
    poisoned = _timed("poisoned future", lambda: canary_replay.with_poisoned_future(asked.replays))
    rollouts = _timed("rollouts", canary_replay.courses)
    goals = [
        judge_false(false),
        judge_alerts(alerts),
        judge_exposure(cells),
        *judge_latency(found, on_ramp),
        judge_split(split),
        judge_money(worths, null),
        *judge_replay(again, poisoned),
        judge_comparison(cells, folder / "canary.html"),
        *from_elsewhere(folder),
    ]
    goals.sort(key=lambda goal: int(goal.name[1:]))
    return Measured(length, goals, cells, false, [*found, *on_ramp], split, worths, null, rollouts)


def _timed(what: str, do: Callable[[], T]) -> T:
    began = time.process_time()
    done = do()
    sys.stderr.write(f"{what}: {time.process_time() - began:.0f} s of CPU\n")
    return done


def print_table(measured: Measured) -> None:
    """The fair table."""
    rows: list[list[object]] = [
        [level.told(), *(canary_fair.find(measured.cells, level, rule.name).told() for rule in RULES)] for level in LEVELS
    ]
    title = "Rollouts stopped: share of sound ones (first two rows), else canary requests answered by then, median (p95)"
    publish("canary_fair", title, ["failing, stable → canary", *(rule.name for rule in RULES)], rows, {})


def print_goals(goals: Sequence[Goal]) -> None:
    """The goals beside what was reached."""
    rows: list[list[object]] = [[goal.name, goal.what, goal.target, goal.measured, goal.verdict] for goal in goals]
    publish("canary_goals", "Goals", ["", "what", "target", "measured", ""], rows, {})


def keep(measured: Measured, folder: Path, seconds: float) -> None:
    """Write canary.json and canary.html, and say where."""
    cells = [
        {
            "stable": cell.level.stable,
            "canary": cell.level.canary,
            "rule": cell.rule,
            **asdict(cell.stopped),
            "median": cell.median,
            "p95": cell.late,
        }
        for cell in measured.cells
    ]
    facts = {
        "length": measured.length,
        "seconds": round(seconds),
        "goals": [asdict(goal) | {"verdict": goal.verdict} for goal in measured.goals],
        "rules": {rule.name: rule.how for rule in RULES},
        "cells": cells,
        "false_rollbacks": {str(base): asdict(rate) for base, rate in measured.false.items()},
        "guards": [asdict(one) for one in (*measured.latency, *measured.split)],
        "money": [asdict(worth) for worth in measured.worths],
        "null": [asdict(rate) for rate in measured.null],
    }
    (folder / "canary.json").write_text(json.dumps(facts, indent=2) + "\n")
    page = folder / "canary.html"
    page.write_text(render(measured), encoding="utf-8")
    sys.stdout.write(f"{page}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 0 when every goal of its own that could be judged is reached."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.canary", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    length = parser.add_mutually_exclusive_group()
    for name, given in LENGTHS.items():
        told = f"{given.rollouts:,} rollouts of each kind, {given.replays} judged again"
        length.add_argument(f"--{name}", dest="length", action="store_const", const=name, default="quick", help=told)
    asked = parser.parse_args(arguments)
    prepare_environment()
    folder, began = Settings.load().home / "bench", time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    measured = measure(asked.length, folder)
    print_table(measured)
    print_goals(measured.goals)
    keep(measured, folder, time.monotonic() - began)
    missed = [goal for goal in measured.goals if goal.reached is False and goal.name not in ELSEWHERE]
    return conclude([f"{goal.name} {goal.what}: {goal.measured}; {goal.target} wanted" for goal in missed])


if __name__ == "__main__":
    sys.exit(main())
