"""The report card as one page: goals, heat map, power, delays, false alarms, decisions. Nothing to fetch, nothing to run."""

from collections.abc import Sequence
from dataclasses import dataclass

from labs.report.markup import figure, section, table, text
from labs.report.page import document
from pipelines.monitoring.detectors import DETECTORS
from tests.bench.drift_card import Card, Cell
from tests.bench.drift_goals import Goal, Rate
from tests.bench.drift_plots import delays, power_curves
from tests.bench.drift_power import Point
from tests.bench.drift_quiet import Quiet
from tests.bench.drift_streams import Delays

GOAL_STYLE = """
.goal { display: grid; grid-template-columns: 2.8rem 1fr auto; gap: 0.1rem 0.6rem; padding: 0.6rem 0;
  border-bottom: 1px solid var(--grid); }
.goal .told { grid-column: 2 / 4; color: var(--muted); font-size: 0.9rem; overflow-wrap: anywhere; }
.reached { color: var(--good); font-weight: 600; } .MISSED { color: var(--bad); font-weight: 600; }
.not { color: var(--muted); white-space: nowrap; }
"""
_STYLE = (
    GOAL_STYLE
    + """
.heat table { border-collapse: separate; border-spacing: 2px; font-size: 0.78rem; }
.heat th, .heat td { padding: 0; border: 0; }
.heat th[scope="col"] { height: 8.2rem; vertical-align: bottom; }
.heat th[scope="col"] span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; font-weight: 500; }
.heat th[scope="row"] { white-space: nowrap; padding-right: 0.6rem; text-align: left; color: var(--ink); font-weight: 500;
  position: sticky; left: 0; background: var(--paper); }
.heat td { width: 2.5rem; min-width: 2.1rem; height: 1.75rem; text-align: center; vertical-align: middle; border-radius: 3px;
  background: color-mix(in srgb, var(--tone) var(--share), var(--panel)); font-variant-numeric: tabular-nums; }
.heat .must { --tone: var(--good); outline: 1.5px solid var(--good); outline-offset: -1.5px; }
.heat .missed { outline: 2px solid var(--bad); outline-offset: -2px; font-weight: 700; }
.heat .missed:not(.strong) { color: var(--bad); }
.heat .silent { --tone: var(--bad); }
.heat .free { --tone: var(--series-1); }
.key { display: inline-block; width: 1rem; height: 1rem; border-radius: 3px; vertical-align: -0.15rem; margin: 0 0.3rem 0 0.8rem; }
.heat .strong { color: var(--paper); }
"""
)


@dataclass(frozen=True)
class Measured:
    """Everything that a run of the bench measured."""

    length: str
    card: Card
    goals: Sequence[Goal]
    rows: dict[tuple[int, int], Quiet]
    days: Quiet
    weeks: Quiet
    points: Sequence[Point]
    streams: Sequence[Delays]


def render(measured: Measured) -> str:
    """The page as text."""
    parts = (
        _head(measured),
        goals_section(measured.goals),
        _heat(measured.card),
        _power(measured.points),
        _delays(measured),
        _quiet(measured),
    )
    return document("Drift report card", (*parts, _decisions(measured.card)), _STYLE)


def _head(measured: Measured) -> str:
    goals = measured.goals
    reached, judged = sum(goal.reached is True for goal in goals), sum(goal.reached is not None for goal in goals)
    seeds, exercises = len({outcome.seed for outcome in measured.card.outcomes}), len(measured.card.outcomes)
    good = "lead" if reached == judged else "lead bad"
    return (
        f'<p class="eyebrow">Report card · {measured.length} · {seeds} seeds, {exercises} exercises</p>\n'
        "<h1>What drift monitoring sees, and what it does not</h1>\n"
        f'<p class="{good}">{reached} of {judged} goals reached that this run could judge, '
        f"over {len(measured.card.scenarios)} scenarios whose truth is known.</p>"
    )


def goals_section(goals: Sequence[Goal]) -> str:
    """The goals of a report card, each with its target and what was measured."""
    listed = "\n".join(
        f'<div class="goal"><b>{goal.name}</b><span>{text(goal.what)}: {text(goal.target)}</span>'
        f'<span class="{goal.verdict}">{goal.verdict}</span><span class="told">{text(goal.measured)}</span></div>'
        for goal in goals
    )
    return section("Goals", "Each with its target, and below it what this run measured; intervals are exact, of 95 %.", listed)


def _heat(card: Card) -> str:
    heads = "".join(f'<th scope="col"><span>{text(name.replace("_", " "))}</span></th>' for name in DETECTORS)
    lines = []
    for name in card.scenarios:
        cells = "".join(_heat_cell(card.cell(name, detector)) for detector in DETECTORS)
        lines.append(f'<tr><th scope="row">{card.id(name)} {text(name.replace("_", " "))}</th>{cells}</tr>')
    key = (
        '<p class="note"><span class="key" style="outline: 1.5px solid var(--good)"></span>must fire'
        '<span class="key" style="outline: 1.5px solid var(--bad)"></span>must fire and did not always'
        '<span class="key" style="background: color-mix(in srgb, var(--bad) 70%, var(--panel))"></span>must stay silent and fired'
        '<span class="key" style="background: color-mix(in srgb, var(--series-1) 70%, var(--panel))"></span>may fire, and did</p>'
    )
    grid = f"<table><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    grid = f'<div class="scroll heat" tabindex="0">{grid}</div>'
    lead = "Percent of exercises in which a detector fired within four weeks of the onset; an empty cell never did."
    return section("Scenario by detector", lead, grid, key)


def _heat_cell(cell: Cell) -> str:
    kind = {"must fire": "must", "must stay silent": "silent", "may fire": "free"}[cell.role]
    if cell.role == "must fire" and cell.fired.hits < cell.fired.of:
        kind += " missed"
    if cell.fired.value > 0.5:
        kind += " strong"
    shown = f"{100 * cell.fired.value:.0f}" if cell.fired.hits or cell.role == "must fire" else ""
    told = f"{cell.detector} on {cell.scenario}: fired in {cell.fired.hits} of {cell.fired.of}, {cell.role}"
    return f'<td class="{kind}" style="--share: {85 * cell.fired.value:.0f}%" title="{text(told)}">{shown}</td>'


def _power(points: Sequence[Point]) -> str:
    windows = min(point.seen.of for point in points)
    caption = f"Shaded: 95 % intervals from {windows} windows or more. What strength means: `lab drift list --json`."
    lead = "How small a change may be and still raise an alarm in one window, at the budget that holds on quiet weeks."
    return section("Power", lead, figure(power_curves(points), caption))


def _delays(measured: Measured) -> str:
    rows = [
        (
            d.stream.name,
            "known" if d.stream.known else "as served",
            f"{d.stream.usual:.2%}",
            f"{d.stream.changed:.2%}",
            f"{d.median:,.0f}",
            f"{d.late:,.0f}",
            f"{d.stream.run_length:,.0f}",
        )
        for d in measured.streams
    ]
    heads = ("stream", "usual rate is", "usual", "changed to", "median delay", "p95", "run length to a false alarm, at least")
    listed = "<h3>Sequential detectors on simulated streams</h3>" + table(heads, rows, numbers=(2, 3, 4, 5, 6))
    lead = "From the onset to the first alarm of every detector that must fire. A window test knows at the end of its week."
    return section("Delays", lead, figure(delays(measured.card), "Dot: median; bar: to the 95th percentile."), listed)


def _quiet(measured: Measured) -> str:
    rows = [(f"<code>{name}</code>", measured.days.of(name).per_thousand(), measured.weeks.of(name).per_thousand()) for name in DETECTORS]
    rows.append(("<b>any detector</b>", measured.days.any.per_thousand(), measured.weeks.any.per_thousand()))
    heads = ("detector", f"days drawn, {measured.days.windows:,} windows", f"weeks in order, {measured.weeks.windows:,} windows")
    cells = [(f"{reference:,}", f"{window:,}", quiet.tests.percent()) for (reference, window), quiet in sorted(measured.rows.items())]
    independent = "<h3>Rows drawn one by one</h3>" + table(("reference", "window", "windows with an alarm"), cells, numbers=(0, 1, 2))
    lead = "False alarms per thousand quiet windows, with exact 95 % intervals. Nothing happened in any of these windows."
    return section("Crying wolf", lead, table(heads, rows, numbers=(1, 2)), independent)


def _decisions(card: Card) -> str:
    rows = [
        (card.id(name), text(name.replace("_", " ")), _share(card.decisions([name])), _share(card.wrong(name)), _share(card.cause(name, 1)))
        for name in card.scenarios
    ]
    heads = ("", "scenario", "right", "wrong action", "right cause named first")
    lead = "The first action that anybody would have taken counts. What is neither right nor wrong was held: labels were too few."
    return section("Decisions", lead, table(heads, rows, numbers=(2, 3, 4)))


def _share(rate: Rate) -> str:
    return f"{rate.value:.0%}" if rate.of else "–"
