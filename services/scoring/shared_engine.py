"""Scores as one of several processes that share a log: order → features → models → rules → policy → answer → log.

Work goes in turns. What has gathered since the last turn goes to the log in one exchange, with the answers that the last
turn found. It comes back with its place in the order, among whatever the other processes sent, and only then are there
features and answers. So a payment takes two exchanges, an exchange carries as many payments as are waiting, and nobody
locks anything. All of it runs on the event loop's thread. `data/shared_log.py` tells why this is correct.

While the store is away there is no order to agree on. Payments are then answered on a copy of what this process knew, which the
answer says (`data.reasons.STORE_AWAY`), and kept on its own disk. The store is given them first when it is back, and what the copy
had learned is forgotten: the log's order says it anew. Labels wait; their senders repeat them.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.clock import Clock
from data.errors import LabError, LogUnavailable, StoreAway
from data.history import History
from data.prediction_store import Answer, PaymentFacts, PredictionRecord, conflict, payment_facts
from data.reasons import STORE_AWAY
from data.schema import Label, Transaction
from data.shared_log import OtherLog, Outcome, SharedLog
from services.scoring.asked import Asked
from services.scoring.debts import Debts, Judged
from services.scoring.decide import judge_each
from services.scoring.horizon import Horizon
from services.scoring.metrics import Metrics
from services.scoring.patience import Patience
from services.scoring.scorer import Pay, Receipt, as_payed, never_scored, prediction_record, require_same
from services.scoring.shared_snapshots import SharedSnapshots
from services.scoring.slots import Slots

MOST_UNDER_WAY = 2_000  # payments not answered yet
CHUNK = 100  # payments judged between two looks at other requests: about 4 ms
FOLLOW_EVERY_S = 1.0  # an idle process takes in what the others do, so that its next payment need not wait for it
ASK_EVERY_S = 0.5  # whether a store that was away is back

Report: TypeAlias = Asked[Label, bool]


class _Placed(NamedTuple):
    """A payment in its place of the order, to be judged."""

    asked: Pay
    sequence: int  # 0 when it has just arrived


class _Outage(NamedTuple):
    """The store is away."""

    told: StoreAway  # to those who have to wait for it
    history: History  # a copy of ours, which answers meanwhile


_log = logging.getLogger(__name__)


class SharedEngine:
    """Scores payments and takes labels in. Belongs to the event loop's thread."""

    def __init__(self, slots: Slots, log: SharedLog, snapshots: SharedSnapshots, debts: Debts, metrics: Metrics, clock: Clock) -> None:
        """`clock` only tells which payments come from the future. Raises LogUnavailable, BadInput."""
        self._slots = slots
        self._log = log
        self._snapshots = snapshots
        self._debts = debts
        self._metrics = metrics
        self._patience = Patience(self._bench, metrics.challenger_errors.inc)
        self._horizon = Horizon(clock, 0)
        self._asked: dict[str, Pay] = {}  # payments under way
        self._payments: list[Pay] = []  # for the next exchange
        self._labels: list[Report] = []
        self._judged: list[Judged] = []
        self._turns: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._trouble: LabError | None = None  # of the last turn
        self._outage: _Outage | None = None
        self._back: asyncio.Task[None] | None = None  # the end of the outage, waited for
        self._stale = False  # what the history began with may have changed
        self._restore()

    @property
    def is_full(self) -> bool:
        """Whether one more payment would wait too long."""
        return len(self._asked) >= MOST_UNDER_WAY

    @property
    def under_way(self) -> int:
        """Payments that are not answered."""
        return len(self._asked)

    @property
    def log_lag(self) -> int:
        """Answers and labels that the shared log does not hold."""
        return len(self._judged) + len(self._labels) + self._debts.count()

    @property
    def is_store_away(self) -> bool:
        """Whether payments are answered without the store now."""
        return self._outage is not None

    async def score(self, transaction: Transaction, request_id: str = "") -> Answer:
        """The answer to one payment, durable. Raises NoModel, ModelFailed, IdempotencyConflict, LogUnavailable, BadInput."""
        return await self.begin(transaction, request_id).wait()

    async def score_batch(self, transactions: Sequence[Transaction], request_id: str = "") -> list[Answer]:
        """The same for many, in order. When it raises, some may be stored: send the batch again, it is safe to repeat."""
        payments = [payment_facts(transaction) for transaction in transactions]
        self._horizon.admit_all([payment.event_time_ms // 1000 for payment in payments])
        asked = [self._ask(payment, request_id) for payment in payments]
        return [await each.wait() for each in asked]

    async def add_labels(self, labels: Sequence[Label]) -> Receipt:
        """See `Engine.add_labels`."""
        asked: list[Report] = [Asked(label) for label in labels]
        self._labels += asked
        self._begin_turns()
        known = [await each.wait() for each in asked]
        if known == [False]:
            raise never_scored()
        return Receipt(sum(known), tuple(label.transaction_id for label, is_known in zip(labels, known, strict=True) if not is_known))

    async def check(self) -> bool:
        """Whether a payment could be answered now. Raises NoModel, LogUnavailable."""
        self._slots.current()
        with suppress(StoreAway):  # the turn sees that, too
            await asyncio.to_thread(self._log.check_writable)
        await asyncio.shield(self._begin_turns())
        if self._trouble is not None:
            raise self._trouble
        if self._outage is not None:
            await self._debts.check()
        return True

    def expect_history(self) -> None:
        """A first model arrived: training may have left a snapshot since this process began. Any thread may say so."""
        if self._log.last_sequence() == 0:
            self._stale = True

    async def stop(self) -> None:
        """End the turn under way, save the history, and let go of the log's line."""
        if self._turns is not None:
            await self._turns
        if self._idle is not None:
            self._idle.cancel()
        if self._back is not None:
            self._back.cancel()
        self._snapshots.save(self._identity, self._shared)
        self._debts.close()
        await self._log.aclose()

    def begin(self, transaction: Transaction, request_id: str) -> Pay:
        """A payment on its way; its `result` is the answer. Raises NoModel, IdempotencyConflict, BadInput."""
        payment = payment_facts(transaction)
        self._horizon.admit(payment.event_time_ms // 1000)
        return self._ask(payment, request_id)

    def _ask(self, payment: PaymentFacts, request_id: str) -> Pay:
        key = payment.transaction_id
        asked = self._asked.get(key)
        if asked is not None:
            require_same(asked.entry, payment)
            self._metrics.replays.inc()
            return asked
        self._slots.current()
        asked = self._asked[key] = Asked(payment, request_id)
        asked.then(lambda: self._asked.pop(key, None))
        self._payments.append(asked)
        self._begin_turns()
        return asked

    def _begin_turns(self) -> asyncio.Task[None]:
        """The next exchange begins when this turn of the event loop is over, or the one under way is."""
        if self._turns is None:
            if self._idle is not None:
                self._idle.cancel()
            self._turns = asyncio.get_running_loop().create_task(self._take_turns())
        return self._turns

    async def _take_turns(self) -> None:
        while True:
            await self._turn()
            if not (self._payments or self._labels or self._judged):
                break
        self._turns = None
        self._idle = asyncio.get_running_loop().call_later(FOLLOW_EVERY_S, self._begin_turns)

    async def _turn(self) -> None:
        """One exchange, and all that follows from it. Whatever goes wrong belongs to those who wait for it."""
        judged, self._judged = self._judged, []
        payments, self._payments = self._payments, []
        labels, self._labels = self._labels, []
        arriving: list[PaymentFacts | Label] = [*(each.entry for each in payments), *(each.entry for each in labels)]
        try:
            taken = await self._exchange_unless_away(arriving, [each.record for each in judged])
            if taken is None:
                await self._go_alone(judged, payments, labels)
            else:
                outcomes, stored = taken
                for answer, outcome in zip(judged, stored, strict=True):
                    self._settle(answer, outcome)
                new = self._unanswered(payments, outcomes[: len(payments)])
                for label, outcome in zip(labels, outcomes[len(payments) :], strict=True):
                    self._note(label, outcome)
                for start in range(0, len(new), CHUNK):
                    some = new[start : start + CHUNK]
                    self._judged += await self._judge([each.asked for each in some], [await self._features(each) for each in some])
            self._trouble = None
        except Exception as error:
            self._trouble = error if isinstance(error, LabError) else None
            for payment in (*(answer.asked for answer in judged), *payments):
                payment.fail(error)
            for label in labels:
                label.fail(error)

    async def _exchange_unless_away(
        self, arriving: Sequence[PaymentFacts | Label], answers: Sequence[PredictionRecord]
    ) -> tuple[list[Outcome], list[Outcome]] | None:
        """`_exchange`, once what is owed is paid; None while the store is away."""
        if self._outage is None:
            try:
                await self._debts.pay(self._exchange)
                return await self._exchange(arriving, answers)
            except StoreAway as told:
                _log.warning("%s Payments are answered without it, and kept in LAB_HOME until it is back.", told.message)
                self._outage = _Outage(told, self._shared.aside())
                self._back = asyncio.get_running_loop().create_task(self._await_store())
        return None

    async def _await_store(self) -> None:
        while self._outage is not None:
            await asyncio.sleep(ASK_EVERY_S)
            with suppress(LogUnavailable):
                await asyncio.to_thread(self._log.last_sequence)
                self._outage = None
        _log.warning("The store is back.")
        self._begin_turns()

    async def _go_alone(self, judged: Sequence[Judged], payments: Sequence[Pay], labels: Sequence[Report]) -> None:
        """Answer without the store: what was judged as it was, the others on what this process knows."""
        assert self._outage is not None
        told, history = self._outage
        for label in labels:
            label.fail(told)
        if not (judged or payments):
            return
        answers, new = list(judged), await self._debts.end_known(payments)
        for start in range(0, len(new), CHUNK):
            some = new[start : start + CHUNK]
            found = await self._judge(some, [history.advance(*as_payed(asked.entry)) for asked in some])
            answers += [Judged(record._replace(reasons=(*record.reasons, STORE_AWAY)), asked) for record, asked in found]
        for asked in new:
            self._horizon.passed(asked.entry.event_time_ms // 1000)
        await self._debts.take(answers)

    async def _exchange(
        self, arriving: Sequence[PaymentFacts | Label], answers: Sequence[PredictionRecord]
    ) -> tuple[list[Outcome], list[Outcome]]:
        """Hand all to the log, and follow it. Returns what became of either."""
        restored = False
        while True:
            if self._stale:
                self._restore()
                restored = True
            try:
                exchange = await self._log.exchange(self._identity, self._shared.position, arriving, answers)
            except OtherLog:  # emptied, or begun by another process with another history
                self._stale = True
                if restored:
                    raise
                continue
            self._shared.follow(exchange)
            self._horizon.passed(self._shared.newest_s)
            if exchange.outcomes is not None:
                return exchange.outcomes, exchange.stored

    def _restore(self) -> None:
        self._identity, self._shared = self._snapshots.restore()
        self._horizon.newest_s = self._shared.newest_s
        self._stale = False

    def _note(self, asked: Report, outcome: Outcome) -> None:
        if outcome.kind != "refused":
            self._metrics.labels.labels(str(asked.entry.is_fraud).lower()).inc()
        asked.end(outcome.kind != "refused")

    def _unanswered(self, payments: Sequence[Pay], outcomes: Sequence[Outcome]) -> list[_Placed]:
        """Those that are to be judged; the others end here."""
        new = []
        for asked, outcome in zip(payments, outcomes, strict=True):
            if outcome.kind == "refused":
                asked.fail(conflict())
            elif outcome.answer is not None:
                self._metrics.replays.inc()
                asked.end(outcome.answer)
            else:
                new.append(_Placed(asked, outcome.sequence))
        return new

    async def _judge(self, asked: Sequence[Pay], rows: Sequence[NDArray[np.float64]]) -> list[Judged]:
        """The answers, to be stored; a payment that the champion cannot score ends here."""
        matrix = np.stack(rows)
        started, serving = time.perf_counter(), self._slots.current()
        judged = judge_each(serving, [each.entry for each in asked], matrix, self._patience)
        seconds = (time.perf_counter() - started) / len(asked)
        found = []
        for each, row, judgement in zip(asked, matrix, judged, strict=True):
            if isinstance(judgement, Exception):
                each.fail(judgement)
            else:
                found.append(Judged(prediction_record(each.entry, row, judgement, serving, seconds, each.request_id), each))
        await asyncio.sleep(0)  # let others read and write in between
        return found

    async def _features(self, placed: _Placed) -> NDArray[np.float64]:
        """What the models see of a payment: at hand, unless another process died over it long ago."""
        features = self._shared.features(placed.asked.entry.transaction_id)
        if features is not None:
            return features
        return await asyncio.to_thread(self._snapshots.features_at, self._identity, placed.sequence)

    def _settle(self, answer: Judged, outcome: Outcome) -> None:
        """An answer is stored: ours, or that of a process that had the same payment and was first."""
        if outcome.kind == "refused":
            answer.asked.fail(_lost())
        elif outcome.answer is not None:
            answer.asked.end(outcome.answer)
        else:
            self._metrics.answered(answer.record)
            answer.asked.end(answer.record.answer)

    def _bench(self, version: str, why: str) -> None:
        self._metrics.challenger_failures.inc()
        self._slots.bench(version, why)


def _lost() -> LogUnavailable:
    return LogUnavailable("The store was emptied under a payment.", next_step="Send the same request again.", where="LAB_STORE_URL")
