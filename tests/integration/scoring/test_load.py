"""Locust against a real server: a fixed number of payments at a fixed rate, labels when due, an exit status."""

import json
import os
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from data.dataset import Dataset, to_table
from data.prediction_frames import labels_frame, window_frame
from data.schema import LABEL_COLUMNS, TRANSACTION_COLUMNS
from data.settings import REPOSITORY, Settings
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import serve_ready
from tests.records import START, transaction


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three days of 144 payments; every tenth is reported as fraud on the following day."""
    for day in range(3):
        numbers = range(day * 1_440, (day + 1) * 1_440, 10)
        payments = pd.DataFrame([transaction(i).model_dump() for i in numbers]).astype({c: d for c, (d, _) in TRANSACTION_COLUMNS.items()})
        labels = payments.iloc[::10][["transaction_id", "event_time"]].assign(
            report_time=lambda frame: frame["event_time"] + pd.Timedelta(days=1), is_fraud=True, source="chargeback"
        )
        labels = labels.astype({c: d for c, (d, _) in LABEL_COLUMNS.items()})
        tables = {"transactions": to_table(payments, "transactions"), "labels": to_table(labels, "labels")}
        Dataset(tmp_path / "dataset").write_day(date(2026, 3, 2 + day), tables)  # type: ignore[arg-type]
    return tmp_path / "dataset"


def run_locust(url: str, dataset: Path, summary: Path, requests: int, objective: str = "") -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {
        "LAB_LOAD_OBJECTIVE": objective,
        "LAB_LOAD_DATASET": str(dataset),
        "LAB_LOAD_DAY": "2026-03-02",
        "LAB_LOAD_REQUESTS": str(requests),
        "LAB_LOAD_RATE": "150",
        "LAB_LOAD_SUMMARY": str(summary),
    }
    command = [sys.executable, "-m", "locust", "-f", "tests/load/locustfile.py", "--headless", "--host", url]
    return subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


def test_locust_sends_each_payment_once_and_labels_when_they_are_due(
    lab: Settings, registry: FakeRegistry, dataset: Path, tmp_path: Path
) -> None:
    with serve_ready(lab, registry) as client:
        done = run_locust(str(client.base_url), dataset, tmp_path / "summary.json", requests=350)
    facts = json.loads((tmp_path / "summary.json").read_text())
    assert (facts["requests"], facts["failures"], facts["label_failures"]) == (350, 0, 0), done.stderr
    assert done.returncode == (0 if facts["met"] else 1)
    assert sum(facts["counts"]) == 350 and 0 < facts["requests_per_s"] <= 155
    served = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    assert sorted(served["transaction_id"]) == [f"tx_{i:06d}" for i in range(0, 3_500, 10)]
    labels = labels_frame(lab.home / "predictions.db")
    assert len(labels) == facts["labels_sent"] > 0
    assert labels["report_time"].max() <= served["event_time"].max()
    assert not labels["transaction_id"].isin(served.loc[served["decision"] == "decline", "transaction_id"]).any()


def test_locust_fails_when_nobody_answers(dataset: Path, tmp_path: Path) -> None:
    done = run_locust("http://127.0.0.1:9", dataset, tmp_path / "summary.json", requests=50)
    facts = json.loads((tmp_path / "summary.json").read_text())
    assert facts["failures"] == facts["requests"] == 50 and not facts["met"] and done.returncode == 1


def test_locust_judges_by_the_objective_that_it_is_given(dataset: Path, tmp_path: Path) -> None:
    objective = tmp_path / "slo.toml"
    objective.write_text("[objective]\np95_ms = 1e6\np99_ms = 1e6\nerror_ratio = 1.0\n[arrivals]\nrate_per_s = 100.0\nusers = 4\n")
    done = run_locust("http://127.0.0.1:9", dataset, tmp_path / "summary.json", requests=20, objective=str(objective))
    assert json.loads((tmp_path / "summary.json").read_text())["slo_error_ratio"] == 1.0 and done.returncode == 0


def test_two_workers_send_each_payment_once_between_them_and_the_master_judges(
    lab: Settings, registry: FakeRegistry, dataset: Path, tmp_path: Path
) -> None:
    """Without LAB_LOAD_DAY and LAB_LOAD_REQUESTS: all that is there."""
    with serve_ready(lab, registry) as client, socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        held.close()
        environment = os.environ | {
            "LAB_LOAD_DATASET": str(dataset),
            "LAB_LOAD_WORKERS": "2",
            "LAB_LOAD_RATE": "150",
            "LAB_LOAD_SUMMARY": str(tmp_path / "all.json"),
        }
        locust = [sys.executable, "-m", "locust", "-f", "tests/load/locustfile.py", "--headless", "--host", str(client.base_url)]
        roles = (["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"],)
        roles += (["--worker", "--master-host", "127.0.0.1", "--master-port", port],) * 2
        started = [subprocess.Popen(locust + role, env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for role in roles]
        said = [process.communicate(timeout=120)[1] for process in started]
    facts = json.loads((tmp_path / "all.json").read_text())
    assert (facts["requests"], facts["failures"], facts["label_failures"]) == (432, 0, 0), said
    assert started[0].returncode == (0 if facts["met"] else 1)
    assert 0 < facts["requests_per_s"] <= 155
    served = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    assert sorted(served["transaction_id"]) == [f"tx_{i:06d}" for i in range(0, 4_320, 10)]
