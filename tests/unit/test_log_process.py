"""The process that writes the log of a service that does not wait for it."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from data import prediction_log
from data.errors import LogUnavailable
from data.log_process import ProcessCommit
from data.prediction_log import PredictionLog
from tests.records import fraud_label, record


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    with closing(PredictionLog(tmp_path / "predictions.db", synchronous=False, owned=True)) as log:
        yield log


def writer(log: PredictionLog) -> int:
    """Its process id."""
    assert isinstance(log._commit, ProcessCommit)
    return log._commit._child.pid


def test_what_was_submitted_survives_a_kill_of_the_one_who_submitted_it(tmp_path: Path) -> None:
    path = tmp_path / "predictions.db"
    code = (
        "import sys; from pathlib import Path; from data.prediction_log import PredictionLog; from tests.records import record\n"
        "log = PredictionLog(Path(sys.argv[1]), synchronous=False, owned=True)\n"
        "for i in range(100_000):\n    log.submit([record(i)]); print(i, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    submitted = [int(child.stdout.readline()) for _ in range(2_500)]
    os.kill(child.pid, signal.SIGKILL)
    submitted += [int(line) for line in child.stdout.read().split()]
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    with closing(PredictionLog(path, owned=True)) as log:
        assert len(log.find([f"tx_{i:06d}" for i in submitted])) == len(submitted)
        assert log.last_sequence() in (len(submitted), len(submitted) + 1)


def test_a_writer_that_dies_takes_its_groups_with_it_and_another_follows(log: PredictionLog) -> None:
    log.append([record(1)])
    os.kill(writer(log), signal.SIGSTOP)
    lost = [log.submit([record(2)]), log.submit([record(3)])]
    os.kill(writer(log), signal.SIGKILL)
    for each in lost:
        with pytest.raises(LogUnavailable, match="has ended"):
            each.result(20)
    with pytest.raises(LogUnavailable, match="has ended"):
        log.submit([record(4)]).result(20)
    log.check_writable()
    log.append([record(5)])
    log.add_labels([fraud_label(5)])
    assert log.find([f"tx_{i:06d}" for i in range(6)]).keys() == {"tx_000001", "tx_000005"}


def test_a_full_disk_refuses_until_there_is_room_again(log: PredictionLog) -> None:
    log.append([record(i) for i in range(20)])
    limits = resource.prlimit(writer(log), resource.RLIMIT_FSIZE)
    resource.prlimit(writer(log), resource.RLIMIT_FSIZE, (150_000, limits[1]))
    stored = 20
    with pytest.raises(LogUnavailable) as refusal:
        for stored in range(20, 2_000):
            log.append([record(stored)])
    assert refusal.value.http_status == 503
    with pytest.raises(LogUnavailable):
        log.check_writable()
    resource.prlimit(writer(log), resource.RLIMIT_FSIZE, limits)
    log.append([record(5_000)])
    expected = [f"tx_{i:06d}" for i in (*range(stored), 5_000)]
    assert sorted(log.find([*expected, f"tx_{stored:06d}"])) == expected


def test_more_than_the_pipe_takes_waits_for_the_writer_and_not_in_the_caller(log: PredictionLog) -> None:
    os.kill(writer(log), signal.SIGSTOP)
    futures = [log.submit([record(i) for i in range(start, start + 500)]) for start in range(0, 5_000, 500)]
    os.kill(writer(log), signal.SIGCONT)
    assert [future.result(20) for future in futures] == [frozenset()] * 10
    assert log.last_sequence() == 5_000


def test_a_log_has_one_owner(log: PredictionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_TAKE_OVER_S", 0.05)
    with pytest.raises(LogUnavailable, match="another process writes it"):
        PredictionLog(log.path, owned=True)
