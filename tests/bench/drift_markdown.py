"""The report card as a page of the documents: the goals, and what became of each scenario. Pure."""

from collections.abc import Iterable, Sequence

from pipelines.monitoring.detectors import DETECTORS
from tests.bench.drift_card import Card, Cell
from tests.bench.drift_goals import Goal
from tests.bench.drift_page import Measured
from tests.bench.drift_quiet import Quiet

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
            "## Detectors",
            "",
            "In how many of a hundred exercises each alarmed. **Bold**: it must; *slanted*: it must not,",
            "and did; –: it must not, and did not.",
            "",
            *_table(("id", "scenario", *(name.replace("_", " ") for name in DETECTORS)), _detectors(card)),
            "",
            f"False alarms per 1,000 quiet windows, with their 95 % interval: {measured.days.windows:,} of drawn days, and",
            f"{measured.weeks.windows:,} weeks in order. Those that are not named raised none.",
            "",
            *_table(("detector", "days drawn", "weeks in order"), _false_alarms(measured.days, measured.weeks)),
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


def _detectors(card: Card) -> Iterable[Sequence[str]]:
    for name in card.scenarios:
        yield card.id(name), name, *(_fired(card.cell(name, detector)) for detector in DETECTORS)


def _fired(cell: Cell) -> str:
    share = f"{100 * cell.fired.value:.0f}" if cell.fired.hits else ""
    if cell.role == "must fire":
        return f"**{share or 0}**"
    if cell.role == "must stay silent":
        return f"*{share}*" if share else "–"
    return share


def _false_alarms(days: Quiet, weeks: Quiet) -> Iterable[Sequence[str]]:
    yield "any", days.any.per_thousand(), weeks.any.per_thousand()
    for detector in DETECTORS:
        drawn, in_order = days.of(detector), weeks.of(detector)
        if drawn.hits or in_order.hits:
            yield detector.replace("_", " "), drawn.per_thousand(), in_order.per_thousand()


def _mark(goal: Goal) -> str:
    return f"**{goal.verdict}**" if goal.reached is False else goal.verdict


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
