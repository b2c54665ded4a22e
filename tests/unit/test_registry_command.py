"""`lab registry` and `lab rollback` from the outside: what they print, and that the service is asked whether it follows."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.errors import StepFailed
from data.keys import lab_key
from data.ledger import Ledger
from data.serving_plan import ServingPlan
from labs.cli import app
from tests.fakes import FakeRegistry

Run = Callable[..., tuple[int, str, str]]


class Service:
    """A scoring service that follows the registry's plan at /v1/reload, or stays with what it has."""

    def __init__(self, registry: FakeRegistry, key_folder: Path) -> None:
        self.follows = True
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/reload"
                assert self.headers["x-lab-key"] == lab_key(key_folder)
                plan = registry.plan()
                champion = plan.champion if plan and service.follows else "2"
                refused = {} if service.follows else {"1": "its signature does not fit"}
                body = json.dumps({"champion": champion, "refused": refused, "registry_problem": None}).encode()
                self.send_response(200)
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
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, home: Path) -> FakeRegistry:
    """Version 2 is champion, version 1 was."""
    made = FakeRegistry()
    made.ensure()
    for number in ("1", "2"):
        made.create_version(f"run-{number}", "nowhere", {})
    made.set_alias("champion", "2")
    made.set_alias("previous_champion", "1")
    made.set_plan(ServingPlan(3, "2"))
    monkeypatch.setattr("labs.commands.registry.Registry.of", lambda _: made)
    Ledger(home / "ledger.jsonl").record("champion_registered", {"version": "1"}, datetime(2026, 3, 6, tzinfo=UTC))
    return made


@pytest.fixture
def service(registry: FakeRegistry, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service(registry, home / "keys")
    monkeypatch.setenv("LAB_SCORING_PORT", str(made.server.server_port))
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.fixture
def run(home: Path) -> Run:
    def invoke(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.stdout, result.stderr

    return invoke


def test_a_rollback_ends_when_the_service_answers_with_the_version(run: Run, service: Service, registry: FakeRegistry) -> None:
    status, out, _ = run("rollback", "--reason", "scores moved")
    assert status == 0
    assert "version 1 answers, instead of version 2" in out
    assert registry.alias("champion") == "1"


def test_a_service_that_stays_with_another_version_is_a_failure_with_its_reason(run: Run, service: Service) -> None:
    service.follows = False
    status, _, err = run("rollback", "--reason", "scores moved")
    assert status == StepFailed.exit_status
    assert "its signature does not fit" in err


def test_without_a_service_the_registry_is_changed_and_the_next_start_follows(
    run: Run, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_SCORING_PORT", "1024")
    status, out, _ = run("rollback", "--reason", "scores moved", "--json")
    assert status == 0
    assert json.loads(out) == {"champion": "1", "instead_of": "2", "epoch": 4, "resumed": False, "served": False}


def test_a_rollback_without_a_reason_is_a_usage_error(run: Run, registry: FakeRegistry) -> None:
    status, _, err = run("rollback")
    assert status == 64
    assert "--reason" in err


def test_the_rollback_is_dated_in_event_time(run: Run, registry: FakeRegistry, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SCORING_PORT", "1024")
    run("rollback", "--reason", "scores moved")
    assert {entry.at for entry in Ledger(home / "ledger.jsonl").entries()} == {"2026-03-06T00:00:00+00:00"}


def test_the_registry_lists_versions_aliases_and_a_verified_ledger(run: Run, registry: FakeRegistry) -> None:
    status, out, _ = run("registry")
    assert status == 0
    assert "previous champion" in out
    assert "champion registered: version 1" in out
    assert "all 1 entries follow each other" in out
    listed = json.loads(run("registry", "--json")[1])
    assert [(v["version"], v["aliases"]) for v in listed["versions"]] == [("1", ["previous_champion"]), ("2", ["champion"])]
    assert listed["ledger"]["entries"] == 1


def test_a_ledger_that_was_written_over_is_found(run: Run, registry: FakeRegistry, home: Path) -> None:
    file = home / "ledger.jsonl"
    file.write_text(file.read_text().replace('"version":"1"', '"version":"2"'))
    status, _, err = run("registry")
    assert status == 65
    assert "ledger.jsonl" in err


def test_without_a_registry_the_command_that_starts_it_is_named(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_MLFLOW_PORT", "1024")
    status, _, err = run("registry")
    assert status == 69
    assert "lab up" in err
