"""What a shared store promises to several processes: one order, one history, every payment once, whoever dies."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data import valkey_log
from data.errors import BadSetting, IdempotencyConflict, LogUnavailable, StoreAway
from data.history import History
from data.prediction_store import Payment
from data.reasons import STORE_AWAY
from data.settings import REPOSITORY
from data.shared_history import KEPT
from data.valkey_log import MOST_ARRIVALS, ValkeyLog
from tests.records import fraud_label, record, transaction
from tests.scorers import PlainModel, scoring
from tests.valkey_server import ValkeyServer


@pytest.fixture
def own_valkey(valkey_session: ValkeyServer, tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that the test may kill."""
    server = ValkeyServer(tmp_path / "valkey")
    yield server
    server.kill()


def in_order(log: ValkeyLog, history: History | None = None) -> dict[str, bytes]:
    """The features of every payment, from one history that takes the log's events in the log's order."""
    history, found = history or History(), {}
    with log._client as client:
        ids = [entry[b"event"].split(b'"', 2)[1].decode() for _, entry in client.xrange(valkey_log._ARRIVALS)]
    for event in log.events_since(0):
        if isinstance(event, Payment):
            found[ids[event.sequence - 1]] = history.advance(*event[1:]).tobytes()
        else:
            history.report(card_id=event.card_id, terminal_id=event.terminal_id, report_time_s=event.report_time_s)
    return found


def require_each_once(url: str, numbers: Sequence[int], history: History | None = None) -> None:
    """Every payment in the order once, answered, with the features of its place."""
    log = ValkeyLog(url)
    expected = in_order(log, history)
    assert sorted(expected) == sorted(transaction(number).transaction_id for number in numbers)
    assert log.last_sequence() == len(expected)
    for key, features in expected.items():
        logged = log.logged(key)
        assert logged is not None and logged.features.tobytes() == features
        assert logged.score == PlainModel().score(np.frombuffer(features))
    log.close()


class Sure(PlainModel):
    """Another model: what it says differs from the other's."""

    def score_many(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(len(matrix), 0.25)


async def until(met: Callable[[], bool], within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while not met():
            await asyncio.sleep(0.02)


def trained_history() -> History:
    history = History()
    history.advance("card_0", "term_2", 1_767_571_200, 5_000, "chip", "fuel", None, None, None)
    return history


def worker(home: Path, url: str, *numbers: int) -> "subprocess.Popen[str]":
    words = (sys.executable, "-m", "tests.shared_worker", str(home), url, *map(str, numbers))
    return subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def test_three_processes_over_the_same_cards_count_every_payment_once(valkey: ValkeyServer, tmp_path: Path) -> None:
    """They begin with the history that training left; the third sends again what the first two send, at the same time."""
    snapshot = tmp_path / "history" / "snapshot"
    trained_history().save(snapshot)
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(tmp_path, valkey.url, *numbers)) for numbers in ((0, 400, 2), (1, 400, 2), (0, 400, 1))]
        said = [dict(line.split() for line in each.communicate(timeout=120)[0].splitlines()) for each in workers]
    assert [each.returncode for each in workers] == [0, 0, 0]
    assert said[2] == said[0] | said[1] and len(said[2]) == 400
    require_each_once(valkey.url, range(400), History.load(snapshot))


def test_a_process_that_is_killed_loses_nothing_and_leaves_nothing_twice(valkey: ValkeyServer, tmp_path: Path) -> None:
    with worker(tmp_path, valkey.url, 0, 4_000, 2) as victim, worker(tmp_path, valkey.url, 1, 400, 2) as other:
        assert victim.stdout is not None
        answered = [victim.stdout.readline().split() for _ in range(50)]
        victim.kill()
        assert victim.wait() == -signal.SIGKILL
        answered += [line.split() for line in victim.stdout.read().splitlines() if line.count(" ") == 1]
        other.communicate(timeout=120)
    sent = range(0, int(answered[-1][0]) + 100, 2)  # all that it answered, all that it had under way, and some more
    with worker(tmp_path, valkey.url, 0, sent.stop, 2) as retried:
        again = dict(line.split() for line in retried.communicate(timeout=120)[0].splitlines())
    assert len(answered) < len(sent) and {number: again[number] for number, _ in answered} == dict(answered)
    require_each_once(valkey.url, sorted({*sent, *range(1, 400, 2)}))


async def accept_only(url: str, numbers: Sequence[int]) -> None:
    """What a process leaves behind that dies between the order and the answer."""
    log = ValkeyLog(url)
    identity = log.identity()._replace(origin="nothing")
    position = 0
    for start in range(0, len(numbers), MOST_ARRIVALS):
        arriving = [record(number).payment for number in numbers[start : start + MOST_ARRIVALS]]
        exchange = await log.exchange(identity, position, arriving, ())
        assert exchange.outcomes is not None and {outcome.kind for outcome in exchange.outcomes} == {"new"}
        position = exchange.position
    await log.aclose()
    log.close()


def test_a_payment_that_nobody_lived_to_answer_gets_the_features_of_its_place(valkey: ValkeyServer, tmp_path: Path) -> None:
    """At hand while it is young; from the log alone when more payments than are kept have passed."""
    young, old = transaction(KEPT + 150), transaction(3)

    async def work() -> None:
        await accept_only(valkey.url, range(KEPT + 200))
        async with scoring(tmp_path, valkey.url) as here:
            expected = in_order(here.log)
            for payment in (young, old):
                await here.engine.score(payment)
                assert here.log.logged(payment.transaction_id).features.tobytes() == expected[payment.transaction_id]

    asyncio.run(work())


def test_of_two_processes_that_answer_one_payment_the_first_is_right_for_both(valkey: ValkeyServer) -> None:
    """Two models may be served side by side while a rollout reaches one process after the other."""

    async def work() -> None:
        await accept_only(valkey.url, [1])
        log = ValkeyLog(valkey.url)
        identity = log.identity()
        ours, theirs = record(1, score=0.2), record(1, score=0.9)
        first, second = [(await log.exchange(identity, 1, (), [answer])).stored for answer in (ours, theirs)]
        assert first[0].kind == "new" and second[0].answer == ours.answer
        assert log.find(["tx_000001"])["tx_000001"].answer == ours.answer
        await log.aclose()
        log.close()

    asyncio.run(work())


def test_a_process_that_idled_catches_up_before_its_next_payment(valkey: ValkeyServer, tmp_path: Path) -> None:
    async def work() -> None:
        async with scoring(tmp_path, valkey.url) as here:
            await here.engine.score(transaction(0))
            log = ValkeyLog(valkey.url)
            for start in range(1, 3 * MOST_ARRIVALS, 500):
                log.append([record(number) for number in range(start, start + 500)])
            log.close()
            last = transaction(4 * MOST_ARRIVALS)
            await here.engine.score(last)
            assert here.log.logged(last.transaction_id).features.tobytes() == in_order(here.log)[last.transaction_id]

    asyncio.run(work())


def test_while_the_store_is_gone_payments_are_answered_and_afterwards_it_has_each_once(own_valkey: ValkeyServer, tmp_path: Path) -> None:
    async def work() -> None:
        async with scoring(tmp_path, own_valkey.url) as here:
            await here.engine.score(transaction(0))
            own_valkey.kill()
            alone = await here.engine.score(transaction(1))
            assert alone.reasons[-1] == STORE_AWAY
            assert await here.engine.score(transaction(1)) == alone
            with pytest.raises(IdempotencyConflict):
                await here.engine.score(transaction(2).model_copy(update={"transaction_id": transaction(1).transaction_id}))
            await here.engine.score_batch([transaction(2), transaction(3)])
            with pytest.raises(StoreAway, match="safe to repeat"):
                await here.engine.add_labels([fraud_label(0)])
            assert await here.engine.check()
            assert (here.engine.is_store_away, here.engine.log_lag) == (True, 3)
            own_valkey.start()
            await until(lambda: here.engine.log_lag == 0)
            assert await here.engine.score(transaction(1)) == alone
            await here.engine.add_labels([fraud_label(0)])
            after = await here.engine.score(transaction(4))
            assert STORE_AWAY not in after.reasons
            expected = in_order(here.log)
            assert list(expected) == [transaction(number).transaction_id for number in range(5)]
            assert here.log.logged(after.transaction_id).features.tobytes() == expected[after.transaction_id]
            assert here.log.logged(alone.transaction_id).answer == alone
            assert here.metrics.contradicted._value.get() == 0

    asyncio.run(work())


def test_a_store_that_hangs_is_as_good_as_gone(own_valkey: ValkeyServer, tmp_path: Path) -> None:
    async def work() -> None:
        async with scoring(tmp_path, own_valkey.url) as here:
            await here.engine.score(transaction(0))
            own_valkey.pause()
            assert (await here.engine.score(transaction(1))).reasons[-1] == STORE_AWAY
            own_valkey.go_on()
            await until(lambda: here.engine.log_lag == 0)
            assert list(in_order(here.log)) == [transaction(number).transaction_id for number in range(2)]

    asyncio.run(work())


def test_what_is_owed_outlives_the_process_and_neighbours_agree_on_it(own_valkey: ValkeyServer, tmp_path: Path) -> None:
    async def work() -> None:
        async with scoring(tmp_path, own_valkey.url) as one, scoring(tmp_path, own_valkey.url, model=Sure()) as other:
            await one.engine.score(transaction(0))
            await other.engine.score(transaction(1))
            own_valkey.kill()
            alone = await one.engine.score(transaction(2))
            assert await other.engine.score(transaction(2)) == alone
        own_valkey.start()
        async with scoring(tmp_path, own_valkey.url) as later:
            assert await later.engine.score(transaction(2)) == alone
            assert later.engine.log_lag == 0
            assert list(in_order(later.log)) == [transaction(number).transaction_id for number in range(3)]

    asyncio.run(work())


def test_of_two_machines_that_answered_one_payment_alone_the_first_to_come_back_is_right_and_the_other_counts_it(
    own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    async def work() -> None:
        async with scoring(tmp_path / "a", own_valkey.url) as one, scoring(tmp_path / "b", own_valkey.url, model=Sure()) as other:
            own_valkey.kill()
            answers = [await each.engine.score(transaction(0)) for each in (one, other)]
            assert answers[0] != answers[1]
            own_valkey.start()
            await until(lambda: one.engine.log_lag == other.engine.log_lag == 0)
            assert one.log.logged(transaction(0).transaction_id).answer in answers
            assert sum(each.metrics.contradicted._value.get() for each in (one, other)) == 1

    asyncio.run(work())


def test_a_payment_that_cannot_be_kept_either_is_refused(own_valkey: ValkeyServer, tmp_path: Path) -> None:
    async def work() -> None:
        async with scoring(tmp_path, own_valkey.url) as here:
            await here.engine.score(transaction(0))
            own_valkey.kill()
            with sqlite3.connect(tmp_path / "owed.db") as other:
                other.execute("DROP TABLE owed")
            for ask in (here.engine.score(transaction(1)), here.engine.check()):
                with pytest.raises(LogUnavailable, match="LAB_HOME"):
                    await ask
            own_valkey.start()

    asyncio.run(work())


def test_a_store_that_was_emptied_is_followed_from_its_beginning(valkey: ValkeyServer, tmp_path: Path) -> None:
    async def work() -> None:
        async with scoring(tmp_path, valkey.url) as here:
            await here.engine.score_batch([transaction(number) for number in range(20)])
            with valkey.client() as client:
                client.flushall()
            await here.engine.score_batch([transaction(number) for number in range(10)])
        require_each_once(valkey.url, range(10))

    asyncio.run(work())


def test_all_begin_with_the_history_that_training_left_and_one_without_it_is_refused(valkey: ValkeyServer, tmp_path: Path) -> None:
    before, payment = trained_history(), transaction(7)
    for home in ("first", "second"):
        (tmp_path / home / "history").mkdir(parents=True)
    before.save(tmp_path / "first" / "history" / "snapshot")

    async def work() -> None:
        async with scoring(tmp_path / "first", valkey.url) as here, scoring(tmp_path / "first", valkey.url) as beside:
            await here.engine.score(transaction(0))
            await beside.engine.score(payment)
            before.advance(*next(iter(here.log.events_since(0)))[1:])
            seen = before.advance(*list(here.log.events_since(0))[-1][1:])
            assert here.log.logged(payment.transaction_id).features.tobytes() == seen.tobytes()
        with pytest.raises(LogUnavailable, match="began with a history that is not on this machine"):
            async with scoring(tmp_path / "second", valkey.url):
                pass

    asyncio.run(work())


def test_one_that_began_with_another_history_takes_up_that_of_the_log(valkey: ValkeyServer, tmp_path: Path) -> None:
    """Both started over an empty log; training left its snapshot in between, and the other was asked first."""
    history = trained_history()

    async def work() -> None:
        async with scoring(tmp_path, valkey.url) as early:
            history.save(tmp_path / "history" / "snapshot")
            async with scoring(tmp_path, valkey.url) as late:
                await late.engine.score(transaction(0))
                await early.engine.score(transaction(35))
                for event in late.log.events_since(0):
                    features = history.advance(*event[1:])
                assert late.log.logged(transaction(35).transaction_id).features.tobytes() == features.tobytes()

    asyncio.run(work())


@pytest.mark.parametrize(("option", "value"), [("appendfsync", "everysec"), ("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")])
def test_a_store_that_could_lose_an_answer_is_refused(option: str, value: str, tmp_path: Path, valkey_session: ValkeyServer) -> None:
    options = {"appendonly": "yes", "appendfsync": "always", "maxmemory": "100mb", "maxmemory-policy": "noeviction", option: value}
    server = ValkeyServer(tmp_path / "valkey", *(word for name, given in options.items() for word in (f"--{name}", given)))
    try:
        with pytest.raises(BadSetting, match=f"needs {option}"):
            ValkeyLog(server.url)
    finally:
        server.kill()


def test_a_password_is_not_repeated_when_the_store_does_not_answer(valkey: ValkeyServer) -> None:
    with pytest.raises(LogUnavailable) as refusal:
        ValkeyLog(f"valkey://somebody:secret@127.0.0.1:{valkey.port}/0")
    assert "secret" not in str(refusal.value)
