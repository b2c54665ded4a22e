"""`lab rollout` over a real running lab: MLflow, the scoring process, the world's payments; killed on the way and gone on with."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from data.costs import Policy
from data.ledger import Ledger
from data.prediction_frames import logged_decisions
from data.registry import Registry
from data.serving_plan import ServingPlan
from data.settings import REPOSITORY, Settings
from labs.cli import app
from labs.stream import WorldStream, midnight
from tests.bundles import make_bundle
from tests.integration.scoring.server import wait_until

# A day of 600 payments holds three frauds: money is judged on few, and nothing on how fast a shared machine is.
PLAN = """
maturity_days = 1.0
money_margin = 0.5
min_matured_payments = 500
min_matured_frauds = 1
label_silence_days = 30.0
silence_hours = 72.0
slow_ms = 10000.0
steps = [
  { name = "shadow", mode = "shadow", share = 0.0, min_payments = 300, max_days = 2.0, needs_money = false },
  { name = "canary 50 %", mode = "canary", share = 0.5, min_payments = 900, max_days = 12.0, needs_money = true },
]
"""
LAB = [sys.executable, "-c", "from labs.cli import main; main()"]


class RunningLab:
    """A lab whose servers run: version 1 is champion; 2 decides the same; 3 sends every payment to review."""

    def __init__(self, folder: Path, mlflow_url: str) -> None:
        self.home = folder / "lab"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = Settings(
            home=self.home, world_start=date(2026, 1, 5), transactions_per_day=600, world_days=21, scoring_port=port,
            mlflow_port=int(mlflow_url.rpartition(":")[2]), model_name="rollout", registry_poll_s=0.2,
        )  # fmt: skip
        self.settings, self.environment = settings, {**os.environ, **settings.as_environment(), "COLUMNS": "80"}
        self.registry = Registry(mlflow_url, settings.model_name, 20, self.home / "keys")
        self.ledger = Ledger(self.home / "ledger.jsonl")
        self.stream = WorldStream(settings)
        self.stream.make_history(lambda _: None)
        self.plan = folder / "plan.toml"
        self.plan.write_text(PLAN)
        self.registry.ensure()
        some, all_of_them = Policy(0.895, 0.999), Policy(0.0, 0.999)
        for version, policy in enumerate((some, some, all_of_them), 1):
            make_bundle(folder / str(version), self.home / "keys", seed=1, sequence=version, policy=policy)
            self._register(mlflow_url, folder / str(version))
        self.registry.set_alias("champion", "1")
        self.registry.set_alias("challenger", "2")
        self.registry.set_plan(ServingPlan(0, "1"))
        self.start_scoring()

    def _register(self, url: str, bundle: Path) -> None:
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as http:
            run = http.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]
            place = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
            for file in bundle.iterdir():
                http.put(f"/api/2.0/mlflow-artifacts/artifacts/{place}/model/{file.name}", content=file.read_bytes()).raise_for_status()
        self.registry.create_version(run["run_id"], run["artifact_uri"] + "/model", {})

    def start_scoring(self) -> None:
        self.scoring = self.run([sys.executable, "-m", "services.scoring"])
        wait_until(lambda: self.serving() is not None, "the scoring service answers", 60)

    def serving(self) -> Any:
        try:
            return httpx.get(f"{self.settings.scoring_url}/v1/serving", trust_env=False).json()["champion"]
        except httpx.TransportError:
            return None

    def run(self, command: list[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def answered_in_canary(self) -> int:
        with closing(sqlite3.connect(self.home / "predictions.db")) as log:
            return int(log.execute("SELECT count(*) FROM predictions WHERE arm = 'challenger'").fetchone()[0])

    def close(self) -> None:
        self.registry.close()
        self.scoring.kill()
        self.scoring.communicate()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[RunningLab]:
    made = RunningLab(tmp_path_factory.mktemp("rollout"), mlflow_url)
    yield made
    made.close()


@pytest.fixture
def command(lab: RunningLab, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs `lab rollout …` in this process: (exit status, standard output, standard error)."""
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["rollout", *arguments])
        return result.exit_code, result.stdout, result.stderr

    return invoke


def test_killed_in_a_canary_with_the_service_killed_too_it_goes_on_to_one_champion_and_no_payment_is_lost(
    lab: RunningLab, command: Callable[..., tuple[int, str, str]]
) -> None:
    started = lab.run([*LAB, "rollout", "start", "--plan", str(lab.plan)])
    wait_until(lambda: started.poll() is not None or lab.answered_in_canary() > 0, "a canary", 90)
    started.send_signal(signal.SIGSTOP)  # it lives, and gets no further while it is looked at
    running, (refused, _, why) = json.loads(command("status", "--json")[1]), command("resume")
    started.kill()
    told, _ = started.communicate()
    assert "shadow: advance" in told
    assert (running["open"]["running"], refused) == (True, 1)
    assert "another process" in why
    lab.scoring.kill()
    lab.scoring.communicate()

    left = json.loads(command("status", "--json")[1])
    assert (left["open"]["running"], left["serving"]["share"], left["service"]) == (False, 0.5, None)
    assert left["open"]["evidence"]["verdict"] == "hold"
    assert [turn["verdict"] for turn in left["timeline"]] == ["passed", "started", "advance", "started"]
    assert command("resume")[0] == 69
    assert command("start", "--plan", str(lab.plan))[0] == 1

    lab.start_scoring()
    status, out, err = command("resume", "--json")
    facts = json.loads(out)
    assert (status, facts["result"], facts["requests"]["failed"]) == (0, "promoted", 0), err
    assert [turn["verdict"] for turn in facts["timeline"]] == ["passed", "started", "advance", "started", "promote", "promoted"]
    assert {alias: lab.registry.alias(alias) for alias in ("champion", "previous_champion", "challenger")} == {
        "champion": "2", "previous_champion": "1", "challenger": None,
    }  # fmt: skip
    assert lab.registry.plan() == ServingPlan(3, "2", rollout_id=facts["rollout_id"])
    assert lab.serving() == "2"
    lab.ledger.verify()
    assert [entry.kind for entry in lab.ledger.entries()].count("rollout_started") == 1

    until = datetime.fromisoformat(facts["until"])
    sent = logged_decisions(lab.home / "predictions.db", midnight(lab.stream.live), until)
    days = [lab.stream.day(date.fromordinal(n)) for n in range(lab.stream.live.toordinal(), until.toordinal() + 1)]
    assert set(sent) == {one for day in days for one in day.transactions["transaction_id"][day.arrival < until]}


def test_a_challenger_that_harms_is_rolled_back_and_that_is_an_exit_status_of_its_own(
    lab: RunningLab, command: Callable[..., tuple[int, str, str]]
) -> None:
    lab.registry.set_alias("challenger", "3")
    status, out, _ = command("start", "--plan", str(lab.plan))
    champion = lab.registry.alias("champion")
    assert status == 3, out
    assert "too many alerts" in out
    assert f"rolled back: version {champion} answers all cards" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert (lab.serving(), lab.registry.alias("challenger")) == (champion, None)


def test_an_operator_pauses_and_aborts_a_rollout_that_another_process_runs(
    lab: RunningLab, command: Callable[..., tuple[int, str, str]]
) -> None:
    champion = str(lab.registry.alias("champion"))
    lab.registry.set_alias("challenger", "1" if champion == "2" else "2")
    before = lab.answered_in_canary()
    started = lab.run([*LAB, "rollout", "start", "--plan", str(lab.plan)])
    wait_until(lambda: started.poll() is not None or lab.answered_in_canary() > before, "a canary", 120)
    assert command("pause", "--reason", "an audit", "--by", "night shift")[0] == 0
    status = json.loads(command("status", "--json")[1])["open"]
    assert [(order["kind"], order["by"]) for order in status["orders"]] == [("pause", "night shift")]
    exit_status, out, err = command("abort", "--reason", "the audit said no", "--by", "day shift")
    assert exit_status == 0, err
    assert f"version {champion} answers all cards" in out
    told, why = started.communicate(timeout=60)
    assert started.returncode == 3, why
    assert "aborted by day shift: the audit said no" in " ".join(told.split())
    assert (lab.serving(), lab.registry.alias("champion")) == (champion, champion)
    story = " ".join(command("story")[1].split())
    assert "night shift orders: pause an audit" in story
    assert "rolled back, decided by day shift" in story


def test_too_little_evidence_is_an_end_of_its_own_and_the_challenger_may_try_again(
    lab: RunningLab, command: Callable[..., tuple[int, str, str]]
) -> None:
    equal = "1" if lab.registry.alias("champion") == "2" else "2"
    lab.registry.set_alias("challenger", equal)
    hurried = lab.plan.with_name("hurried.toml")
    hurried.write_text(PLAN.replace("max_days = 2.0", "max_days = 0.01"))
    status, out, _ = command("start", "--plan", str(hurried))
    assert status == 4, out
    assert "stays challenger" in out
    assert lab.registry.alias("challenger") == equal
    assert "No rollout is open. The last one ended" in command("status")[1]
