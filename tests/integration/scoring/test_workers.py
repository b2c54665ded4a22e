"""Two workers behind one port share a store: whichever a payment lands on, and whoever dies, it counts once."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from data.serving_plan import ServingPlan
from data.settings import REPOSITORY, Settings
from data.valkey_log import ValkeyLog
from services.scoring.model_store import ModelStore
from tests.integration.scoring.server import body, wait_until
from tests.records import START
from tests.valkey_server import PROGRAM, ValkeyServer

PAYMENTS = 300
CLIENTS = 6


@contextmanager
def workers(lab: Settings, store_url: str) -> Iterator[tuple[psutil.Process, str]]:
    """A keeper and its two workers, both started; the registry is down, and the last good copy serves."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = lab.model_copy(update={"store_url": store_url, "workers": 2, "scoring_port": port, "mlflow_port": 1024})
    command = [sys.executable, "-m", "services.keeper", "127.0.0.1", str(port), "2", sys.executable, "-m", "services.scoring"]
    said = lab.home / "scoring.log"
    with (
        said.open("wb") as log,
        subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | settings.as_environment(), stdout=log, stderr=log) as keeper,
    ):
        try:
            wait_until(lambda: said.read_text().count("serving version") == 2, "both workers serve", deadline_s=60)
            yield psutil.Process(keeper.pid), f"http://127.0.0.1:{port}"
        finally:
            keeper.terminate()


def answered(url: str, number: int) -> float:
    """The score of `transaction(number)`; sent again when the connection broke. A connection each, so that both workers get some."""
    for _ in range(5):
        try:
            answer = httpx.post(f"{url}/v1/score", json=body(number), timeout=30, trust_env=False)
        except httpx.TransportError:
            continue
        assert answer.status_code == 200, answer.text
        return float(answer.json()["score"])
    raise AssertionError("five connections broke")


@pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is installed")
def test_a_worker_is_killed_under_load_and_no_payment_is_lost_or_counted_twice(lab: Settings, bundles: Path, tmp_path: Path) -> None:
    store = ModelStore(lab.home / "models", key_folder=lab.home / "keys", trial=lambda _: None)
    (lab.home / "models" / "1").symlink_to(bundles / "1")
    store.remember(ServingPlan(1, "1"), START)
    server = ValkeyServer(tmp_path / "valkey")
    try:
        with workers(lab, server.url) as (keeper, url), ThreadPoolExecutor(CLIENTS) as clients:
            pending = [clients.submit(answered, url, number) for number in range(PAYMENTS)]
            wait_until(lambda: sum(each.done() for each in pending) > PAYMENTS // 4, "a quarter is answered")
            victim, other = keeper.children()
            victim.kill()
            scores = [each.result() for each in pending]
            assert not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE
            assert [answered(url, number) for number in range(0, PAYMENTS, 10)] == scores[::10]
            assert other in keeper.children()
        log = ValkeyLog(server.url)
        assert log.last_sequence() == PAYMENTS
        for number, score in enumerate(scores):
            logged = log.logged(f"tx_{number:06d}")
            assert logged is not None and logged.score == score
        log.close()
    finally:
        server.kill()
