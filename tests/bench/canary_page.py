"""The canary comparison as one page: goals, the fair table, exposure, rollouts, money. Nothing to fetch, nothing to run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labs.report.markup import figure, section, table, text
from labs.report.page import document
from pipelines.rollout.controller import RolloutOutcome
from tests.bench.canary_fair import Cell, find
from tests.bench.canary_guards import Detection
from tests.bench.canary_money import Null, Worth
from tests.bench.canary_plots import courses, exposure, false_alarms
from tests.bench.canary_ramp import LEVELS, RAMP
from tests.bench.canary_rules import RULES
from tests.bench.drift_goals import Goal, Rate
from tests.bench.drift_page import GOAL_STYLE, goals_section

_STYLE = (
    GOAL_STYLE
    + """
.fair th:nth-child(n+2), .fair td:nth-child(n+2) { text-align: right; font-variant-numeric: tabular-nums; }
.fair table { font-size: 0.84rem; }
.fair th, .fair td { padding-right: 0.8rem; }
.fair td:last-child { font-weight: 650; color: var(--series-1); }
.fair .quiet td { background: var(--panel); }
.fair .wrong { color: var(--bad); font-weight: 600; }
.fair td:first-child { white-space: nowrap; }
.fair .note { font-size: 0.74rem; font-weight: 400; white-space: nowrap; }
"""
)


@dataclass(frozen=True)
class Measured:
    """Everything that a run of the bench measured."""

    length: str
    goals: Sequence[Goal]
    cells: list[Cell]
    false: Mapping[float, Rate]
    latency: Sequence[Detection]
    split: Sequence[Detection]
    worths: Sequence[Worth]
    null: Null
    rollouts: Mapping[str, RolloutOutcome]


def render(measured: Measured) -> str:
    """The page as text."""
    parts = (_head(measured), _fair(measured.cells), _exposure(measured.cells), _courses(measured), _money(measured), _guards(measured))
    return document("Canary comparison", (*parts, goals_section(measured.goals)), _STYLE)


def _head(measured: Measured) -> str:
    goals, runs = measured.goals, measured.cells[0].stopped.of
    reached, judged = sum(goal.reached is True for goal in goals), sum(goal.reached is not None for goal in goals)
    bad = find(measured.cells, LEVELS[3])
    quiet = find(measured.cells, LEVELS[0])
    good = "lead" if reached == judged else "lead bad"
    return (
        f'<p class="eyebrow">Canary comparison · {text(measured.length)} · {runs:,} simulated rollouts of each kind</p>\n'
        "<h1>What a rule lets through, beside how often it cries wolf</h1>\n"
        f'<p class="{good}">A challenger that fails on 1 % of payments is rolled back after {bad.median:,.0f} answers of its own (median); '
        f"a sound one in {quiet.stopped.hits} of {quiet.stopped.of:,} rollouts. "
        f"{reached} of {judged} goals that could be judged are reached.</p>"
    )


def _fair(cells: list[Cell]) -> str:
    heads = "".join(f'<th scope="col">{text(rule.name)}</th>' for rule in RULES)
    lines = []
    for level in LEVELS:
        found = [find(cells, level, rule.name) for rule in RULES]
        body = "".join(_fair_cell(cell) for cell in found)
        lines.append(f'<tr class="{"" if level.is_fault else "quiet"}"><td>{level.told()}</td>{body}</tr>')
    grid = f"<table><thead><tr><th>failing, stable → canary</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    ramp = ", then ".join(f"{share:.0%} of {requests:,}" for share, requests in RAMP)
    notes = "<br>".join(f"<b>{text(rule.name)}</b>: {text(rule.how)}" for rule in RULES)
    lead = (
        f"One ramp for all: {ramp} requests, a look every 100. Shaded rows have no fault: the share of rollouts stopped all the same. "
        "The others: requests that the canary had answered when it was stopped, median and 95th percentile, with the share of rollouts "
        "stopped where that is not all; a share alone where it is less than half."
    )
    told = (
        "The tools' rules are written here from descriptions of them, with the settings of their examples, for failing requests only: no "
        "tool runs. A minute is 1,000 requests. “Ours, split only” is the same test on the same facts as theirs; ours asks both models "
        f'about every request, as the service does.</p>\n<p class="note">{notes}'
    )
    return section(
        "The fair table", lead, f'<div class="scroll fair" tabindex="0">{grid}</div>', f'<p class="note">{told}</p>', _quiet(cells)
    )


def _fair_cell(cell: Cell) -> str:
    wrong = (not cell.level.is_fault and cell.stopped.low > 0.01) or (cell.level.is_fault and cell.stopped.value < 0.5)
    shown = text(cell.told())
    if cell.shows_exposure:
        often = "" if cell.stopped.value > 0.995 else f"{cell.stopped.value:.0%} stopped<br>"
        shown = f'{cell.median:,.0f}<br><span class="note">{often}p95 {cell.late:,.0f}</span>'
    return f'<td class="{"wrong" if wrong else ""}">{shown}</td>'


def _quiet(cells: list[Cell]) -> str:
    return figure(false_alarms(cells), "A rule that stops many sound challengers is not careful: it teaches people to override it.")


def _exposure(cells: list[Cell]) -> str:
    lead = "A line further left lets fewer answers through. One that ends below 100 % leaves bad challengers in production."
    return section(
        "Exposure",
        lead,
        figure(exposure(cells), "The same rollouts for every rule. Naive tests are early, and are so on sound challengers too."),
    )


def _courses(measured: Measured) -> str:
    lead = "The product's judge and controller under the default plan, on simulated traffic. Evidence carries over from step to step."
    caption = "An arrow at the right edge of a plot: the odds at which that line decides. Grey: the challenger's share of the cards."
    rows = [(text(name), outcome.result.replace("_", " "), text("; ".join(outcome.reasons))) for name, outcome in measured.rollouts.items()]
    return section("Four rollouts", lead, figure(courses(measured.rollouts), caption), table(("challenger", "end", "why"), rows))


def _money(measured: Measured) -> str:
    rows = [
        (
            text(worth.challenger),
            "{:+.0f} ({:+.0f} to {:+.0f})".format(*worth.per_thousand),
            f"{worth.recall:.0%}",
            _found(worth.worse),
            _found(worth.in_money),
            _found(worth.in_plan),
            _found(worth.not_worse),
        )
        for worth in measured.worths
    ]
    heads = ("challenger", "EUR per thousand", "frauds caught", "worse, 5 %", "money alone", "worse, 0.1 %", "not worse by 5 %")
    lead = (
        "Real models on the world's payments, replayed with their labels from 200 starting points, 60,000 payments each: the share "
        "of replays that came to the conclusion, and the median payments it took. “Worse” is the mean of two tests: in money, and "
        "with each missed fraud counting the same."
    )
    null = f"Equal challengers called worse at 5 %: {measured.null.worse.percent()} null replays."
    return section("Money", lead, table(heads, rows, numbers=range(1, 7)), f'<p class="note">{null}</p>')


def _found(told: tuple[Rate, float]) -> str:
    rate, median = told
    return f"{rate.value:.0%}, {median:,.0f}" if rate.hits else "–"


def _guards(measured: Measured) -> str:
    rows = [
        (
            one.what,
            text(one.truth),
            f"{one.budget:.2%}",
            one.found.percent(),
            f"{one.median:,.0f} ({one.late:,.0f})" if one.found.hits else "–",
        )
        for one in (*measured.latency, *measured.split)
    ]
    rows += [("whole rollout", f"both models fail on {base:.2%}", "0.45%", rate.percent(), "–") for base, rate in measured.false.items()]
    heads = ("guard", "truth", "budget", "alarms", "requests until then")
    lead = "How often a guard speaks, and after how many requests: of the canary for latency, of both arms for the sample ratio."
    return section("Latency, sample ratio, whole rollouts", lead, table(heads, rows, numbers=(2, 3, 4)))
