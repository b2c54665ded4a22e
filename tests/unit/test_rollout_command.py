"""`lab rollout` from the outside: what it refuses, with which code and next command, and how it says that it was stopped."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from data.ledger import Ledger
from data.prediction_log import PredictionLog
from data.schema import Transaction
from data.serving_plan import ServingPlan
from data.settings import Settings
from labs.cli import app
from labs.commands.rollout import plan_of
from labs.live import LiveSource
from labs.stream import FileStream
from pipelines.rollout.actions import read_open
from pipelines.rollout.plan import RolloutPlan
from tests.fakes import FakeRegistry
from tests.records import record
from tests.unit.test_demo import recorded

Run = Callable[..., tuple[int, str, dict[str, Any]]]
NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
DAYS = 24  # of the recorded payments; 21 of them are history


class Service:
    """A scoring service that says who serves, and takes no payment."""

    def __init__(self, registry: FakeRegistry) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                plan = registry.plan() or ServingPlan(0, registry.alias("champion") or "1")
                self.reply(200, {"champion": plan.champion, "challenger": plan.challenger, "plan": plan.to_json()})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/reload":
                    self.do_GET()
                else:
                    self.reply(503, {"error": {"code": "log_unavailable", "message": "The disk is full.", "next_step": "Free some space."}})

            def reply(self, status: int, facts: dict[str, Any]) -> None:
                body = json.dumps(facts).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "lab"
    settings = {"LAB_HOME": str(home), "COLUMNS": "80", "LAB_WORLD_DAYS": "21", "LAB_SCORING_PORT": "1024", "LAB_MLFLOW_PORT": "1024"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    home.mkdir()
    PredictionLog(home / "predictions.db").close()
    return home


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """Version 1 is champion, version 2 challenger."""
    made = FakeRegistry()
    made.ensure()
    for number, alias in enumerate(("champion", "challenger"), 1):
        made.set_alias(alias, made.create_version(f"run-{number}", "nowhere", {}))
    for command in ("rollout", "rollout_status"):
        monkeypatch.setattr(f"labs.commands.{command}.Registry.of", lambda _: made)
    return made


@pytest.fixture
def service(registry: FakeRegistry, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service(registry)
    monkeypatch.setenv("LAB_SCORING_PORT", str(made.server.server_port))
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.fixture
def run(home: Path) -> Run:
    """(exit status, standard error, facts of the JSON on standard output)."""

    def invoke(*arguments: str) -> tuple[int, str, dict[str, Any]]:
        result = CliRunner().invoke(app, ["rollout", *arguments, "--json"])
        return result.exit_code, result.stderr, json.loads(result.stdout)

    return invoke


def open_rollout(home: Path) -> Ledger:
    ledger = Ledger(home / "ledger.jsonl")
    plan = RolloutPlan.load()
    facts = {"champion": "1", "challenger": "2", "plan": plan.to_json(), "plan_digest": plan.digest}
    ledger.record("rollout_started", {"rollout_id": "rollout-1-seed-7", "by": "lab rollout", **facts}, NOON)
    return ledger


def error(facts: dict[str, Any]) -> tuple[str, str]:
    return facts["error"]["code"], facts["error"]["next_step"]


def test_without_a_service_nothing_starts_and_lab_up_is_named(run: Run, home: Path, registry: FakeRegistry) -> None:
    status, _, facts = run("start")
    assert (status, error(facts)) == (69, ("service_down", "Start it with `lab up`."))
    assert registry.calls.count("set_plan") == 0


def test_without_a_challenger_nothing_starts_and_the_command_that_makes_one_is_named(
    run: Run, service: Service, registry: FakeRegistry
) -> None:
    registry.delete_alias("challenger")
    status, _, facts = run("start")
    assert (status, error(facts)[0]) == (1, "no_challenger")
    assert "lab train --retrain" in error(facts)[1]


def test_without_a_champion_there_is_nothing_to_compare_with(run: Run, service: Service, registry: FakeRegistry) -> None:
    registry.delete_alias("champion")
    status, err, facts = run("start")
    assert (status, error(facts)[0]) == (1, "rollout_refused")
    assert "no champion" in err


def test_an_open_rollout_is_gone_on_with_instead_of_a_second_one(run: Run, service: Service, home: Path) -> None:
    open_rollout(home)
    status, err, facts = run("start")
    assert (status, error(facts)) == (1, ("rollout_open", "Go on with it: `lab rollout resume`."))
    assert "rollout-1-seed-7" in err


@pytest.mark.parametrize("command", ["start", "resume"])
def test_a_rollout_that_another_process_runs_is_left_to_it(run: Run, service: Service, home: Path, command: str) -> None:
    ledger = open_rollout(home)
    with ledger.turn("rollout"):
        status, err, facts = run(command)
    assert (status, error(facts)[0]) == (1, "rollout_open")
    assert "another process" in err


def test_with_no_rollout_open_there_is_nothing_to_resume(run: Run, service: Service) -> None:
    status, _, facts = run("resume")
    assert (status, error(facts)) == (1, ("no_rollout", "Start one: `lab rollout start`."))


def test_payments_that_have_all_been_sent_start_nothing(run: Run, service: Service, home: Path, tmp_path: Path) -> None:
    file = recorded(tmp_path, days=DAYS)
    stream = LiveSource(file).open(Settings.load())
    assert isinstance(stream, FileStream)
    log_everything(stream, home)
    status, _, facts = run("start", "--data", str(file))
    assert (status, error(facts)[0]) == (65, "no_traffic_left")
    assert "--data" in error(facts)[1]
    assert Ledger(home / "ledger.jsonl").entries() == []


def log_everything(stream: FileStream, home: Path) -> None:
    log = PredictionLog(home / "predictions.db")
    for number in range(DAYS - 21):
        day = stream.day(stream.live + timedelta(days=number)).transactions
        facts = [json.loads(line) for line in day.to_json(orient="records", lines=True, date_format="iso").splitlines()]
        log.append([record(1, payment=Transaction.model_validate_json(json.dumps(one))) for one in facts])
    log.close()


def test_a_failure_on_the_way_leaves_the_rollout_open_and_says_how_to_go_on(run: Run, service: Service, home: Path, tmp_path: Path) -> None:
    open_rollout(home)
    LiveSource(recorded(tmp_path, days=DAYS)).save(home)
    status, err, facts = run("resume")
    assert (status, error(facts)[0]) == (75, "rollout_interrupted"), err
    assert "rollout-1-seed-7 stopped on its way" in err
    assert error(facts)[1].endswith("Then go on with it: `lab rollout resume`.")
    assert Ledger(home / "ledger.jsonl").entries()[-1].kind == "rollout_started"


def test_a_rollout_is_resumed_under_the_plan_it_began_with(home: Path) -> None:
    opened = read_open(open_rollout(home))
    assert opened is not None
    own = replace(RolloutPlan.load(), maturity_days=3.0)
    assert plan_of(replace(opened, plan=json.loads(json.dumps(own.to_json())))) == own
    assert plan_of(replace(opened, plan={"of another version": 1})).digest == RolloutPlan.load().digest  # not its own: it is withdrawn


def test_status_says_what_may_be_started_when_nothing_is_open(run: Run, service: Service, registry: FakeRegistry, home: Path) -> None:
    assert run("status")[2] | {"service": None} == {
        "open": None, "champion": "1", "challenger": "2", "serving": None, "service": None, "timeline": [],
    }  # fmt: skip
    told = CliRunner().invoke(app, ["rollout", "status"]).stdout
    assert "Version 1 is champion and answers all cards." in told
    assert "lab rollout start" in told
    registry.delete_alias("challenger")
    assert "lab train --retrain" in CliRunner().invoke(app, ["rollout", "status"]).stdout


def test_status_of_a_rollout_that_was_killed_before_its_first_step_says_how_to_go_on(run: Run, registry: FakeRegistry, home: Path) -> None:
    open_rollout(home)
    opened = run("status")[2]["open"]
    assert (opened["rollout_id"], opened["running"], opened["step_since"]) == ("rollout-1-seed-7", False, None)
    told = CliRunner().invoke(app, ["rollout", "status"]).stdout
    assert "nobody runs it" in told
    assert "lab up, then lab rollout resume" in told  # the service is down
    assert max(len(line) for line in told.splitlines()) <= 80
