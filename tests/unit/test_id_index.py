"""The index of ids beside the log: behind it, and never wrong."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from data import id_index
from data.prediction_log import PredictionLog
from tests.integration.scoring.server import wait_until
from tests.records import record, transaction


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_index, "TOGETHER", 1_000)


def ids(numbers: range) -> list[str]:
    return [f"tx_{number:06d}" for number in numbers]


def indexed(path: Path) -> int:
    with closing(sqlite3.connect(path.with_suffix(".ids.db"))) as connection:
        return int(connection.execute("SELECT count(*) FROM ids").fetchone()[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of 5,500 payments; the index holds whole portions of them."""
    with closing(PredictionLog(tmp_path / "predictions.db")) as log:
        log.append([record(number) for number in range(5_500)])
    with closing(PredictionLog(tmp_path / "predictions.db")) as log:
        log.append([record(0)])  # a writer brings it up to date
        wait_until(lambda: indexed(tmp_path / "predictions.db") == 5_000, "all whole portions indexed")
    return tmp_path / "predictions.db"


def test_what_is_indexed_and_what_is_not_is_found_and_what_is_new_is_not(path: Path) -> None:
    with closing(PredictionLog(path)) as log:
        assert log.find([*ids(range(4_990, 5_510)), "tx_new"]).keys() == set(ids(range(4_990, 5_500)))
        assert log.parties("tx_000003") == ("card_3", "term_3") and log.parties("tx_new") is None


def test_a_reader_finds_what_another_process_wrote_since_it_first_asked(path: Path) -> None:
    with closing(PredictionLog(path)) as reader, closing(PredictionLog(path)) as writer:
        assert reader.find(["tx_006000"]) == {}
        writer.append([record(number) for number in range(5_500, 9_700)])
        assert len(reader.find(ids(range(5_000, 9_700)))) == 4_700


@pytest.mark.parametrize("damage", ["gone", "text", "another log's", "ahead"])
def test_a_lost_index_is_made_anew_from_the_log(path: Path, tmp_path: Path, damage: str) -> None:
    beside = path.with_suffix(".ids.db")
    if damage == "gone":
        beside.unlink()
    elif damage == "text":
        beside.write_text("not a database, but long enough to be taken for one" * 100)
    elif damage == "another log's":
        path.unlink()
        with closing(PredictionLog(path)) as log:
            log.append([record(number) for number in range(5_499, -1, -1)])
    else:
        with closing(sqlite3.connect(beside)) as connection, connection:
            connection.execute("UPDATE facts SET value = 9000 WHERE name = 'indexed_to'")
            connection.execute("DELETE FROM ids")
    with closing(PredictionLog(path)) as log:
        found = log.find(ids(range(5_500)))
        assert len(found) == 5_500
        assert all(found[name].answer.transaction_id == name for name in found)


def test_once_all_ids_are_in_memory_the_file_is_not_asked_about_new_payments(path: Path) -> None:
    with closing(PredictionLog(path)) as log:
        log.append([record(5_500)])
        wait_until(lambda: log._seen._complete.is_set(), "all ids in memory")
        log._ids._reader.close()
        assert log.find(["tx_new", "tx_newer"]) == {}


@pytest.mark.parametrize("warm", [False, True])
def test_an_id_is_stored_once_whether_it_comes_twice_at_once_or_years_later(path: Path, warm: bool) -> None:
    with closing(PredictionLog(path)) as log:
        while warm and not log._seen._complete.is_set():
            log.append([record(0)])
        twice = [record(7_000), record(7_000), record(7_000, transaction(7_000, amount_minor=5)), record(12), record(7_001)]
        assert log.submit(twice).result() == {"tx_007000"}
        assert log.submit([record(13, transaction(13, amount_minor=5)), record(7_001)]).result() == {"tx_000013"}
        rows = list(log.events_since(0))
        assert len(rows) == 5_502 and log.last_sequence() == rows[-1].sequence
