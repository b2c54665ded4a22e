"""What every prediction store promises. Another implementation is added to STORES and must pass unchanged."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from data.errors import IdempotencyConflict
from data.postgres_log import PostgresLog
from data.prediction_log import PredictionLog
from data.prediction_store import FraudReport, Payment, PredictionStore, payment_facts
from data.schema import event_seconds
from data.valkey_log import ValkeyLog
from tests.postgres_server import PostgresServer
from tests.records import fraud_label, record, transaction
from tests.valkey_server import ValkeyServer

STORES = ("sqlite", "sqlite, buffered", "valkey", "postgres")


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], PredictionStore]]:
    opened: list[PredictionStore] = []
    server = request.getfixturevalue(request.param) if request.param in ("valkey", "postgres") else None

    def open_again() -> PredictionStore:
        if isinstance(server, ValkeyServer):
            opened.append(ValkeyLog(server.url))
        elif isinstance(server, PostgresServer):
            opened.append(PostgresLog(server.url))
        else:
            opened.append(PredictionLog(tmp_path / "predictions.db", synchronous=request.param == "sqlite"))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], PredictionStore]) -> PredictionStore:
    return open_store()


def test_an_answer_is_found_again_as_it_was_given(store: PredictionStore) -> None:
    given = record(8, score=0.1 + 0.2, reasons=("b", "a"))
    store.append([given])
    stored = store.find(["tx_000007", "tx_000008"]).pop("tx_000008")
    assert stored.answer == given.answer
    assert stored.payment == payment_facts(transaction(8))
    assert store.parties("tx_000008") == ("card_1", "term_3")
    assert store.find(["tx_000009"]) == {} and store.find([]) == {} and store.parties("tx_000009") is None


def test_all_that_was_stored_with_an_answer_is_read_again(store: PredictionStore) -> None:
    given = record(
        8, score=0.1 + 0.2, reasons=("b", "a"), arm="challenger", model_version="4", challenger_version="4", challenger_score=0.1 + 0.2,
        rollout_id="r1", epoch=3, request_id="q",
    )  # fmt: skip
    store.append([given, record(9)])
    found = store.logged("tx_000008")
    assert found is not None
    assert np.array_equal(found.features, given.features, equal_nan=True) and np.isnan(given.features).any()
    assert found._replace(features=given.features) == given
    assert (alone := store.logged("tx_000009")) is not None and alone.challenger_score is None
    assert store.logged("tx_000010") is None


def test_what_was_appended_is_there_after_opening_again(open_store: Callable[[], PredictionStore]) -> None:
    first = open_store()
    first.append([record(i) for i in range(50)])
    second = open_store()
    assert second.last_sequence() == 50
    assert len(second.find([f"tx_{i:06d}" for i in range(60)])) == 50


def test_the_same_answer_twice_is_one_row(store: PredictionStore) -> None:
    store.append([record(1), record(2)])
    store.append([record(2), record(3)])
    assert [event.card_id for event in store.events_since(0)] == ["card_1", "card_2", "card_3"]


def test_the_same_id_with_another_body_is_a_conflict_and_the_first_answer_stays(store: PredictionStore) -> None:
    store.append([record(1)])
    with pytest.raises(IdempotencyConflict):
        store.append([record(1, transaction(1, amount_minor=5), score=0.9)])
    assert store.find(["tx_000001"])["tx_000001"].answer.score == record(1).score


def test_a_conflict_refuses_only_its_own_entry_of_the_group(store: PredictionStore) -> None:
    store.append([record(1)])
    refused = store.submit([record(2), record(1, transaction(1, amount_minor=5)), record(3)]).result()
    assert refused == {"tx_000001"}
    assert store.find(["tx_000002", "tx_000003"]).keys() == {"tx_000002", "tx_000003"}


def test_events_come_in_order_of_arrival_with_reports_between_payments(store: PredictionStore) -> None:
    store.append([record(5)])
    store.append([record(4)])
    store.add_labels([fraud_label(5), fraud_label(4, is_fraud=False)])
    store.append([record(6)])
    events = list(store.events_since(0))
    assert [type(event) for event in events] == [Payment, Payment, FraudReport, Payment]
    assert [event.card_id for event in events] == ["card_5", "card_4", "card_5", "card_6"]
    assert events == sorted(events, key=lambda event: event.sequence)
    assert events[2].report_time_s == event_seconds(fraud_label(5).report_time)
    payment, t = events[3], transaction(6)
    assert payment[1:] == (
        t.card_id, t.terminal_id, event_seconds(t.event_time), t.amount_minor, t.channel, t.category, t.latitude, t.longitude, t.device_id,
    )  # fmt: skip
    assert list(store.events_since(events[2].sequence)) == events[3:]


def test_a_payment_is_reported_once_whatever_labels_follow(store: PredictionStore) -> None:
    store.append([record(5)])
    store.add_labels([fraud_label(5, is_fraud=False)])
    assert not store.is_reported("tx_000005")
    store.add_labels([fraud_label(5), fraud_label(5)])
    store.add_labels([fraud_label(5), fraud_label(5, days=9)])
    assert store.is_reported("tx_000005")
    reports = [event for event in store.events_since(0) if isinstance(event, FraudReport)]
    assert [report.report_time_s for report in reports] == [event_seconds(fraud_label(5).report_time)]
    assert list(store.events_since(reports[0].sequence)) == []


def test_the_same_label_again_takes_no_place_of_its_own(store: PredictionStore) -> None:
    store.append([record(5)])
    store.add_labels([fraud_label(5)])
    last = store.last_sequence()
    store.add_labels([fraud_label(5)])
    assert store.last_sequence() == last


def test_a_label_of_an_earlier_payment_finds_its_card_and_terminal(store: PredictionStore) -> None:
    store.append([record(5)])
    store.add_earlier([("tx_000001", "card_old", "term_old"), ("tx_000005", "card_other", "term_other")])
    store.add_earlier([("tx_000001", "card_new", "term_new")])
    assert store.parties("tx_000001") == ("card_old", "term_old") and store.parties("tx_000005") == ("card_5", "term_0")
    store.add_labels([fraud_label(1), fraud_label(5)])
    reports = [event for event in store.events_since(0) if isinstance(event, FraudReport)]
    assert [(report.card_id, report.terminal_id) for report in reports] == [("card_old", "term_old"), ("card_5", "term_0")]
    assert store.find(["tx_000001"]) == {} and store.last_sequence() == 3


def test_threads_append_side_by_side_and_nothing_is_lost(store: PredictionStore) -> None:
    def work(start: int) -> None:
        for i in range(start, start + 60):
            store.append([record(i)])

    threads = [threading.Thread(target=work, args=(k * 1_000,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sequences = [event.sequence for event in store.events_since(0)]
    assert len(sequences) == 240 and sequences == sorted(set(sequences))
