"""The SQLite log on bad days, and its windows as frames."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from data import log_writer
from data.errors import LogUnavailable, MissingFile
from data.features import FEATURES
from data.prediction_frames import ANSWER_COLUMNS, labels_frame, window_frame, window_matrix
from data.prediction_log import PredictionLog
from data.schema import LABEL_COLUMNS, TRANSACTION_COLUMNS
from tests.records import START, fraud_label, record, transaction

DAY = timedelta(days=1)


def test_what_was_decided_after_a_lost_group_is_not_stored_before_somebody_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    insert, failures = log_writer.insert, iter(["once"])

    def fails_once(connection: sqlite3.Connection, rows: list[log_writer.Row]) -> None:
        if next(failures, None):
            raise sqlite3.OperationalError("disk I/O error")
        insert(connection, rows)

    monkeypatch.setattr(log_writer, "insert", fails_once)
    log = PredictionLog(tmp_path / "predictions.db")
    with pytest.raises(LogUnavailable):
        log.submit([record(1)]).result()
    for entries in ([record(2)], []):
        with pytest.raises(LogUnavailable, match="disk I/O error"):
            log.submit(entries).result()
    log.check_writable()
    log.submit([record(3)]).result()
    assert log.find(["tx_000001", "tx_000002", "tx_000003"]).keys() == {"tx_000003"}
    log.close()


def test_a_full_disk_refuses_loses_nothing_and_passes_without_a_restart(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db")
    log.append([record(i) for i in range(20)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writes beyond the limit then fail with EFBIG
    stored = 20
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
        with pytest.raises(LogUnavailable) as refusal:
            for i in range(20, 2_000):
                log.append([record(i)])
                stored = i + 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert refusal.value.http_status == 503
    log.append([record(5_000)])
    expected = [f"tx_{i:06d}" for i in (*range(stored), 5_000)]
    assert sorted(log.find([*expected, f"tx_{stored:06d}"])) == expected
    log.close()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "predictions.db"
    code = (
        "import sys; from pathlib import Path; from data.prediction_log import PredictionLog; from tests.records import record\n"
        "log = PredictionLog(Path(sys.argv[1]))\n"
        "for i in range(100_000):\n    log.append([record(i)]); print(i, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(100)]
    os.kill(child.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().split()]
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    log = PredictionLog(path)
    assert len(log.find([f"tx_{i:06d}" for i in acknowledged])) == len(acknowledged)
    assert log.last_sequence() in (len(acknowledged), len(acknowledged) + 1)
    log.close()


def test_a_log_of_another_feature_schema_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    PredictionLog(tmp_path / "predictions.db").close()
    with sqlite3.connect(tmp_path / "predictions.db") as connection:
        connection.execute("UPDATE facts SET value = 'older' WHERE name = 'feature_schema_hash'")
    connection.close()
    with pytest.raises(LogUnavailable, match="feature schema"):
        PredictionLog(tmp_path / "predictions.db")
    (tmp_path / "text.db").write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(LogUnavailable, match=r"text\.db"):
        PredictionLog(tmp_path / "text.db")


def test_a_closed_log_refuses_further_entries(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db")
    log.close()
    with pytest.raises(LogUnavailable, match="closed"):
        log.submit([record(1)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = PredictionLog(tmp_path / "predictions.db")
    log.append([record(i) for i in range(0, 3_000, 10)])
    log.append([record(3, challenger_version="4", challenger_score=0.25, rollout_id="r1", epoch=2)])
    log.add_labels([fraud_label(10, days=5), fraud_label(20, days=9), fraud_label(30, days=4, is_fraud=False)])
    log.close()
    return tmp_path / "predictions.db"


def test_a_window_holds_its_span_of_event_time_in_order_of_arrival(path: Path) -> None:
    frame = window_frame(path, START, START + DAY)
    expected = [f"tx_{i:06d}" for i in (*range(0, 1_440, 10), 3)]
    assert frame["transaction_id"].tolist() == expected
    assert frame.columns.tolist() == [
        *TRANSACTION_COLUMNS, *(name for name in FEATURES if name not in TRANSACTION_COLUMNS), *ANSWER_COLUMNS, "held_out",
    ]  # fmt: skip
    for name, (dtype, _) in TRANSACTION_COLUMNS.items():
        assert str(frame[name].dtype) == dtype, name
    for name, dtype in ANSWER_COLUMNS.items():
        assert str(frame[name].dtype) == dtype, name
    last, t = frame.iloc[-1], transaction(3)
    assert last["event_time"] == t.event_time and last["amount_minor"] == t.amount_minor
    assert (last["challenger_score"], last["challenger_version"], last["rollout_id"], last["epoch"]) == (0.25, "4", "r1", 2)
    assert frame["challenger_score"].isna().sum() == len(frame) - 1


def test_the_matrix_of_a_window_is_what_the_models_saw_row_by_row(path: Path) -> None:
    matrix = window_matrix(path, START, START + DAY)
    assert np.array_equal(matrix, np.array([record(i).features for i in (*range(0, 1_440, 10), 3)]), equal_nan=True)
    frame = window_frame(path, START, START + DAY)
    assert np.array_equal(frame["card_count_1h"], matrix[:, FEATURES.index("card_count_1h")], equal_nan=True)


def test_labels_are_those_known_by_the_moment(path: Path) -> None:
    assert labels_frame(path)["transaction_id"].tolist() == ["tx_000030", "tx_000010", "tx_000020"]
    known = labels_frame(path, START + 5 * DAY)
    assert known["transaction_id"].tolist() == ["tx_000030", "tx_000010"] and known["is_fraud"].tolist() == [False, True]
    for name, (dtype, _) in LABEL_COLUMNS.items():
        assert str(known[name].dtype) == dtype, name
    assert known["event_time"].iloc[1] == transaction(10).event_time


def test_an_empty_window_has_the_same_columns_and_types(path: Path) -> None:
    empty, full = window_frame(path, START - DAY, START), window_frame(path, START, START + DAY)
    assert len(empty) == 0 and window_matrix(path, START - DAY, START).shape == (0, len(FEATURES))
    assert empty.dtypes.astype(str).to_dict() == full.dtypes.astype(str).to_dict()
    assert len(labels_frame(path, START)) == 0


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"nowhere\.db"):
        window_frame(tmp_path / "nowhere.db", START, START + DAY)
