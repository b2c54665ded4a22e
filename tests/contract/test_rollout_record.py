"""The rollout's run in MLflow, kept by plain REST on a real server: one run, whatever is said twice, and nothing lost by an outage."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.errors import RegistryUnavailable
from data.ledger import Ledger
from data.registry import Registry
from data.tracking import Tracking
from pipelines.rollout.controller import run_rollout
from pipelines.rollout.record import ROLLOUT_TAG, STATE_TAG, recorder
from tests.bench.rollout_kills import PLAN
from tests.simulated_service import START, Model, SimulatedService
from tests.unit.test_rollout_controller import registry_with_two_versions

EXPERIMENT = "recorded rollouts"  # other tests' rollouts on the same server have the same ids


@pytest.fixture
def registry(mlflow_url: str, tmp_path: Path) -> Iterator[Registry]:
    """Two versions that nobody downloads."""
    with closing(Tracking(mlflow_url, "trainings", 20)) as trainings, Registry(mlflow_url, "recorded", 20, tmp_path / "keys") as made:
        run = trainings.run("training", 0)
        made.ensure()
        for _ in range(2):
            made.create_version(run.run_id, f"mlflow-artifacts:/{run.files}/model", {})
        yield made


def ask(url: str, route: str, **query: str) -> dict[str, Any]:
    return dict(httpx.get(f"{url}/api/2.0/mlflow/{route}", params=query, trust_env=False, timeout=20).json())


def test_a_rollout_leaves_one_run_with_its_plan_its_turns_and_the_evidence_of_each_verdict(
    mlflow_url: str, registry: Registry, tmp_path: Path
) -> None:
    fake = registry_with_two_versions()
    service = SimulatedService(fake, Model(), Model(recall=0.9, false_alerts=0.005), alike=0.2, per_day=800, label_delay_days=0.1)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with closing(Tracking(mlflow_url, EXPERIMENT, 20)) as tracking:
        record = recorder(tracking, registry)
        ports: dict[str, Any] = {"traffic": service.traffic, "notify": service.notify, "inspect": service.inspect, "at": START}
        outcome = run_rollout(PLAN, registry=fake, ledger=ledger, evidence=service, record=record, **ports)
        record(ledger.entries(), outcome.rollout_id)  # said twice
        assert (outcome.result, outcome.unrecorded) == ("promoted", "")
        run = tracking.run(outcome.rollout_id, 0)
    found = ask(mlflow_url, "runs/get", run_id=run.run_id)["run"]
    params = {each["key"]: each["value"] for each in found["data"]["params"]}
    assert (params["champion"], params["challenger"], params["plan_digest"]) == ("1", "2", PLAN.digest)
    assert found["info"]["status"] == "FINISHED"
    assert found["info"]["start_time"] == int(START.timestamp() * 1000), "event time"
    alerts = ask(mlflow_url, "metrics/get-history", run_id=run.run_id, metric_key="log10_e_alerts")["metrics"]
    assert [point["step"] for point in alerts] == [0, 1, 2, 3], "one for each verdict, and once"
    files = {
        name: httpx.get(f"{mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{run.files}/{name}", trust_env=False).text
        for name in ("plan.json", "ledger.json", "turns.md")
    }
    assert json.loads(files["plan.json"]) == json.loads(json.dumps(PLAN.to_json()))
    assert len(json.loads(files["ledger.json"])) == len(ledger.entries())
    assert files["turns.md"].splitlines()[-1].startswith("| 2026-03-0") and "| promoted | 100% |" in files["turns.md"]
    assert registry.version("2").tags == {ROLLOUT_TAG: outcome.rollout_id, STATE_TAG: "promoted"}


def test_a_server_that_says_nothing_costs_one_time_out_and_is_told(tmp_path: Path, mlflow_url: str) -> None:
    with closing(Tracking("http://127.0.0.1:9", EXPERIMENT, 0.2)) as tracking:
        began = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="did not answer"):
            tracking.run("rollout-1", 0)
        assert time.monotonic() - began < 5
    with (
        closing(Tracking(f"{mlflow_url}/elsewhere", EXPERIMENT, 20)) as tracking,
        pytest.raises(RegistryUnavailable, match="MLflow answered 4"),
    ):
        tracking.run("rollout-1", 0)
