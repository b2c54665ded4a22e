"""A start after a kill: from a snapshot that was saved while the service ran, with the state that a whole replay gives."""

from contextlib import closing
from pathlib import Path

import pytest

from data.prediction_log import PredictionLog
from data.settings import Settings
from services.scoring.recovery import Recovery
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import score, serve_ready, wait_until
from tests.records import fraud_label, record


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
