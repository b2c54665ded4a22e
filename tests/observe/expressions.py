"""Every expression that the dashboards and rules ask Prometheus, and those that a healthy lab has no answer to."""

import re
from collections.abc import Callable
from typing import Final

from tests.unit.test_dashboards import alerts, panels, rules

# Where a healthy embedded lab has nothing to show, and who shows it instead.
EMPTY_BECAUSE: Final = {
    r"fraud_rollout_(payments|matured|e_value|cost|verdict|looked)": "only while a rollout is open; tests/unit/test_work.py",
    r"fraud_matured_": "once 30 frauds of the window have matured; tests/unit/test_work.py",
    r"fraud_(known|expected)_frauds": "the same",
    r"fraud_archive_": "only where several processes share a log; tests/compose",
    r"absent\(": "what is not absent has no value; ScoringDown is made to fire in tests/observe",
}


def expressions(shape: Callable[[str], str] = str) -> list[str]:
    """Of panels, recording rules, and what alerts compare; each through `shape` first."""
    found = [shape(target["expr"].replace("$__rate_interval", "15s")) for panel in panels() for target in panel["targets"]]
    found += [shape(rule["expr"]) for rule in rules() if "record" in rule]
    return found + [side for alert in alerts() for side in _operands(shape(alert["expr"]))]


def is_excused(expression: str, *but: str) -> bool:
    """Whether it may be empty; `but` are keys of EMPTY_BECAUSE that do not count."""
    return any(re.search(known, expression) for known in EMPTY_BECAUSE if known not in but)


def _operands(expression: str) -> list[str]:
    """What an alert compares, without the comparison."""
    return [re.split(r" (?:>|<|==) ", part)[0] for part in re.split(r" (?:and|or) ", expression)]
