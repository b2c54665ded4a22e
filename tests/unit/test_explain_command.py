"""`lab explain`: everything that the service says of a decision, readable in 80 columns."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from data.errors import UnknownTransaction
from labs.cli import app
from labs.commands import explaining
from services.scoring.explain import explanation
from services.scoring.explain_messages import FiredRule
from tests.records import record
from tests.unit.test_explain import FINDING

TOLD = explanation(record(8, score=FINDING.calibration.probability(FINDING.attribution.margin)), FINDING, 4)


class Service:
    """Answers with one explanation, or with a failure."""

    def __init__(self) -> None:
        self.told, self.asked, self.failure = TOLD, "", None

    def __call__(self, settings: Any, method: str, path: str, **how: Any) -> bytes:
        self.asked = f"{method} {path}"
        if self.failure is not None:
            raise self.failure
        return self.told.model_dump_json().encode()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(explaining, "call", made)
    return made


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["explain", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_decision_what_moved_it_and_the_arithmetic_are_shown_in_80_columns(service: Service) -> None:
    out = shown("tx_000008", "--top", "4")
    assert service.asked == "GET /v1/explain/tx_000008?top=4"
    assert max(len(line) for line in out.splitlines()) <= 80
    assert all(word in out for word in ("review", "new_device", "48 others", "model version 3", *(part.group for part in TOLD.groups)))
    for part in TOLD.contributions:
        assert f"{part.contribution:+.3f}" in out and part.feature in out
    assert f"0.9 × {TOLD.margin:.3f} - 0.1" in out and f"{TOLD.score:.2%}" in out


def test_the_longest_bar_is_the_strongest_part_and_fills_its_column(service: Service) -> None:
    bars = [line.count("█") for line in shown("tx_000008").splitlines() if line.strip().startswith(("+", "-"))]
    groups, features = bars[: len(TOLD.groups)], bars[len(TOLD.groups) : -1]
    assert max(groups) == groups[0] == max(bars) == 12 and groups == sorted(groups, reverse=True)
    assert features == sorted(features, reverse=True)


@pytest.mark.parametrize(
    ("decision", "decided_by", "words"),
    [("approve", "policy", "below 30.00%"), ("decline", "policy", "75.00%, where decline begins"), ("decline", "rules", "a rule decided")],
)
def test_what_settled_the_decision_is_said(service: Service, decision: str, decided_by: str, words: str) -> None:
    service.told = TOLD.model_copy(update={"decision": decision, "decided_by": decided_by})
    assert words in shown("tx_000008")


def test_the_rule_that_decided_and_those_that_only_fired_are_named(service: Service) -> None:
    decided = FiredRule(code="rule_sterner", meaning="so it goes", action="review")
    fired = FiredRule(code="rule_weaker", meaning="by the way", action=None)
    service.told = TOLD.model_copy(update={"decided_by": "rules", "rules": (fired, decided)})
    out = shown("tx_000008")
    assert "but rule_sterner decided" in out and "· rule_weaker: by the way" in out


def test_a_program_gets_the_services_own_facts(service: Service) -> None:
    assert json.loads(shown("tx_000008", "--json")) == json.loads(TOLD.model_dump_json())


def test_an_id_is_never_taken_for_another_path(service: Service) -> None:
    shown("../../live?x=1#y")
    assert service.asked == "GET /v1/explain/..%2F..%2Flive%3Fx%3D1%23y?top=10"


def test_a_failure_of_the_service_is_the_commands_own(service: Service) -> None:
    service.failure = UnknownTransaction("No payment of this id was scored here.", next_step="Ask about others.")
    result = CliRunner().invoke(app, ["explain", "tx_9"])
    assert result.exit_code == UnknownTransaction.exit_status
    assert "No payment of this id" in result.stderr
