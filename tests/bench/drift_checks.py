"""Goals that are checks: installation, label-free estimates, malformed windows, speed, equal bytes. G1, G13, G14, G15 and part 8."""

import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from data.errors import StepFailed
from data.scenarios import scenario
from data.settings import REPOSITORY
from labs.exercises.catalogue import Task, deployment_of, run_tasks
from labs.exercises.contract import to_bytes
from labs.exercises.deployment import ONSET
from labs.exercises.expectations import catalogue_review
from labs.exercises.outcome import Outcome, Precision
from labs.exercises.serve import serve
from pipelines.monitoring.portfolio import detections, examine
from pipelines.monitoring.profile import CATEGORICAL, WATCHED
from pipelines.monitoring.window_checks import check_window
from tests.bench.drift_card import Card
from tests.bench.drift_goals import Goal
from tests.unit.test_drift_report import MALFORMED, REFERENCE, WINDOW

TOOLS = ("mlflow", "prefect", "fastapi", "evidently", "sklearn", "lightgbm", "locust", "numpy", "pandas")
ESTIMATED = ("channel_push", "price_rise", "new_category", "time_zone")  # D1, D2, D7, D8
BLIND = ("mis_join", "new_pattern")  # D9, D12
DETECTORS_OF_THE_PORTFOLIO = "import pipelines.monitoring.portfolio, pipelines.monitoring.streams, pipelines.monitoring.verdict"
CATALOGUE_S = 60.0
REPEATED = ("unit_change", "mis_join", "lost_calibrator", "labels_late")  # a fault of each layer that costs no world of its own
ENOUGH_REPEATS = 50


def judge_install() -> Goal:
    """G1: the tools import side by side, each in a process of its own as in life."""
    failed = [tool for tool in TOOLS if not _imports(f"import {tool}")]
    said = f"{len(TOOLS) - len(failed)} of {len(TOOLS)} import on the lock, pandas {version('pandas')}"
    return Goal("G1", "the tools import on one lock", "all of them", said + (f"; not {', '.join(failed)}" if failed else ""), not failed)


def judge_estimates(card: Card) -> Goal:
    """G13: alerts weigh alike, so that many small windows tell what one cannot (its 250 alerts hold thirty frauds).

    Judged is the mean over all seeds; how far a single one is off, its few frauds' scatter included, is said beside it.
    """
    off = {name: _error(_believed(card.of(name))) for name in ESTIMATED}
    alone = [error for name in ESTIMATED for outcome in card.of(name) if (error := _error(_believed([outcome]))) is not None]
    blind = {name: _error([p for outcome in card.of(name) for p in _after(outcome)]) for name in BLIND}
    shown = ", ".join(f"{card.id(name)} {error:+.0%}" for name, error in off.items() if error is not None)
    wrong = ", ".join(f"{card.id(name)} {error:+.0%} ({_disowned(card.of(name))})" for name, error in blind.items() if error is not None)
    known = [abs(error) for error in off.values() if error is not None]
    proven = all(error is not None and abs(error) > 0.1 for error in blind.values())
    reached = bool(known) and len(known) == len(ESTIMATED) and max(known) <= 0.1 and proven
    typical = f"; of a single exercise ± {np.median(np.abs(alone)):.0%}" if alone else ""
    measured = f"estimate over realised: {shown or 'never valid'}{typical}; on {wrong or 'nothing'}"
    return Goal("G13", "label-free precision where it says it is valid", "± 10 % on D1, D2, D7, D8; wrong on D9, D12", measured, reached)


def judge_malformed() -> Goal:
    """G14: every kind of malformed window ends in its typed finding."""
    typed = 0
    for make, kind in MALFORMED.values():
        found = check_window(make(WINDOW), REFERENCE, list(WATCHED), words=CATEGORICAL).findings
        typed += kind in {finding.kind for finding in found}
    return Goal("G14", "malformed windows", "12 typed findings, no crash", f"{typed} of {len(MALFORMED)}", typed == len(MALFORMED) == 12)


def judge_speed(home: Path, seed: int) -> Goal:
    """G15: CPU of the portfolio's window tests on 10,000 rows, the import, and the catalogue of one seed on two cores."""
    deployment = deployment_of(seed, home)
    log = serve(deployment, scenario("none").inject(deployment.source.midnight(ONSET).date(), seed=seed), last=ONSET + 7).log
    window = log.iloc[-10_000:].reset_index(drop=True)
    start, end = (deployment.source.midnight(day) for day in (ONSET, ONSET + 7))
    cpu = []
    for _ in range(9):
        began = time.process_time()
        detections(examine(window, deployment.reference, start=start, end=end, plan=deployment.plan), (), None, deployed=False, end=end)
        cpu.append(1000 * (time.process_time() - began))
    imported = _seconds([sys.executable, "-c", DETECTORS_OF_THE_PORTFOLIO])
    catalogue = _seconds([sys.executable, "-c", "from labs.cli import main; main()", "ci", "drift", "--all"], ends=(0, 1, 2))
    measured = f"{np.median(cpu):.0f} ms; catalogue {catalogue:.0f} s; import {imported:.1f} s"
    return Goal(
        "G15", "speed: a window of 10,000 rows; one seed; import", "≤ 50 ms CPU; ≤ 60 s; ≤ 1.5 s", measured,
        bool(np.median(cpu) <= 50 and catalogue <= CATALOGUE_S and imported <= 1.5),
    )  # fmt: skip


def judge_repeats(home: Path, seed: int, repeats: int) -> Goal:
    """Part 8, no flakes: the same exercises again and again, in several processes, give the same bytes."""
    tasks = [Task(one, seed, catalogue_review(one)) for one in map(scenario, REPEATED)]
    outcomes = run_tasks(tasks * repeats, home)
    differ = [name for name in REPEATED if len({to_bytes(outcome) for outcome in outcomes if outcome.scenario == name}) > 1]
    said = f"{repeats} runs of {len(tasks)} scenarios: " + (f"bytes differ in {', '.join(differ)}" if differ else "one kind of bytes each")
    short = repeats < ENOUGH_REPEATS and not differ
    said += f"; {ENOUGH_REPEATS} runs are needed" if short else ""
    return Goal("P8", "equal runs give equal bytes", f"one kind each, in {ENOUGH_REPEATS} runs", said, None if short else not differ)


def _disowned(outcomes: Sequence[Outcome]) -> str:
    """How often it said itself that it is not valid."""
    said = [precision for outcome in outcomes for precision in _after(outcome)]
    return f"{sum(not p.valid for p in said)} of {len(said)} windows say it is not valid"


def _believed(outcomes: Sequence[Outcome]) -> list[Precision]:
    return [precision for outcome in outcomes for precision in _after(outcome) if precision.valid]


def _after(outcome: Outcome) -> list[Precision]:
    """Of the windows after the onset."""
    return [w.precision for w in outcome.windows if w.precision is not None and w.end >= outcome.truth.start]


def _error(precisions: Sequence[Precision]) -> float | None:
    """Expected frauds among the alerts over those that were, less 1."""
    known = [p for p in precisions if p.realised is not None]
    frauds = sum(p.alerts * p.realised for p in known if p.realised is not None)
    return sum(p.alerts * p.estimated.value for p in known) / frauds - 1 if frauds else None


def _imports(statement: str) -> bool:
    return subprocess.run([sys.executable, "-c", statement], cwd=REPOSITORY, capture_output=True, check=False).returncode == 0


def _seconds(command: Sequence[str], ends: Sequence[int] = (0,)) -> float:
    """How long it took to one of the exit statuses `ends`; another is a failure of the bench."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode not in ends:
        raise StepFailed(f"{command[-3:]} ended with {done.returncode}: {done.stderr[-500:]}", next_step="Run it by hand.", where="speed")
    return time.perf_counter() - began
