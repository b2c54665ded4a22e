"""One canary exercise as one page: what was wrong, how the rollout went, what the judge saw, whether it was right. Pure."""

from labs.canaries.outcome import Outcome
from labs.canaries.plots import timeline
from labs.exercises.contract import said
from labs.exercises.formats import SIGN
from labs.report.markup import figure, mark, number, pairs, section, table, text
from labs.report.page import document

_STYLE = "td:nth-child(-n+2):nth-last-child(n+5) { white-space: nowrap; }\n"  # steps and their beginnings stay on one line
_LEAD = {"as expected": "lead", "unexpected": "lead bad", "inconclusive": "lead bad"}


def render(outcome: Outcome) -> str:
    """The page of one exercise, as text."""
    parts = (_head(outcome), _truth(outcome), _course(outcome), _steps(outcome), _verdict(outcome), _checks(outcome))
    return document(f"{outcome.catalogue_id} {said(outcome.scenario)}", parts, _STYLE)


def _head(outcome: Outcome) -> str:
    why = f" {text('; '.join(outcome.reasons)).capitalize()}." if outcome.reasons else ""
    return (
        f'<p class="eyebrow">Canary exercise · seed {outcome.seed} · {text(outcome.source)}</p>\n'
        f"<h1>{outcome.catalogue_id} {text(said(outcome.scenario))}</h1>\n"
        f'<p class="{_LEAD[outcome.result]}">{SIGN[outcome.result]} {text(outcome.told).capitalize()}: {outcome.result}.{why}</p>'
    )


def _truth(outcome: Outcome) -> str:
    truth = outcome.truth
    champion, challenger = truth.alerts_per_thousand
    facts = (
        ("what happens", text(truth.mechanism)),
        ("the challenger", text(truth.challenger)),
        ("all considered", f"{truth.worth} than the champion" if truth.worth != "equal" else "equal to the champion"),
        ("its scores", f"{truth.money}, every label known"),
        ("its alerts", f"{number(challenger, 1)} per thousand payments, the champion's {number(champion, 1)}"),
    )
    return section("What happened", "Known because it was made so; neither judge nor controller was told.", pairs(facts))


def _course(outcome: Outcome) -> str:
    drawn = timeline(outcome)
    if not drawn:
        return section("The rollout", "It ended in its preflight: nobody met the challenger.")
    lead = (
        "Above, the share of the cards that the challenger answered; below, the e-values with most to say, against it and for it. One of "
        "1,000 is a bet won at 1,000 to 1, and may be looked at as often as one likes."
    )
    return section("The rollout", lead, figure(drawn, "Event time; dotted lines: another step began."))


def _steps(outcome: Outcome) -> str:
    if not outcome.steps:
        return ""
    rows = [
        (
            text(step.step),
            step.since[:16].replace("T", " "),
            f"{step.payments:,}",
            f"{step.exposed:,}",
            said(step.verdict),
            text("; ".join(step.reasons)),
        )
        for step in outcome.steps
    ]
    noticed = "" if outcome.noticed is None else f" The judge first objected after {outcome.noticed:,}."
    lead = (
        f"{outcome.seen:,} payments were scored by the challenger, {outcome.exposed:,} of them of cards that were given to it. "
        f"Where it failed on one of those, the champion answered.{noticed}"
    )
    heads = ("step", "since", "payments", "exposed", "verdict", "because")
    return section("Step by step", lead, table(heads, rows, numbers=(2, 3)))


def _verdict(outcome: Outcome) -> str:
    expected = outcome.expected
    bounds = [
        f"at most {most:,} payments {what}"
        for what, most in (("exposed", expected.exposed_at_most), ("until noticed", expected.noticed_at_most))
        if most is not None
    ]
    right = [" or ".join(map(said, expected.results)), *(["after a pause"] if expected.pauses else []), *bounds]
    if expected.says:
        right.append(f"for a reason that speaks of “{text(expected.says)}”")
    given = "".join(f"<li>{text(reason)}</li>" for reason in outcome.evidence)
    lead = f"Ended {said(outcome.ended)} on {outcome.ended_at[:16].replace('T', ' ')}. Right is: {', '.join(right)}."
    return section("Verdict", lead, f'<ul class="reasons">{given}</ul>')


def _checks(outcome: Outcome) -> str:
    rows = [(mark(check.held, "kept", "not kept") + text(check.promise), text(check.found)) for check in outcome.checks]
    return section("Promises", "Kept however a rollout ends.", table(("promise", ""), rows))
