"""`lab drift run`: one drift exercise on the virtual clock, told for a person or for a program."""

import sys
from pathlib import Path

from rich.markup import escape

from data.settings import Settings
from labs.exercises.catalogue import Task, run_tasks
from labs.exercises.contract import said, to_bytes
from labs.exercises.expectations import Review
from labs.exercises.formats import EXIT_STATUS, SIGN
from labs.exercises.keep import keep
from labs.exercises.outcome import Damage, Outcome
from labs.exercises.page import render
from labs.exercises.select import choose
from labs.terminal import console, table
from pipelines.metrics import Interval

COLOUR = {"as expected": "green", "unexpected": "red", "inconclusive": "yellow"}


def run(name: str, strength: float | None, seed: int, scenarios: Path | None, *, as_json: bool) -> int:
    """Run one exercise, keep its JSON and its page under LAB_HOME, and print it; returns 0 as expected, 1 unexpected, 2 inconclusive.

    Raises BadInput for an unknown scenario or a strength that makes no sense.
    """
    home = Settings.load().home
    scenario, review = choose([name], scenarios, None)[0]
    outcome = run_tasks([Task(scenario, seed, Review(review.expected, strength))], home)[0]
    page = keep(outcome, render(outcome), home / "exercises")
    if as_json:
        sys.stdout.write(to_bytes(outcome).decode())
    else:
        _print(outcome, page)
    return EXIT_STATUS[outcome.result]


def _print(outcome: Outcome, page: Path) -> None:
    out, truth = console(), outcome.truth
    out.print(f"[bold]{outcome.catalogue_id} {outcome.scenario}[/]  {truth.mechanism}")
    until = f" to {truth.end}" if truth.end else ""
    out.print(f"[dim]strength {outcome.strength:g}, seed {outcome.seed}, {outcome.source}; from {truth.start}{until}[/]")
    columns = ", ".join(truth.columns[:4]) + (f" and {len(truth.columns) - 4} more" if len(truth.columns) > 4 else "")
    out.print(f"truth: acts on {truth.acts_on}; {truth.rows_touched:,} of {truth.rows:,} payments touched; columns {columns or 'none'}\n")
    rows = table("monitor", "first alarm", "on", "expected")
    for monitor in outcome.monitors:
        if monitor.first_alarm is None and monitor.role == "may fire":
            continue
        mark = "" if monitor.role == "may fire" else ("[green]✓[/] " if monitor.as_expected else "[red]✗[/] ") + monitor.role
        alarm = monitor.first_alarm
        rows.add_row(monitor.name, monitor.delay or "silent", str(alarm.on) if alarm else "–", mark or "[dim]either[/]")
    out.print(rows)
    quiet = [m.name for m in outcome.monitors if m.first_alarm is None and m.role == "may fire"]
    out.print(f"[dim]silent, as they may be: {', '.join(quiet) or 'none'}[/]\n")
    out.print(f"damage: {_damage(outcome.damage)}")
    for cause in outcome.causes[:3]:
        out.print(f"cause: {cause.column} {cause.what}, {cause.effect:.1%} of payments" + (f"; {cause.segment}" if cause.segment else ""))
    for one in outcome.evidence:
        out.print(f"  · {escape(one)}")
    right = " or ".join(said(action) for action in outcome.expected.decisions)
    out.print(f"decision: [bold]{said(outcome.decision)}[/], on {outcome.decided_on}; right is {right}")
    out.print(f"[bold {COLOUR[outcome.result]}]{SIGN[outcome.result]} {outcome.result}[/]")
    for reason in outcome.reasons:
        out.print(f"  · {reason}")
    out.print(f"[dim]page: {page}[/]", soft_wrap=True)


def _damage(lost: Damage | None) -> str:
    if lost is None:
        return "not known; too few labels since the change have matured"

    def interval(value: Interval, digits: int) -> str:
        return f"{-value.value:+.{digits}f} ({-value.high:+.{digits}f} to {-value.low:+.{digits}f})"

    return (
        f"average precision {interval(lost.average_precision, 3)}, recall at capacity {interval(lost.recall_at_capacity, 2)}, "
        f"EUR saved per thousand {interval(lost.saved_per_thousand, 0)}; labels told on {lost.knowable_on}"
    )
