"""One exercise as one page: what was done to the payments, who saw it and when, what it cost, what was decided. Pure; nothing to fetch."""

from labs.exercises.contract import said
from labs.exercises.formats import SIGN
from labs.exercises.outcome import MonitorOutcome, Outcome
from labs.report.markup import number, pairs, section, table, text
from labs.report.page import document
from pipelines.metrics import Interval

_STYLE = """
.weeks td:not(:first-child), .weeks th:not(:first-child) { text-align: center; padding: 0.3rem 0.5rem; }
.weeks td:first-child { white-space: nowrap; }
.alarm { color: var(--series-2); font-weight: 700; }
.false { color: var(--bad); font-weight: 700; }
.still { color: var(--muted); opacity: 0.5; }
"""
_LEAD = {"as expected": "lead", "unexpected": "lead bad", "inconclusive": "lead bad"}


def render(outcome: Outcome) -> str:
    """The page of one exercise, as text."""
    parts = (_head(outcome), _truth(outcome), _monitors(outcome), _columns(outcome), _damage(outcome), _decision(outcome))
    return document(f"{outcome.catalogue_id} {outcome.scenario}", parts, _STYLE)


def _head(outcome: Outcome) -> str:
    right = f"{said(outcome.decision).capitalize()}, decided on {outcome.decided_on}: {outcome.result}."
    why = f" {text('; '.join(outcome.reasons)).capitalize()}." if outcome.reasons else ""
    return (
        f'<p class="eyebrow">Drift exercise · seed {outcome.seed} · strength {outcome.strength:g} · {text(outcome.source)}</p>\n'
        f"<h1>{outcome.catalogue_id} {text(said(outcome.scenario))}</h1>\n"
        f'<p class="{_LEAD[outcome.result]}">{SIGN[outcome.result]} {right}{why}</p>'
    )


def _truth(outcome: Outcome) -> str:
    truth = outcome.truth
    rows = f"{truth.rows_touched:,} of {truth.rows:,}" if truth.rows_touched else f"none by itself, of {truth.rows:,}"
    until = f" to {truth.end}" if truth.end else ""
    facts = (
        ("mechanism", text(truth.mechanism)),
        ("acts on", truth.acts_on),
        ("from", f"{truth.start}{until}, transaction <code>{text(outcome.first_transaction)}</code> first"),
        ("columns", ", ".join(f"<code>{text(name)}</code>" for name in truth.columns) or "none"),
        ("rows touched", rows),
    )
    return section("What happened", "Known because it was injected; no monitor was told.", pairs(facts))


def _monitors(outcome: Outcome) -> str:
    start = outcome.truth.start
    heads = ("monitor", *(f"{window.end:%d %b}" for window in outcome.windows), "first alarm", "expected")
    rows = [
        (
            f"<code>{text(monitor.name)}</code>",
            *(_cell(monitor.name in window.alarms, window.end < start) for window in outcome.windows),
            text(monitor.delay) or "–",
            _expected(monitor),
        )
        for monitor in outcome.monitors
    ]
    lead = (
        f"A window of a week, ending on the day shown; the change begins on {start}. "
        f"All monitors together may raise a false alarm in {outcome.error_budget:.2%} of quiet windows."
    )
    return section("Who saw it", lead, f'<div class="weeks">{table(heads, rows)}</div>')


def _cell(alarm: bool, before: bool) -> str:
    if not alarm:
        return '<span class="still" aria-label="silent">·</span>'
    return '<span class="false" aria-label="false alarm">●</span>' if before else '<span class="alarm" aria-label="alarm">●</span>'


def _expected(monitor: MonitorOutcome) -> str:
    if monitor.role == "may fire":
        return '<span class="note">either</span>'
    sign = '<span class="mark good">✓</span>' if monitor.as_expected else '<span class="mark bad">✗</span>'
    return f"{sign} {monitor.role}"


def _columns(outcome: Outcome) -> str:
    rows = [
        (f"<code>{text(c.column)}</code>", text(c.method), number(c.effect, 3), f"{c.p_value:.1g}", "moved" if c.drifted else "–")
        for c in outcome.columns
    ]
    heads = ("column", "test", "effect", "p-value", "")
    causes = "".join(
        f"<li><code>{text(c.column)}</code> {text(c.what)}: {c.effect:.1%} of payments{f'; {text(c.segment)}' if c.segment else ''}</li>"
        for c in outcome.causes
    )
    listed = f'<ol class="reasons">{causes}</ol>' if causes else "<p>Monitoring named none.</p>"
    lead = "What monitoring held to be behind the change, the likeliest first; below, the tests of the window of the decision."
    return section("Root cause", lead, listed, table(heads, rows, numbers=(2, 3)))


def _damage(outcome: Outcome) -> str:
    lost = outcome.damage
    if lost is None:
        return section("Damage", "Not known: too few labels of the time since the change have matured.")
    rows = (
        ("average precision", *_interval(lost.average_precision, 3)),
        ("recall at the alert capacity", *_interval(lost.recall_at_capacity, 3)),
        ("EUR saved per thousand payments", *_interval(lost.saved_per_thousand, 0)),
    )
    heads = ("what the model lost", "loss", "95 % interval")
    return section("Damage", f"Labels told it first on {lost.knowable_on}. A negative loss is a gain.", table(heads, rows, numbers=(1, 2)))


def _decision(outcome: Outcome) -> str:
    rows = [(str(w.end), f"{w.payments:,}", said(w.decision), text(w.headline)) for w in outcome.windows]
    right = " or ".join(said(action) for action in outcome.expected.decisions)
    lead = f"The first action that anybody would have taken counts: {said(outcome.decision)}. Right is {right}."
    evidence = "".join(f"<li>{text(one)}</li>" for one in outcome.evidence)
    listed = f'<ul class="reasons">{evidence}</ul>' if evidence else ""
    return section("Decision", lead, listed, table(("window to", "payments", "decision", "because"), rows, numbers=(1,)))


def _interval(value: Interval, digits: int) -> tuple[str, str]:
    return number(value.value, digits), f"{number(value.low, digits)} to {number(value.high, digits)}"
