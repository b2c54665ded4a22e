"""Check results as text for people, and as JSON, JUnit XML and GitHub's workflow commands for continuous integration. Pure.

The documents tell no times, so that equal verdicts give equal bytes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from labs.engine.outcome import EXIT_STATUS, CheckResult, State, overall
from labs.workflow_commands import data, property_value

SIGN: Final[Mapping[State, str]] = {"passed": "✓", "incorrect": "✗", "not started": "·", "cannot check": "?"}
COLOUR: Final[Mapping[State, str]] = {"passed": "green", "incorrect": "red", "not started": "dim", "cannot check": "yellow"}
SCHEMA: Final = "fraudlab-checks-1"


def summary(results: Sequence[CheckResult]) -> str:
    """How many ended how."""
    counts = {state: sum(result.state == state for result in results) for state in SIGN}
    return f"{len(results)} checks: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count or state == "passed")


def as_text(results: Sequence[CheckResult]) -> str:
    """A line each, what to do below it, and the sum."""
    lines = []
    for result in results:
        lines.append(f"{SIGN[result.state]} {result.lab} {result.title}: {result.state}")
        lines += [f"    {text}" for text in (result.why, result.look) if text]
    return "\n".join((*lines, summary(results))) + "\n"


def as_json(results: Sequence[CheckResult]) -> str:
    """One document."""
    kept = [{name: value for name, value in asdict(result).items() if name not in ("seconds", "trace")} for result in results]
    state = overall(list(results))
    return json.dumps({"schema": SCHEMA, "result": state, "exit_status": EXIT_STATUS[state], "checks": kept}, indent=2) + "\n"


def as_junit(results: Sequence[CheckResult]) -> str:
    """JUnit XML: incorrect is a failure, cannot check an error, not started a skipped case."""
    kinds: dict[State, str] = {"incorrect": "failure", "cannot check": "error", "not started": "skipped"}
    counts = {state: sum(result.state == state for result in results) for state in SIGN}
    root = Element("testsuites")
    totals = {"tests": len(results), "failures": counts["incorrect"], "errors": counts["cannot check"], "skipped": counts["not started"]}
    suite = SubElement(root, "testsuite", {"name": "labs", **{name: str(count) for name, count in totals.items()}})
    for result in results:
        case = SubElement(suite, "testcase", classname=f"labs.{result.lab}", name=result.check)
        if result.state in kinds:
            SubElement(case, kinds[result.state], message=_said(result), type=result.state)
        if result.figures:
            SubElement(case, "system-out").text = ", ".join(f"{name} {value:g}" for name, value in result.figures.items())
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def as_github(results: Sequence[CheckResult]) -> str:
    """GitHub's workflow commands: an error per incorrect check, a warning per one that could not be made, then the sum."""
    commands = {"incorrect": "error", "cannot check": "warning", "not started": "notice"}
    lines = [
        f"::{commands[r.state]} title={property_value(f'{r.lab} {r.title}')}::{data(f'{r.state}: {_said(r)}')}"
        for r in results
        if r.state in commands
    ]
    return "\n".join((*lines, f"::notice title=Labs::{data(summary(results))}")) + "\n"


def _said(result: CheckResult) -> str:
    return " ".join(text for text in (result.why, result.look) if text)


FORMATS: Final[Mapping[str, Callable[[Sequence[CheckResult]], str]]] = {
    "text": as_text,
    "json": as_json,
    "junit": as_junit,
    "github": as_github,
}
