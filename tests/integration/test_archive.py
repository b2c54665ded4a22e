"""The archive as a process beside a shared store: it follows, survives the store's absence, and ends when told."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from data.errors import BadSetting
from data.prediction_frames import served_features
from data.settings import REPOSITORY, Settings
from data.valkey_log import ValkeyLog
from labs.archive import readable_log
from tests.contract.test_log_archive import ALWAYS
from tests.integration.scoring.server import wait_until
from tests.records import fraud_label, record
from tests.valkey_server import PROGRAM, ValkeyServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is installed")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path / "valkey")
    yield server
    server.kill()


@pytest.fixture
def settings(store: ValkeyServer, tmp_path: Path) -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return Settings(home=tmp_path / "home", store_url=store.url, archive_port=port, http_timeout_s=2, start_timeout_s=30)


@contextmanager
def archive(settings: Settings) -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | settings.as_environment()
    command = [sys.executable, "-m", "services.archive"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def answers(settings: Settings) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{settings.archive_port}/metrics", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_it_follows_the_store_through_a_restart_of_it_and_tells_how_far_behind_it_is(store: ValkeyServer, settings: Settings) -> None:
    with archive(settings) as process, closing(ValkeyLog(store.url)) as log:
        wait_until(lambda: answers(settings), "its metrics answer")
        log.submit([record(1), record(2), fraud_label(1)]).result()
        assert served_features(readable_log(settings), *ALWAYS).places.tolist() == [1, 2]
        store.kill()
        wait_until(lambda: "did not take or give" in (process.stderr.readline() if process.stderr else ""), "it says so")
        store.start()
        log.append([record(3)])
        assert served_features(readable_log(settings), *ALWAYS).places.tolist() == [1, 2, 4]
        told = httpx.get(f"http://127.0.0.1:{settings.archive_port}/metrics", trust_env=False).text
        assert "fraud_archive_behind_entries 0.0" in told and "fraud_archive_waiting_payments 0.0" in told
        process.terminate()
        assert process.wait(10) == 0


def test_without_a_store_it_says_which_setting_is_missing(settings: Settings) -> None:
    with archive(settings.model_copy(update={"store_url": ""})) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == BadSetting.exit_status and "LAB_STORE_URL" in said and "Traceback" not in said
