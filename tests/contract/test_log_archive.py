"""What an archive of a shared log promises, whatever keeps it: the same windows as if one process had written it alone."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import archives, log_archive
from data.errors import LogUnavailable
from data.log_archive import Archive, Reported, Waiting, begin, copy
from data.log_database import LogPlace
from data.prediction_frames import labels_frame, served_features, window_frame, window_matrix
from data.prediction_log import PredictionLog
from data.prediction_store import PredictionRecord
from data.reasons import RANDOM_APPROVE, STORE_AWAY
from data.schema import Label
from data.shared_log import OtherLog
from data.valkey_log import ValkeyLog
from tests.postgres_server import PostgresServer
from tests.records import fraud_label, record
from tests.valkey_server import ValkeyServer

ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def log(valkey: ValkeyServer) -> Iterator[ValkeyLog]:
    opened = ValkeyLog(valkey.url)
    yield opened
    opened.close()


@pytest.fixture(params=("sqlite", "postgres"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> LogPlace:
    if request.param == "sqlite":
        return tmp_path / "predictions.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url


@pytest.fixture
def open_archive(place: LogPlace) -> Iterator[Callable[[], Archive]]:
    opened: list[Archive] = []

    def open_again() -> Archive:
        opened.append(archives.open_archive(place))
        return opened[-1]

    yield open_again
    for archive in opened:
        archive.close()


def copy_all(log: ValkeyLog, archive: Archive) -> int:
    return sum(iter(lambda: copy(log, archive), 0))


def ask(log: ValkeyLog, numbers: Sequence[int]) -> None:
    """Payments that are accepted, and not answered."""
    asyncio.run(_ask(log, numbers))


async def _ask(log: ValkeyLog, numbers: Sequence[int]) -> None:
    identity = log.identity()
    await log.exchange(identity, 0, [record(number).payment for number in numbers], [])
    await log._line.connection_pool.disconnect()  # the next loop makes connections of its own


def test_windows_of_the_archive_are_those_of_a_log_that_one_process_wrote(
    log: ValkeyLog, place: LogPlace, open_archive: Callable[[], Archive], tmp_path: Path
) -> None:
    alone = PredictionLog(tmp_path / "alone" / "predictions.db")
    earlier = [("tx_000900", "card_old", "term_old")]
    entries: list[PredictionRecord | Label] = [record(i, reasons=("a",), challenger_version="4", epoch=2) for i in (5, 3, 8)]
    entries += [fraud_label(3), fraud_label(900), record(7), fraud_label(3, days=9), fraud_label(8, is_fraud=False)]
    for store in (alone, log):
        store.add_earlier(earlier)
        store.submit(entries).result()
    alone.close()
    assert copy_all(log, open_archive()) == len(entries)
    same = tmp_path / "alone" / "predictions.db"
    pd.testing.assert_frame_equal(window_frame(place, *ALWAYS), window_frame(same, *ALWAYS))
    pd.testing.assert_frame_equal(labels_frame(place), labels_frame(same))
    assert window_matrix(place, *ALWAYS).tobytes() == window_matrix(same, *ALWAYS).tobytes()
    assert served_features(place, *ALWAYS).places.tolist() == served_features(same, *ALWAYS).places.tolist() == [1, 2, 3, 6]


def test_what_was_answered_without_the_store_is_kept_and_not_held_against_a_replay(
    log: ValkeyLog, place: LogPlace, open_archive: Callable[[], Archive]
) -> None:
    reasons = ((), (STORE_AWAY,), (RANDOM_APPROVE, STORE_AWAY), (RANDOM_APPROVE,))
    log.append([record(number, reasons=given) for number, given in enumerate(reasons, start=1)])
    copy_all(log, open_archive())
    assert served_features(place, *ALWAYS).places.tolist() == [1, 4]
    assert window_frame(place, *ALWAYS)["held_out"].tolist() == [False, False, True, True]


def test_a_payment_answered_late_comes_in_at_its_own_place(log: ValkeyLog, place: LogPlace, open_archive: Callable[[], Archive]) -> None:
    log.append([record(1)])
    ask(log, [2, 3])
    log.append([record(4)])
    archive = open_archive()
    assert copy_all(log, archive) == 4 and archive.waiting() == [Waiting(2, "tx_000002"), Waiting(3, "tx_000003")]
    assert served_features(place, *ALWAYS).places.tolist() == [1, 4]
    log.append([record(3)])
    archive.close()
    archive = open_archive()  # started again meanwhile
    assert copy(log, archive) == 0 and archive.waiting() == [Waiting(2, "tx_000002")]
    assert window_frame(place, *ALWAYS)["transaction_id"].tolist() == ["tx_000001", "tx_000003", "tx_000004"]
    assert served_features(place, *ALWAYS).places.tolist() == [1, 3, 4]


def test_killed_between_any_two_portions_it_loses_and_doubles_nothing(
    log: ValkeyLog, place: LogPlace, open_archive: Callable[[], Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.submit([record(i) for i in range(40)] + [fraud_label(i) for i in range(10)]).result()
    monkeypatch.setattr(log_archive, "AT_ONCE", 7)
    rounds = count()
    while copy(log, archive := open_archive()):
        archive.close()
        assert next(rounds) < 20
    assert served_features(place, *ALWAYS).places.tolist() == list(range(1, 41)) and len(labels_frame(place)) == 10


def test_a_portion_that_fails_half_way_is_not_there_at_all(log: ValkeyLog, place: LogPlace, open_archive: Callable[[], Archive]) -> None:
    archive = open_archive()
    twice = [Reported(2, fraud_label(1), 1), Reported(2, fraud_label(1, days=9), 1)]  # one place cannot hold two
    with pytest.raises(LogUnavailable):
        archive.take(2, {1: record(1)}, [], twice)
    assert archive.position() == 0 and served_features(place, *ALWAYS).places.size == 0
    log.append([record(1)])
    assert copy_all(log, archive) == 1 and np.array_equal(served_features(place, *ALWAYS).places, [1])


def test_a_store_that_was_emptied_is_not_mixed_into_the_archive_of_the_one_before(
    valkey: ValkeyServer, log: ValkeyLog, open_archive: Callable[[], Archive]
) -> None:
    log.append([record(1)])
    archive = open_archive()
    begin(log, archive)
    begin(log, archive)
    with valkey.client() as client:
        client.flushall()
    with pytest.raises(OtherLog):
        begin(log, archive)
