"""The scoring process itself: what it loads, how it starts, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from data.errors import BundleRefused
from data.prediction_log import PredictionLog
from data.serving_plan import ServingPlan
from data.settings import REPOSITORY
from data.trial import try_bundle
from services.scoring.model_store import ModelStore
from tests.integration.scoring.server import score, trial_in_process, wait_until


def test_importing_the_service_loads_no_heavy_library() -> None:
    heavy = ("mlflow", "prefect", "evidently", "pandas", "lightgbm", "sklearn", "pyarrow", "joblib", "cloudpickle")
    code = f"import sys, services.scoring.app, services.scoring.compose; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_sealed_model_passes_its_trial(bundles: Path) -> None:
    assert try_bundle(bundles / "1").rows == 20


def test_a_model_that_ends_its_process_ends_only_the_trial(bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill = 'lambda event, _: os.kill(os.getpid(), signal.SIGSEGV) if event == "data.forest.read" else None'
    (tmp_path / "sitecustomize.py").write_text(f"import os, signal, sys\nsys.addaudithook({kill})\n")  # Python runs it in the child
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BundleRefused, match="ended by SIGSEGV"):
        try_bundle(bundles / "1")


def test_the_process_starts_from_the_last_good_copy_and_saves_its_history_at_sigterm(bundles: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "keys").symlink_to(bundles / "keys")
    store = ModelStore(home / "models", key_folder=bundles / "keys", trial=trial_in_process)

    def copy(folder: Path) -> None:
        for file in (bundles / "1").iterdir():
            (folder / file.name).write_bytes(file.read_bytes())

    store.model("1", copy)
    store.remember(ServingPlan(1, "1"), datetime(2026, 3, 1, tzinfo=UTC))
    ports = [_free_port(), _free_port()]
    environment = os.environ | {"LAB_HOME": str(home), "LAB_SCORING_PORT": str(ports[0]), "LAB_MLFLOW_PORT": str(ports[1])}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.scoring"], env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", timeout=30, trust_env=False) as client:
            wait_until(lambda: process.poll() is not None or _ready(client), "ready", deadline_s=60)
            assert client.get("/ready").json()["source"] == "last_good"
            for i in range(5):
                score(client, i)
    finally:
        process.send_signal(signal.SIGTERM)
        output = process.stderr.read()
        process.stderr.close()
    assert process.wait(timeout=60) in (0, -signal.SIGTERM), output  # uvicorn ends by the signal it was sent
    assert (home / "history" / "at-000000000005.npz").exists()
    log = PredictionLog(home / "predictions.db")
    assert log.last_sequence() == 5
    log.close()


def test_a_start_that_cannot_succeed_says_why_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "predictions.db").write_text("text, not a database; long enough to have a header" * 10)
    done = subprocess.run(
        [sys.executable, "-m", "services.scoring"],
        env=os.environ | {"LAB_HOME": str(tmp_path)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 74 and "predictions.db cannot be used" in done.stderr and "Traceback" not in done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False
