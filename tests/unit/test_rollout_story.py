"""What `lab rollout story` tells, and an operator's orders as commands: from the ledger alone, with its chain checked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from data.ledger import Ledger
from labs.cli import app
from pipelines.rollout.actions import read_open
from pipelines.rollout.controller import run_rollout
from pipelines.rollout.orders import give
from tests.bench.rollout_kills import PLAN
from tests.simulated_service import START, Faults, Model, SimulatedService
from tests.unit.test_rollout_controller import KilledError, dies, registry_with_two_versions

GOOD = Model(recall=0.9, false_alerts=0.005)
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {"LAB_HOME": str(tmp_path), "COLUMNS": "80", "LAB_SCORING_PORT": "1024", "LAB_MLFLOW_PORT": "1024"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["rollout", *arguments])
        return result.exit_code, result.stdout + result.stderr

    return invoke


def roll_out(home: Path, faults: Faults = Faults(), **how: Any) -> str:  # noqa: B008 - an immutable value
    registry = registry_with_two_versions()
    service = SimulatedService(registry, Model(), GOOD, faults=faults, alike=0.2, per_day=800, label_delay_days=0.1)
    ports: dict[str, Any] = {"registry": registry, "ledger": Ledger(home / "ledger.jsonl"), "evidence": service}
    ports |= {"traffic": service.traffic, "notify": service.notify, "inspect": service.inspect, "at": START, "by": "the release train"}
    return run_rollout(PLAN, **(ports | how)).rollout_id


def test_the_story_says_when_where_how_many_on_which_evidence_and_by_whom(home: Path, run: Run) -> None:
    roll_out(home)
    status, told = run("story")
    assert status == 0
    for part in (
        "rollout-1-seed-7 begins: version 2 against champion 1", "asked for by the release train", "preflight passed", "20 golden rows",
        "shadow: version 1 answers all, 2 scores them too", "canary 25 %: version 2 answers 25% of the cards",
        "judge: advance in shadow, where both models scored",
        "judge: advance in canary 25 %, where the challenger's cards made",
        "soak: version 2 answers all, 1 still scores them", "judge: promote", "EUR per thousand payments", "matured payments with",
        "promoted, decided by the judge: champion is version 2", "its chain of",
    ):  # fmt: skip
        assert part in " ".join(told.split()), part  # wherever the lines break
    assert max(len(line) for line in told.splitlines()) <= 80


def test_the_story_of_a_rollback_names_the_guardrail_and_its_odds(home: Path, run: Run) -> None:
    roll_out(home, Faults(breaks_after=2.2, broken=Model(fails=0.5)))
    told = " ".join(run("story")[1].split())
    assert "judge: roll back in" in told
    assert "failures: " in told
    assert "it fails more often than the champion: " in told


def test_the_story_of_a_refused_challenger_says_that_nobody_met_it(home: Path, run: Run) -> None:
    roll_out(home, Faults(damaged="model.lgb: expected sha256 1, found sha256 2."))
    told = " ".join(run("story")[1].split())
    assert "preflight refused it: no payment has met it model.lgb: expected sha256 1" in told
    assert "aborted, decided by the controller: champion is version 1" in told


def test_an_earlier_rollout_is_told_by_its_id_and_as_json(home: Path, run: Run) -> None:
    first = roll_out(home, Faults(damaged="broken"))
    roll_out(home)
    facts = json.loads(run("story", first, "--json")[1])
    assert [chapter["kind"] for chapter in facts["chapters"]] == ["rollout_started", "preflight", "done", "aborted"]
    assert facts["ledger"]["entries"] == Ledger(home / "ledger.jsonl").verify()
    status, told = run("story", "rollout-9")
    assert (status, "rollout-1-seed-7, rollout-2-seed-7" in " ".join(told.split())) == (1, True)


def test_a_ledger_that_was_touched_tells_no_story(home: Path, run: Run) -> None:
    roll_out(home)
    file = home / "ledger.jsonl"
    file.write_text(file.read_text().replace("the release train", "the release tram"))
    status, told = run("story")
    assert status == 65
    assert "Line 1" in told


def test_an_order_without_an_open_rollout_or_a_reason_is_refused(home: Path, run: Run) -> None:
    status, told = run("pause", "--reason", "dinner")
    assert (status, "No rollout is open" in told) == (1, True)
    with pytest.raises(KilledError):
        roll_out(home, traffic=lambda _: dies())
    assert run("abort", "--reason", " ")[0] == 65


def test_a_pause_of_a_rollout_that_nobody_runs_is_noted_and_told(home: Path, run: Run) -> None:
    with pytest.raises(KilledError):
        roll_out(home, traffic=lambda _: dies())
    status, told = run("pause", "--reason", "dinner", "--by", "night shift")
    assert (status, "nobody runs it" in told) == (0, True)
    opened = read_open(Ledger(home / "ledger.jsonl"))
    assert opened is not None
    assert [(order.kind, order.reason, order.by) for order in opened.orders] == [("pause", "dinner", "night shift")]
    assert "night shift orders: pause dinner" in " ".join(run("story")[1].split())


def test_a_pause_of_a_running_rollout_is_lifted_from_another_process(home: Path, run: Run) -> None:
    with pytest.raises(KilledError):
        roll_out(home, traffic=lambda _: dies())
    ledger = Ledger(home / "ledger.jsonl")
    with ledger.turn("rollout"):
        assert run("resume")[0] == 1  # it is running
        give(ledger, "rollout-1-seed-7", "pause", reason="dinner", by="night shift", at=START)
        status, told = run("resume", "--by", "day shift")
    assert (status, "goes on in the process that runs it" in " ".join(told.split())) == (0, True)
    opened = read_open(ledger)
    assert opened is not None
    assert [(order.kind, order.by) for order in opened.orders] == [("pause", "night shift"), ("resume", "day shift")]
