"""The report card as a page of the documents: the goals, and what became of each scenario. Pure."""

from collections.abc import Iterable, Sequence

from tests.bench.drift_card import Card
from tests.bench.drift_goals import Goal
from tests.bench.drift_page import Measured

_NOTES = (
    "G8 and G9 are judged as served: the usual rate is known from two weeks of reference only. `rate known` is how the targets",
    "were published; `information` is about what the best detector of this run length needs then (Lorden 1971). G11 counts any",
    "alarm in a week without an injected drift, those of scores included that rise by themselves: a card's age, and the days",
    "since a report, begin with the first day on record.",
)


def document(measured: Measured) -> str:
    """labs/exercises/REPORT.md, as text."""
    card = measured.card
    seeds = len({outcome.seed for outcome in card.outcomes})
    return "\n".join(
        (
            "# What drift monitoring sees, and what it does not",
            "",
            f'Written by `make bench-drift ARGS="--{measured.length} --seeds {seeds} --document"`: {len(card.outcomes)} exercises.',
            "The same run draws this as a page, with heat map, power and delays: `.lab/bench/drift.html`.",
            "",
            "## Goals",
            "",
            *_table(("", "goal", "target", "measured", ""), ((g.name, g.what, g.target, g.measured, _mark(g)) for g in measured.goals)),
            "",
            *_NOTES,
            "",
            "## Scenarios",
            "",
            "Of those that must fire: in how many exercises they did, and the median number of weekly windows it took.",
            "",
            *_table(("id", "scenario", "must fire", "right decision", "wrong action", "right cause first"), _scenarios(card)),
            "",
        )
    )


def _scenarios(card: Card) -> Iterable[Sequence[str]]:
    for name in card.scenarios:
        fires = [cell for cell in card.cells if cell.scenario == name and cell.role == "must fire"]
        told = ", ".join(f"{cell.detector} {cell.fired.value:.0%} ({cell.windows[0]:.3g})" for cell in fires) or "–"
        cause = card.cause(name, 1)
        shares = [f"{rate.value:.0%}" if rate.of else "–" for rate in (card.decisions([name]), card.wrong(name), cause)]
        yield card.id(name), name, told, *shares


def _mark(goal: Goal) -> str:
    return f"**{goal.verdict}**" if goal.reached is False else goal.verdict


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
