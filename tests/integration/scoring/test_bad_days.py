"""When the log fails: nothing unanswered counts, nothing answered is lost, and service comes back by itself."""

import asyncio
import json
import sqlite3
from itertools import count
from pathlib import Path

import httpx
import psutil
import pytest

from data import log_writer
from data.prediction_frames import window_frame, window_matrix
from data.settings import Settings
from tests.chaos.stored import StoredAnswers
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import body, score, serve_ready, wait_until
from tests.records import START, fraud_label

LATER = START.replace(year=2027)


class FailingDisk:
    """Stands between the log and SQLite's inserts; fails while `failing`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing = False
        self.failures = 0
        self._insert = log_writer.insert
        monkeypatch.setattr(log_writer, "insert", self)

    def __call__(self, connection: sqlite3.Connection, rows: list[log_writer.Row]) -> None:
        self._insert(connection, rows)
        if self.failing:
            self.failures += 1
            raise sqlite3.OperationalError("database or disk is full")


def test_a_full_disk_costs_answers_but_no_history(
    lab: Settings, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk(monkeypatch)
    with serve_ready(lab, registry) as client:
        for i in range(20):
            score(client, i)
        disk.failing = True
        for i in range(20, 30):
            answer = client.post("/v1/score", json=body(i))
            assert answer.status_code == 503 and answer.json()["error"]["code"] == "log_unavailable"
            assert answer.headers["retry-after"] == "1"
        assert client.get("/ready").status_code == 503 and client.get("/live").status_code == 200
        assert disk.failures > 0
        disk.failing = False
        for i in range(30, 60):
            score(client, i)
    frame = window_frame(lab.home / "predictions.db", START, LATER)
    assert frame["transaction_id"].tolist() == [f"tx_{i:06d}" for i in (*range(20), *range(30, 60))]
    other = lab.model_copy(update={"home": tmp_path / "other"})
    other.home.mkdir()
    (other.home / "keys").symlink_to(lab.home / "keys")
    with serve_ready(other, registry) as client:
        for i in (*range(20), *range(30, 60)):
            score(client, i)
    expected = window_matrix(other.home / "predictions.db", START, LATER)
    assert window_matrix(lab.home / "predictions.db", START, LATER).tobytes() == expected.tobytes()


def test_payments_decided_while_a_commit_fails_do_not_count_what_got_lost(
    lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups follow each other at once: the next is decided, and may be on its way to the disk, when one fails."""
    insert, groups = log_writer.insert, count(1)

    def fails_at_times(connection: sqlite3.Connection, rows: list[log_writer.Row]) -> None:
        insert(connection, rows)
        if rows and next(groups) % 7 == 0:
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(log_writer, "insert", fails_at_times)
    with serve_ready(lab, registry) as client:

        async def storm() -> list[int]:
            limits = httpx.Limits(max_connections=20)
            async with httpx.AsyncClient(base_url=client.base_url, limits=limits, timeout=30, trust_env=False) as many:
                sends = (many.post("/v1/score", json=body(i, card_id=f"card_{i % 3}")) for i in range(300))
                return [answer.status_code for answer in await asyncio.gather(*sends)]

        statuses = asyncio.run(storm())
    assert set(statuses) == {200, 503}, "some groups must fail, and some must not"
    stored = StoredAnswers(lab.home / "predictions.db")
    assert len(stored.frame) == statuses.count(200)
    assert stored.wrong_features() == 0


def test_where_somebody_chose_so_a_full_disk_costs_the_log_and_no_answer(
    lab: Settings, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk(monkeypatch)
    with serve_ready(lab.model_copy(update={"log_failure": "open"}), registry) as client:
        for i in range(20):
            score(client, i)
        disk.failing = True
        for i in range(20, 30):
            answer = client.post("/v1/score", json=body(i))
            assert answer.status_code == 200 and answer.json()["transaction_id"] == f"tx_{i:06d}"
            assert answer.headers["x-lab-logged"] == "no"
        batch = client.post("/v1/score/batch", json={"transactions": [body(i) for i in range(5, 25)]})
        assert batch.headers["x-lab-logged"] == "no" and len(batch.json()["predictions"]) == 20
        label = json.loads(fraud_label(3).model_dump_json())
        assert client.post("/v1/labels", json={"labels": [label]}).status_code == 503, "a label may wait, a payment may not"
        ready = client.get("/ready")
        assert ready.status_code == 200 and ready.json()["logged"] is False
        assert "fraud_unlogged_answers_total 15.0" in client.get("/metrics").text
        assert disk.failures > 0
        disk.failing = False
        again = client.post("/v1/score", json=body(25))
        assert again.status_code == 200 and "x-lab-logged" not in again.headers, "an answer that was not kept is given anew"
        for i in range(30, 60):
            score(client, i)
        assert client.get("/ready").json()["logged"] is True
    frame = window_frame(lab.home / "predictions.db", START, LATER)
    assert frame["transaction_id"].tolist() == [f"tx_{i:06d}" for i in (*range(20), 25, *range(30, 60))]
    other = lab.model_copy(update={"home": tmp_path / "other"})
    other.home.mkdir()
    (other.home / "keys").symlink_to(lab.home / "keys")
    with serve_ready(other, registry) as client:
        for i in (*range(20), 25, *range(30, 60)):
            score(client, i)
    expected = window_matrix(other.home / "predictions.db", START, LATER)
    assert window_matrix(lab.home / "predictions.db", START, LATER).tobytes() == expected.tobytes(), "it remembers what the log lacks"


def test_a_buffered_log_is_written_soon_and_what_it_loses_is_told(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab.model_copy(update={"log_write": "buffered"}), registry) as client:
        first = score(client, 0)
        wait_until(lambda: client.get("/v1/serving").json()["log_sequence"] == 1, "written")
        assert score(client, 0) == first
        (writer,) = (child for child in psutil.Process().children() if "data.log_process" in child.cmdline())
        writer.suspend()
        score(client, 1)  # answered, and then lost
        writer.kill()
        wait_until(lambda: "fraud_unlogged_answers_total 1.0" in client.get("/metrics").text, "told")
        score(client, 2)  # another writer is there
    frame = window_frame(lab.home / "predictions.db", START, LATER)
    assert frame["transaction_id"].tolist() == ["tx_000000", "tx_000002"]
    assert frame["card_count_1h"].tolist() == [0.0, 0.0], "it remembers what the log lacks"


def test_a_champion_that_cannot_score_leaves_no_trace_in_the_history(
    lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.bundle import Model

    with serve_ready(lab, registry) as client:
        first = score(client, 1)
        with monkeypatch.context() as broken:
            broken.setattr(Model, "score", lambda self, features: float("nan"))
            answer = client.post("/v1/score", json=body(8))
            assert answer.status_code == 503 and answer.json()["error"]["code"] == "model_failed"
        assert score(client, 1) == first
        score(client, 8)  # of the same card as 1, one payment earlier in its history, not two
    frame = window_frame(lab.home / "predictions.db", START, LATER)
    assert frame["card_count_1h"].tolist() == [0.0, 1.0]
