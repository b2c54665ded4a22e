"""The `lab` command: fast help, one sentence per failure, stable exit statuses, plain output at 80 columns."""

import errno
import json
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.errors import BadInput, DiskFull, LabError, MissingLibrary
from data.reasons import REASONS
from data.settings import REPOSITORY
from labs import failures
from labs.cli import app
from labs.report.facts import DemoFacts
from labs.report.page import facts_file, page_file
from tests.sample_facts import sample_facts

HEAVY = ("mlflow", "prefect", "evidently", "lightgbm", "sklearn", "pandas", "numpy", "matplotlib", "httpx", "pydantic", "rich")
VERBS = ("demo", "up", "down", "status", "doctor", "train", "reproduce", "score", "explain", "report", "drift")
ANSWER = {
    "transaction_id": "cli_1", "score": 0.91, "decision": "decline", "reasons": [next(iter(REASONS)), "model_amount"],
    "model_version": "3", "arm": "champion",
}  # fmt: skip
PROBLEM = {
    "code": "bad_input",
    "message": "amount_minor: must be above 0.",
    "next_step": "See /docs.",
    "where": "amount_minor",
    "request_id": "r",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "lab"))
    monkeypatch.setenv("COLUMNS", "80")
    with ExitStack() as held:  # ports that nobody listens on: the tester's own lab may be up
        for name in ("SCORING", "MLFLOW", "PREFECT"):
            taken = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            monkeypatch.setenv(f"LAB_{name}_PORT", str(taken.getsockname()[1]))
    return tmp_path / "lab"


@pytest.fixture
def run(home: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process: (exit status, standard output, standard error)."""

    def invoke(*arguments: str, text: str | None = None) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(arguments), input=text)
        return result.exit_code, result.stdout, result.stderr

    return invoke


class Service:
    """A scoring service that answers what a test tells it to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.answer = 200, dict[str, object](ANSWER)
        self.asked: list[dict[str, object]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                body = json.dumps(service.answer).encode()
                self.send_response(service.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    monkeypatch.setenv("LAB_SCORING_PORT", str(made.server.server_port))
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def test_help_costs_less_than_300_ms_of_cpu() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run(
        [sys.executable, "-c", "from labs.cli import main; main()", "--help"], cwd=REPOSITORY, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.returncode == 0
    assert all(verb in shown.stdout for verb in VERBS)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = "import sys\nfrom labs.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    print('LOADED', *sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = set(shown.stdout.partition("LOADED")[2].split())
    assert loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_in_its_help_what_it_does(run: Callable[..., tuple[int, str, str]], verb: str) -> None:
    status, out, _ = run(verb, "--help")
    assert status == 0
    assert len(out.splitlines()[2].strip()) > 10
    assert max(len(line) for line in out.splitlines()) <= 80


def test_a_mistyped_verb_is_a_usage_error_that_names_a_near_one(run: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = run("scor")
    assert status == 64
    assert "score" in err


def test_a_bad_setting_is_one_sentence_with_the_variable_and_its_exit_status(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_SCORING_PORT", "80")
    status, _, err = run("status")
    assert status == 78
    assert err.startswith("✗ LAB_SCORING_PORT:")
    assert "lab doctor" in err
    assert "Traceback" not in err


def test_a_failure_is_told_to_a_program_as_json_too(run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SEED", "-1")
    status, out, _ = run("status", "--json")
    assert status == 78
    assert set(json.loads(out)["error"]) == {"code", "message", "next_step", "where"}


def test_debug_shows_where_it_broke(run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SEED", "-1")
    result = CliRunner().invoke(app, ["--debug", "status"])
    assert isinstance(result.exception, LabError)


def test_ctrl_c_ends_with_130_and_no_stack_trace(run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labs.commands.servers.status", interrupt)
    status, _, err = run("status")
    assert (status, err) == (130, "\nStopped.\n")


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/lab/x"), DiskFull, "may not be written"),
        (OSError("libgomp.so.1: cannot open shared object file"), MissingLibrary, "libgomp1"),
        (ZeroDivisionError(), failures.Unexpected, "ZeroDivisionError"),
        (BadInput("No.", next_step="Yes."), BadInput, "No."),
    ],
)
def test_what_the_machine_does_wrong_is_named(error: Exception, kind: type[LabError], word: str) -> None:
    explained = failures.explain(error)
    assert type(explained) is kind
    assert word in explained.message
    assert explained.next_step


def test_status_says_that_nothing_runs_and_how_to_start_it(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("status")
    assert status == 1
    assert out.count("stopped") == 3
    assert "lab up" in out


def test_status_gives_the_same_facts_to_a_program(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("status", "--json")
    facts = json.loads(out)
    assert status == 1
    assert [process["name"] for process in facts["processes"]] == ["mlflow", "prefect", "scoring"]
    assert facts["serving"] is None


def test_down_is_content_when_nothing_runs(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("down")[:2] == (0, "Nothing was running.\n")


def test_up_refuses_a_process_that_it_does_not_know(run: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = run("up", "nginx")
    assert status == BadInput.exit_status
    assert "mlflow, prefect, scoring" in err


def test_score_explains_the_decision_and_its_rules_in_words(run: Callable[..., tuple[int, str, str]], service: Service) -> None:
    status, out, _ = run("score", "--amount", "12.34", "--channel", "online")
    assert status == 0
    assert "decline" in out
    assert "91.00%" in out
    assert next(iter(REASONS.values())) in " ".join(out.split())
    assert service.asked[0]["amount_minor"] == 1234
    assert service.asked[0]["channel"] == "online"


def test_score_reads_one_transaction_from_a_file_or_from_standard_input(
    run: Callable[..., tuple[int, str, str]], service: Service, tmp_path: Path
) -> None:
    (tmp_path / "tx.json").write_text('{"transaction_id": "t1"}')
    assert run("score", str(tmp_path / "tx.json"))[0] == 0
    status, out, _ = run("score", "-", "--json", text='{"transaction_id": "t2"}')
    assert status == 0
    assert json.loads(out)["decision"] == "decline"
    assert [asked["transaction_id"] for asked in service.asked] == ["t1", "t2"]


def test_score_repeats_the_services_own_sentence_when_it_refuses(run: Callable[..., tuple[int, str, str]], service: Service) -> None:
    service.status, service.answer = 422, {"error": PROBLEM}
    status, _, err = run("score", "--amount", "1")
    assert status == BadInput.exit_status
    assert "amount_minor: must be above 0." in err
    assert "See /docs." in err


def test_score_says_so_when_something_else_answers_on_the_port(run: Callable[..., tuple[int, str, str]], service: Service) -> None:
    service.status, service.answer = 502, {"detail": "bad gateway"}
    status, _, err = run("score", "--amount", "1")
    assert status == LabError.exit_status
    assert "502" in err


def test_score_without_a_service_names_the_command_that_starts_it(run: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = run("score", "--amount", "1")
    assert status == 69
    assert "lab up" in err


@pytest.mark.parametrize("text", ["", "[1]", "{", "NaN"])
def test_score_refuses_what_is_not_one_json_object(run: Callable[..., tuple[int, str, str]], text: str) -> None:
    status, _, err = run("score", "-", text=text)
    assert status == BadInput.exit_status
    assert err.startswith("✗ ")


def test_score_wants_a_payment_exactly_once(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("score")[0] == BadInput.exit_status
    assert run("score", "-", "--amount", "1", text="{}")[0] == BadInput.exit_status
    assert run("score", "no_such_file.json")[0] == 66


def test_the_demo_refuses_a_drift_that_it_could_not_show_before_it_begins(run: Callable[..., tuple[int, str, str]], home: Path) -> None:
    status, _, err = run("demo", "--scenario", "labels_stop")
    assert status == 65 and "moves none" in err and "lab drift run labels_stop" in err
    assert not (home / "demo.json").exists() and not (home / "datasets").exists()


def test_drift_list_names_every_scenario_and_the_right_decision(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("drift", "list")
    assert status == 0
    assert "price_rise" in out
    listed = json.loads(run("drift", "list", "--json")[1])
    assert {"name", "mechanism", "expected"} <= set(listed[0])


def test_drift_check_without_a_service_names_the_command_that_starts_it(run: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = run("drift", "check")
    assert status == 69
    assert "lab up" in err


@pytest.mark.parametrize("other", [("--retrain",), ("--days", "21"), ("--workers", "2"), ("--all-rows",)])
def test_a_recalibration_refuses_what_is_for_new_trees(run: Callable[..., tuple[int, str, str]], other: tuple[str, ...]) -> None:
    status, _, err = run("train", "--recalibrate", *other)
    assert status == 65
    assert other[0] in err and "lab train --retrain" in err


def test_report_before_any_demo_names_the_command_that_makes_one(run: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = run("report")
    assert status == 66
    assert "lab demo" in err


def test_report_is_written_again_from_the_facts_of_the_last_demo(run: Callable[..., tuple[int, str, str]], home: Path) -> None:
    sample_facts().save(facts_file(home))
    status, out, _ = run("report")
    assert status == 0
    assert str(page_file(home)) in out.replace("\n", "")
    assert page_file(home).read_text().startswith("<!doctype html>")


def test_facts_of_another_version_are_refused_by_the_field_that_does_not_fit(run: Callable[..., tuple[int, str, str]], home: Path) -> None:
    facts_file(home).parent.mkdir(parents=True)
    facts_file(home).write_text(sample_facts().to_json().replace('"verdict"', '"judgement"', 1))
    status, _, err = run("report")
    assert status == BadInput.exit_status
    assert "verdict" in err


def test_facts_survive_the_way_through_json() -> None:
    assert DemoFacts.from_json(sample_facts().to_json()) == sample_facts()


def test_a_failure_is_readable_without_colour(run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("report")[2]
