"""What everybody who scores promises of history and log, alone or as one of several over a shared store."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import BadInput, IdempotencyConflict, ModelFailed, UnknownTransaction
from data.history import History
from data.schema import Transaction, event_milliseconds, event_seconds
from tests.records import fraud_label, transaction
from tests.scorers import PlainModel, scoring

Open = Callable[..., AbstractAsyncContextManager[Any]]
PAYMENTS = [transaction(i) for i in range(120)]


@pytest.fixture(params=["alone", "shared"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    url = request.getfixturevalue("valkey").url if request.param == "shared" else ""
    yield partial(scoring, tmp_path, url)


def remember(history: History, payment: Transaction) -> Any:
    t = payment
    moment = event_milliseconds(t.event_time) // 1000
    return history.advance(t.card_id, t.terminal_id, moment, t.amount_minor, t.channel, t.category, t.latitude, t.longitude, t.device_id)


def features(log: Any, payment: Transaction) -> Any:
    return log.logged(payment.transaction_id).features


def test_features_are_those_of_one_history_to_the_last_bit_with_reports_in_between(opened: Open) -> None:
    async def work() -> None:
        alone = History()
        async with opened() as here:
            for number, payment in enumerate(PAYMENTS):
                await here.engine.score(payment)
                assert features(here.log, payment).tobytes() == remember(alone, payment).tobytes()
                if number % 20 == 10:
                    label = fraud_label(number - 3, days=0)
                    await here.engine.add_labels([label, fraud_label(number - 3, days=3)])
                    known = PAYMENTS[number - 3]
                    alone.report(card_id=known.card_id, terminal_id=known.terminal_id, report_time_s=event_seconds(label.report_time))

    asyncio.run(work())


def test_payments_asked_together_are_answered_as_one_after_the_other(opened: Open) -> None:
    async def work() -> None:
        alone = History()
        async with opened() as here:
            answers = await asyncio.gather(*(here.engine.score(payment) for payment in PAYMENTS[:60]))
            batch = await here.engine.score_batch(PAYMENTS[40:])
            assert batch[:20] == answers[40:]
            rows = np.stack([remember(alone, payment) for payment in PAYMENTS])
            assert np.stack([features(here.log, payment) for payment in PAYMENTS]).tobytes() == rows.tobytes()
            assert [each.score for each in (*answers, *batch[20:])] == PlainModel().score_many(rows).tolist()

    asyncio.run(work())


def test_the_same_payment_gets_the_same_answer_and_counts_once(opened: Open) -> None:
    async def work() -> None:
        alone = History()
        async with opened() as here:
            again = await asyncio.gather(*(here.engine.score(PAYMENTS[0]) for _ in range(5)))
            again += [await here.engine.score(PAYMENTS[0]), *await here.engine.score_batch([PAYMENTS[0], PAYMENTS[0]])]
            assert len(set(again)) == 1 and here.log.last_sequence() == 1
            same_card = transaction(7, terminal_id=PAYMENTS[0].terminal_id)
            await here.engine.score(same_card)
            remember(alone, PAYMENTS[0])
            assert features(here.log, same_card).tobytes() == remember(alone, same_card).tobytes()

    asyncio.run(work())


def test_another_body_under_a_known_id_is_refused_and_leaves_no_trace(opened: Open) -> None:
    async def work() -> None:
        async with opened() as here:
            first = await here.engine.score(PAYMENTS[1])
            for _ in range(2):
                with pytest.raises(IdempotencyConflict):
                    await here.engine.score(transaction(1, amount_minor=77))
            assert await here.engine.score(PAYMENTS[1]) == first and here.log.last_sequence() == 1

    asyncio.run(work())


def test_a_payment_from_the_future_is_refused_and_leaves_no_trace(opened: Open) -> None:
    async def work() -> None:
        async with opened() as here:
            late = transaction(2, event_time=PAYMENTS[2].event_time + timedelta(days=3650))
            with pytest.raises(BadInput):
                await here.engine.score(late)
            with pytest.raises(BadInput):
                await here.engine.score_batch([PAYMENTS[1], late])
            assert here.log.last_sequence() == 0

    asyncio.run(work())


def test_labels_of_unknown_payments_are_named(opened: Open) -> None:
    async def work() -> None:
        async with opened() as here:
            await here.engine.score(PAYMENTS[3])
            assert await here.engine.add_labels([fraud_label(3), fraud_label(4)]) == (1, ("tx_000004",))
            with pytest.raises(UnknownTransaction):
                await here.engine.add_labels([fraud_label(4)])
            assert here.log.is_reported("tx_000003") and not here.log.is_reported("tx_000004")

    asyncio.run(work())


def test_a_payment_that_the_model_failed_on_counts_once_when_it_is_sent_again(opened: Open) -> None:
    async def work() -> None:
        model, alone = PlainModel(), History()
        async with opened(model=model) as here:
            model.broken = True
            with pytest.raises(ModelFailed):
                await here.engine.score(PAYMENTS[0])
            model.broken = False
            for payment in (PAYMENTS[0], PAYMENTS[35]):  # of the same card and terminal
                await here.engine.score(payment)
                assert features(here.log, payment).tobytes() == remember(alone, payment).tobytes()

    asyncio.run(work())


def test_the_next_process_goes_on_where_the_last_one_stopped(opened: Open) -> None:
    async def work() -> None:
        alone = History()
        for some in (PAYMENTS[:50], PAYMENTS[50:90], PAYMENTS[90:]):
            async with opened() as here:
                assert await here.engine.check()
                await here.engine.score_batch(some)
                assert [features(here.log, each).tobytes() for each in some] == [remember(alone, each).tobytes() for each in some]

    asyncio.run(work())
