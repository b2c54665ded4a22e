"""Exercises as continuous integration wants them: text for people, JUnit XML, JSON, GitHub's workflow commands. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from labs.exercises.contract import Exercise, Result
from labs.workflow_commands import data, property_value

SIGN: Final[Mapping[Result, str]] = {"as expected": "✓", "unexpected": "✗", "inconclusive": "?"}
EXIT_STATUS: Final[Mapping[Result, int]] = {"as expected": 0, "unexpected": 1, "inconclusive": 2}


def overall(outcomes: Sequence[Exercise]) -> Result:
    """One unexpected exercise makes the run unexpected; failing that, one inconclusive makes it inconclusive."""
    results = {outcome.result for outcome in outcomes}
    worst: tuple[Result, ...] = ("unexpected", "inconclusive")
    return next((result for result in worst if result in results), "as expected")


def name(outcome: Exercise) -> str:
    """What an exercise is called in a list."""
    return f"{outcome.catalogue_id} {outcome.scenario} ({outcome.dose})"


def line(outcome: Exercise) -> str:
    """One line on one exercise: how it ended, and why that was not expected if so."""
    text = f"{SIGN[outcome.result]} {name(outcome)}: {outcome.told}"
    return text if outcome.result == "as expected" else f"{text}\n    {outcome.result}: {'; '.join(outcome.reasons)}"


def as_text(outcomes: Sequence[Exercise]) -> str:
    """A line each, and the sum."""
    return "\n".join((*map(line, outcomes), summary(outcomes))) + "\n"


def summary(outcomes: Sequence[Exercise]) -> str:
    """How many ended how."""
    counts = ((result, sum(outcome.result == result for outcome in outcomes)) for result in SIGN)
    return f"{len(outcomes)} exercises: " + ", ".join(f"{count} {result}" for result, count in counts if count or result == "as expected")


def as_json(outcomes: Sequence[Exercise]) -> str:
    """All outcomes, of one kind and at least one, in one document; each as of its output contract."""
    facts = {"schema": f"{outcomes[0].schema}-run", "result": overall(outcomes), "exercises": [outcome.to_json() for outcome in outcomes]}
    return json.dumps(facts, indent=2, allow_nan=False) + "\n"


def as_junit(outcomes: Sequence[Exercise]) -> str:
    """JUnit XML of the form that pytest and Jenkins share: an unexpected exercise failed, an inconclusive one was skipped.

    It tells no times, so that equal runs give equal bytes.
    """
    counts: dict[str, Any] = {
        "errors": "0",
        "failures": str(sum(outcome.result == "unexpected" for outcome in outcomes)),
        "skipped": str(sum(outcome.result == "inconclusive" for outcome in outcomes)),
        "tests": str(len(outcomes)),
    }
    root = Element("testsuites")
    suite = SubElement(root, "testsuite", name=outcomes[0].kind, **counts)
    for outcome in outcomes:
        title = f"{outcome.scenario}[{outcome.dose.replace(', ', '-').replace(' ', '=')}]"
        case = SubElement(suite, "testcase", classname=f"{outcome.kind}.{outcome.catalogue_id}", name=title)
        message = "; ".join(outcome.reasons)
        if outcome.result == "unexpected":
            SubElement(case, "failure", message=message, type="unexpected").text = line(outcome)
        elif outcome.result == "inconclusive":
            SubElement(case, "skipped", message=message, type="inconclusive").text = line(outcome)
        SubElement(case, "system-out").text = "\n".join((line(outcome), *outcome.evidence))
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def as_github(outcomes: Sequence[Exercise]) -> str:
    """GitHub's workflow commands: an error per unexpected exercise, a warning per inconclusive one, then the sum as a notice."""
    kind = outcomes[0].kind.capitalize()
    commands = {"unexpected": "error", "inconclusive": "warning"}
    lines = [
        f"::{commands[outcome.result]} title={property_value(f'{kind} {name(outcome)}')}::{data('; '.join(outcome.reasons))}"
        for outcome in outcomes
        if outcome.result in commands
    ]
    return "\n".join((*lines, f"::notice title={kind} exercises::{data(summary(outcomes))}")) + "\n"


FORMATS: Final[Mapping[str, Callable[[Sequence[Exercise]], str]]] = {
    "text": as_text,
    "junit": as_junit,
    "json": as_json,
    "github": as_github,
}
