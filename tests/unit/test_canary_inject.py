"""`lab canary inject` and `lab canary stop` over a lab that runs: what the service is asked, what the ledger keeps, what is refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from data.ledger import Ledger
from data.prediction_log import PredictionLog
from data.serving_plan import ServingPlan
from labs.canaries.catalogue import SLOW_BLEED_PLAN
from labs.cli import app
from pipelines.rollout.plan import RolloutPlan
from tests.fakes import FakeRegistry
from tests.live_service import Service
from tests.records import START, record

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    made = FakeRegistry()
    made.ensure()
    for alias in ("champion", "challenger"):
        made.set_alias(alias, made.create_version(f"run-{alias}", "nowhere", {}))
    made.set_plan(ServingPlan(0, "1"))
    monkeypatch.setattr("labs.commands.canary_inject.Registry.of", lambda _: made)
    return made


@pytest.fixture
def service(tmp_path: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    log = PredictionLog(tmp_path / "predictions.db")
    log.append([record(1)])
    made = Service(log)
    monkeypatch.setenv("LAB_SCORING_PORT", str(made.server.server_port))
    yield made
    made.close()
    log.close()


@pytest.fixture
def run(service: Service) -> Run:
    """(exit status, facts of the JSON that was printed)."""

    def invoke(*arguments: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(app, ["canary", *arguments, "--json"])
        return result.exit_code, json.loads(result.stdout or result.stderr)

    return invoke


def test_a_fault_reaches_the_service_and_the_ledger_and_ends_when_it_is_stopped(run: Run, service: Service, tmp_path: Path) -> None:
    status, facts = run("inject", "errors_5")
    assert (status, facts["canary"], facts["challenger"]) == (0, "errors_5", "2")
    assert service.challenger_fault == {"fails": 0.05, "poison": 0.0, "in_canary": True}
    assert run("stop")[0] == 0
    assert service.challenger_fault is None
    entries = Ledger(tmp_path / "ledger.jsonl").entries()
    assert [entry.kind for entry in entries] == ["canary_injected", "canary_stopped"]
    assert entries[0].at.startswith(str(START.date()))
    assert run("stop")[0] == 65


def test_of_an_id_the_first_level_that_a_running_challenger_can_have_is_injected(run: Run, service: Service) -> None:
    assert run("inject", "C2")[1]["canary"] == "crash_on_first_request"
    assert run("inject", "C5")[1]["fault"]["slow_above_per_s"] > 0
    assert service.faults == []  # of features: none was asked for, and none is touched


def test_a_slow_bleed_is_as_hard_to_tell_over_a_running_champion_and_has_a_plan_of_its_own(run: Run, service: Service) -> None:
    assert run("inject", "C14")[1]["fault"]["fails"] == 4e-5
    out = CliRunner().invoke(app, ["canary", "inject", "C14"]).stdout
    assert "0.004%" in out and "--plan labs/canaries/slow_bleed.toml" in out
    assert replace(RolloutPlan.load(), error_margin=2e-5) == RolloutPlan.load(SLOW_BLEED_PLAN)


@pytest.mark.parametrize(("name", "next_step"), [("C13", "lab canary run"), ("gremlins", "lab canary list")])
def test_what_a_running_challenger_cannot_have_is_refused_with_what_to_do(run: Run, service: Service, name: str, next_step: str) -> None:
    status, facts = run("inject", name)
    assert status == 65
    assert next_step in json.dumps(facts)
    assert service.challenger_fault is None


def test_without_a_challenger_there_is_nothing_to_give_a_fault_to(run: Run, registry: FakeRegistry, service: Service) -> None:
    registry.delete_alias("challenger")
    status, facts = run("inject", "C3")
    assert (status, facts["error"]["code"]) == (1, "no_challenger")
    assert service.challenger_fault is None
