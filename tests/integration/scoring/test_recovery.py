"""A start after a kill: from a snapshot that was saved while the service ran, with the state that a whole replay gives."""

import asyncio
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from data.clock import SystemClock
from data.group_commit import unavailable
from data.prediction_log import PredictionLog
from data.settings import Settings
from services.scoring.engine import Engine
from services.scoring.metrics import Metrics
from services.scoring.recovery import Recovery
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import score, serve_ready, wait_until
from tests.records import fraud_label, record, transaction
from tests.scorers import PlainModel, slots_of


def test_a_running_service_has_snapshots_saved_and_they_are_what_the_log_says(
    lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scoring.recovery.EVERY", 40)
    folder = lab.home / "history"
    with serve_ready(lab, registry) as client:
        for number in range(45):
            score(client, number)
        wait_until(lambda: any(folder.glob("at-*.npz")), "a snapshot was saved")
        (saved,) = folder.glob("at-*.npz")
        assert 40 <= int(saved.stem.removeprefix("at-")) <= 45
        content = saved.read_bytes()
    with closing(PredictionLog(lab.home / "predictions.db")) as log:
        from_start, last = Recovery(lab.home / "elsewhere", log).restore()
        for file in folder.glob("at-*.npz"):
            file.unlink()  # what the stopping service saved
        saved.write_bytes(content)
        from_snapshot, also_last = Recovery(folder, log).restore()
    assert last == also_last == 45
    assert from_snapshot.digest() == from_start.digest()


def test_two_snapshots_are_kept_and_none_of_what_the_log_lost(tmp_path: Path) -> None:
    with closing(PredictionLog(tmp_path / "predictions.db")) as log:
        recovery = Recovery(tmp_path / "history", log)
        for start in (0, 10, 20):
            log.append([record(i) for i in range(start, start + 10)])
            recovery.save(*recovery.restore())
        kept = tmp_path / "history"
        assert sorted(file.stem for file in kept.iterdir()) == ["at-000000000020", "at-000000000030"]
        recovery.save(recovery.restore()[0], 35)  # five entries more, which a power cut took from the log
        assert recovery.restore()[1] == 30
        assert sorted(file.stem for file in kept.iterdir()) == ["at-000000000030"]


def test_a_last_group_that_could_not_be_stored_is_in_no_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: Future[frozenset[str]] = Future()
    lost.set_exception(unavailable("the disk is full"))

    async def two_payments_of_which_one_is_stored(engine: Engine, log: PredictionLog) -> None:
        await engine.score(transaction(1))
        log.drain()
        await asyncio.sleep(0.1)
        with monkeypatch.context() as full:
            full.setattr(log, "submit", lambda _: lost)
            await engine.score(transaction(2))  # answered; it would be stored later
            engine._drain()
        engine.close()

    with closing(PredictionLog(tmp_path / "predictions.db")) as log:
        recovery = Recovery(tmp_path / "history", log)
        engine = Engine(slots_of(PlainModel()), log, recovery, Metrics(), SystemClock(), answers_before_commit=True)
        asyncio.run(two_payments_of_which_one_is_stored(engine, log))
        saved, sequence = recovery.restore()
        assert (sequence, saved.digest()) == (1, Recovery(tmp_path / "elsewhere", log).restore()[0].digest())
        assert (tmp_path / "history" / "at-000000000001.npz").exists()


def test_a_snapshot_that_comes_late_drops_no_later_one(tmp_path: Path) -> None:
    with closing(PredictionLog(tmp_path / "predictions.db")) as log:
        recovery = Recovery(tmp_path / "history", log)
        log.append([record(i) for i in range(10)])
        early = recovery.restore()
        log.append([record(i) for i in range(10, 20)])
        log.add_labels([fraud_label(3)])
        recovery.save(*recovery.restore())
        recovery.save(*early)
        assert sorted(file.stem for file in (tmp_path / "history").iterdir()) == ["at-000000000010", "at-000000000021"]
        assert recovery.restore()[1] == 21
