"""`lab canary list` and `lab canary run`: challengers with a known fault, and what a rollout makes of each on a virtual clock."""

import sys

from rich.markup import escape
from rich.padding import Padding

from data.settings import Settings
from labs.canaries.catalogue import CANARIES
from labs.canaries.outcome import Outcome
from labs.canaries.page import render
from labs.canaries.run import Task, run_tasks
from labs.canaries.scenario import Canary, Expectation
from labs.canaries.select import choose
from labs.exercises.contract import said, to_bytes
from labs.exercises.formats import EXIT_STATUS, SIGN, as_json, overall
from labs.exercises.keep import keep
from labs.terminal import console, print_json, table

COLOUR = {"as expected": "green", "unexpected": "red", "inconclusive": "yellow"}
LIST_WIDTH = 100


def list_canaries(*, as_json: bool) -> None:
    """Print every exercise: what happens, and how its rollout must end."""
    if as_json:
        print_json([_facts(one) for one in CANARIES.values()])
        return
    rows = table("id", "canary", "what happens", "must end")
    for one in CANARIES.values():
        rows.add_row(one.catalogue_id, one.name, one.mechanism, expected_in_words(one.expected))
    out = console(width=LIST_WIDTH)
    out.print(rows)
    out.print("\nOne of them, without servers: [bold]lab canary run C5[/]. All of them: [bold]lab ci canary[/].")
    out.print("Into the challenger of the running lab: [bold]lab canary inject C3[/], then [bold]lab rollout start[/].")


def run(name: str, seed: int, *, json: bool) -> int:
    """Run the exercises of a name or id, keep each as JSON and page under LAB_HOME, and print them; the exit status.

    Raises BadInput for an unknown one.
    """
    home = Settings.load().home
    outcomes = run_tasks([Task(one, seed) for one in choose([name], None)], home)
    pages = [keep(outcome, render(outcome), home / "exercises") for outcome in outcomes]
    if json:
        sys.stdout.write(to_bytes(outcomes[0]).decode() if len(outcomes) == 1 else as_json(outcomes))
        return EXIT_STATUS[overall(outcomes)]
    for outcome, page in zip(outcomes, pages, strict=True):
        _print(outcome)
        console().print(f"[dim]page: {page}[/]\n", soft_wrap=True)
    return EXIT_STATUS[overall(outcomes)]


def expected_in_words(expected: Expectation) -> str:
    """How a rollout must end, and whom it may meet."""
    words = " or ".join(map(said, expected.results)) + (", after a pause" if expected.pauses else "")
    return words if expected.exposed_at_most is None else f"{words}; {expected.exposed_at_most:,} exposed at most"


def _facts(one: Canary) -> dict[str, object]:
    expected = one.expected
    return {
        "name": one.name, "catalogue_id": one.catalogue_id, "mechanism": one.mechanism, "challenger": one.challenger, "worth": one.worth,
        "ends": expected.results, "says": expected.says, "pauses": expected.pauses, "exposed_at_most": expected.exposed_at_most,
        "noticed_at_most": expected.noticed_at_most,
    }  # fmt: skip


def _print(outcome: Outcome) -> None:
    out, truth = console(), outcome.truth
    out.print(f"[bold]{outcome.catalogue_id} {outcome.scenario}[/]  {escape(truth.mechanism)}")
    out.print(f"[dim]seed {outcome.seed}, {outcome.source}; the challenger: {escape(truth.challenger)}[/]")
    out.print(f"truth: its scores {truth.money}\n")
    rows = table("step", "since", "payments", "exposed", "verdict")
    for step in outcome.steps:
        rows.add_row(step.step, step.since[:16].replace("T", " "), f"{step.payments:,}", f"{step.exposed:,}", said(step.verdict))
    if outcome.steps:
        out.print(rows)
    for reason in outcome.evidence:
        out.print(Padding(escape(reason), (0, 0, 0, 2)))
    noticed = "" if outcome.noticed is None else f"; the judge first objected after {outcome.noticed:,}"
    out.print(f"\n{outcome.exposed:,} payments of the challenger's cards, {outcome.seen:,} scored by it{noticed}")
    out.print(f"ended: [bold]{said(outcome.ended)}[/]; right is {expected_in_words(outcome.expected)}")
    out.print(f"[bold {COLOUR[outcome.result]}]{SIGN[outcome.result]} {outcome.result}[/]")
    for reason in outcome.reasons:
        out.print(f"  · {escape(reason)}")
