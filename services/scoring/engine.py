"""One payment through: known already? → features → models → rules → policy → reasons → log → answer.

All of it runs on the event loop's thread, in order of arrival; only the wait for the commit lets others in. The
history is therefore advanced in exactly the order in which the log stores the payments, and the log can rebuild it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from data.clock import Clock
from data.errors import BadInput, LogUnavailable
from data.prediction_store import Answer, PredictionRecord, PredictionStore, Stored, conflict, payment_facts
from data.schema import Label, Transaction, event_milliseconds, event_seconds
from services.scoring.commit import Commit, Refused
from services.scoring.decide import judge_payment, judge_payments
from services.scoring.horizon import Horizon
from services.scoring.metrics import Metrics
from services.scoring.patience import Patience
from services.scoring.recovery import Recovery
from services.scoring.scorer import Receipt, never_scored, prediction_record, require_same
from services.scoring.slots import Slots

BUFFER_S = 0.01  # how long answers gather that do not wait for their commit
MOST_BUFFERED = 20_000  # of them; a disk that hangs must not fill the memory
NOT_LOGGED = ("x-lab-logged", "no")  # the header of an Unlogged answer
CHUNK = 100  # payments of a batch between two looks at other requests: about 4 ms
_log = logging.getLogger(__name__)


class Unlogged(Answer):
    """An answer that nothing keeps, given because `LAB_LOG_FAILURE` is open and the log could not be written."""

    __slots__ = ()


class Pending(NamedTuple):
    """An answer on its way to the disk."""

    record: PredictionRecord
    commit: Commit

    def then(self, work: Callable[[], object]) -> None:
        """Do this when the commit has ended."""
        self.commit.then(work)


class Engine:
    """Scores payments and takes labels in. Belongs to the event loop's thread."""

    def __init__(
        self,
        slots: Slots,
        log: PredictionStore,
        recovery: Recovery,
        metrics: Metrics,
        clock: Clock,
        *,
        answers_without_log: bool = False,
        answers_before_commit: bool = False,
    ) -> None:
        """`clock` only tells which payments come from the future.

        `answers_without_log`: see `LAB_LOG_FAILURE`; `answers_before_commit`: see `LAB_LOG_WRITE`.
        """
        self._slots = slots
        self._log = log
        self._recovery = recovery
        self._metrics = metrics
        self._history = recovery.restore()
        self._horizon = Horizon(clock, self._history.newest_s())
        self._patience = Patience(self._bench)
        self._answers_without_log = answers_without_log
        self._answers_before_commit = answers_before_commit
        self._stale = False  # the history may hold what the log does not
        self._pending: dict[str, Pending] = {}
        self._reported: set[str] = set()  # payments whose first fraud report is on its way to the disk
        self._gathering: Commit | None = None  # what this turn of the event loop has added so far

    async def score(self, transaction: Transaction, request_id: str = "") -> Answer:
        """The answer to one payment, durable or Unlogged. Raises NoModel, ModelFailed, IdempotencyConflict, LogUnavailable, BadInput."""
        return await self._durable(self.begin(transaction, request_id))

    def begin(self, transaction: Transaction, request_id: str) -> Answer | Pending:
        """All but the wait for the disk: an answer, or one that must not be given before its commit has ended. Raises as `score`."""
        key = transaction.transaction_id
        known = self._known(transaction, self._find((key,)) if key not in self._pending else {})
        return known or self._decide(transaction, request_id)

    def settled(self, pending: Pending) -> Answer:
        """The answer that waited for a commit which has ended. Raises IdempotencyConflict, LogUnavailable."""
        record, commit = pending
        try:
            refused = commit.result()
        except LogUnavailable:
            if not self._answers_without_log:
                raise
            return self._unlogged(record)
        if record.transaction.transaction_id in refused:
            raise conflict()
        return record.answer

    @property
    def waiting(self) -> int:
        """Payments that wait for their commit."""
        buffers = self._answers_before_commit and len(self._pending) < MOST_BUFFERED
        return 0 if buffers else len(self._pending)

    async def score_batch(self, transactions: Sequence[Transaction], request_id: str = "") -> list[Answer]:
        """The same for many, in order. When it raises, some may be stored: send the batch again, it is safe to repeat.

        A payment from too far ahead refuses the whole batch before anything is looked at.
        """
        self._horizon.admit_all([transaction.event_time for transaction in transactions])
        answers: list[Answer | Pending] = []
        for start in range(0, len(transactions), CHUNK):
            answers += self._answer_chunk(transactions[start : start + CHUNK], request_id)
            await asyncio.sleep(0)  # let single payments in between
        return [await self._durable(answer) for answer in answers]

    async def add_labels(self, labels: Sequence[Label]) -> Receipt:
        """Take labels in, durably; a fraud counts in the features from its report time on. Raises LogUnavailable.

        Raises UnknownTransaction for a single label of a payment that was never scored here; in a list, such labels
        are named in the receipt.
        """
        self._rebuild_if_stale()
        known, unknown = [], []
        for label in labels:
            parties = self._parties(label.transaction_id)
            if parties is None:
                unknown.append(label.transaction_id)
                continue
            known.append(label)
            if label.is_fraud:
                self._report_once(label, *parties)
        if unknown and len(labels) == 1:
            raise never_scored()
        commit = self._commit_soon()
        commit.entries += known
        await commit.refused()
        return Receipt(len(known), tuple(unknown))

    async def check(self) -> bool:
        """Whether an answer could be logged now. Raises NoModel, LogUnavailable when no payment would be answered."""
        self._slots.current()
        try:
            self._rebuild_if_stale()
            await self._commit_soon().refused()
        except LogUnavailable:
            if not self._answers_without_log:
                raise
            return False
        return True

    def expect_history(self) -> None:
        """A first model arrived: training may have left a snapshot since this process began. Any thread may say so."""
        if self._log.last_sequence() == 0:
            self._stale = True

    def rebuild(self) -> None:
        """Bring the history back from its snapshot and the log. Raises LogUnavailable."""
        self._drain()  # what is on its way to the disk belongs into the history, or is refused with what it followed
        self._log.check_writable()  # fails fast while the disk is full, before the costly part
        self._history = self._recovery.restore()
        self._horizon.newest_s = self._history.newest_s()
        self._stale = False
        self._metrics.history_rebuilds.inc()

    def close(self) -> None:
        """Save the history, so that the next start replays nothing."""
        self._rebuild_if_stale()
        self._drain()
        self._recovery.save(self._history)

    async def stop(self) -> None:
        """The process ends."""
        self.close()

    def _answer_chunk(self, transactions: Sequence[Transaction], request_id: str) -> list[Answer | Pending]:
        """Everything up to the commit, without a pause: known payments from memory or log, the new ones decided together, in order."""
        held = self._find([transaction.transaction_id for transaction in transactions])
        new: dict[str, Transaction] = {}
        known: dict[str, Answer | Pending] = {}
        for transaction in transactions:
            key = transaction.transaction_id
            if key in new:
                require_same(payment_facts(new[key]), transaction)
                self._metrics.replays.inc()
            elif (answer := self._known(transaction, held)) is not None:
                known[key] = answer
            else:
                new[key] = transaction
        known |= zip(new, self._decide_many(list(new.values()), request_id), strict=True)
        return [known[transaction.transaction_id] for transaction in transactions]

    def _known(self, transaction: Transaction, held: Mapping[str, Stored]) -> Answer | Pending | None:
        """The answer this transaction already has. Raises IdempotencyConflict when its id was given to another body."""
        key = transaction.transaction_id
        if (pending := self._pending.get(key)) is not None:
            require_same(payment_facts(pending.record.transaction), transaction)
            self._metrics.replays.inc()
            return pending
        if (stored := held.get(key)) is not None:
            require_same(stored.facts, transaction)
            self._metrics.replays.inc()
            return stored.answer
        return None

    def _find(self, transaction_ids: Sequence[str]) -> Mapping[str, Stored]:
        """What the log holds of these. A log that cannot be read is none to write to, so it is not trusted until it was rebuilt from."""
        try:
            return self._log.find(transaction_ids)
        except LogUnavailable:
            if not self._answers_without_log:
                raise
            self._stale = True
            return {}

    def _decide(self, transaction: Transaction, request_id: str) -> Answer | Pending:
        serving = self._slots.current()
        logs = self._can_log()
        started = time.perf_counter()
        seen = _seen(transaction)
        moment_s = seen[2]
        self._horizon.admit(moment_s)
        try:
            features = self._history.advance(*seen)
            judgement = judge_payment(serving, transaction.card_id, features, self._patience)
        except BadInput:
            raise  # refused before anything was remembered
        except Exception:
            self._stale = True  # the history has moved on for a payment that nobody will find in the log
            raise
        self._horizon.passed(moment_s)
        record = prediction_record(transaction, features, judgement, serving, time.perf_counter() - started, request_id)
        return self._keep(record, self._commit_soon()) if logs else self._unlogged(record)

    def _decide_many(self, transactions: Sequence[Transaction], request_id: str) -> Sequence[Answer | Pending]:
        """`_decide` for many, in order; `score_batch` has asked the horizon."""
        if not transactions:
            return []
        serving = self._slots.current()
        logs = self._can_log()
        started = time.perf_counter()
        seen = [_seen(transaction) for transaction in transactions]
        try:
            matrix = self._history.advance_many(seen)
            judgements = judge_payments(serving, [t.card_id for t in transactions], matrix, self._patience)
        except BadInput:
            raise
        except Exception:
            self._stale = True
            raise
        self._horizon.passed(max(each[2] for each in seen))
        seconds = (time.perf_counter() - started) / len(transactions)
        records = [prediction_record(*row, serving, seconds, request_id) for row in zip(transactions, matrix, judgements, strict=True)]
        if not logs:
            return [self._unlogged(record) for record in records]
        commit = self._commit_soon()
        return [self._keep(record, commit) for record in records]

    def _keep(self, record: PredictionRecord, commit: Commit) -> Answer | Pending:
        commit.entries.append(record)
        pending = self._pending[record.transaction.transaction_id] = Pending(record, commit)
        return record.answer if self._answers_before_commit else pending

    def _unlogged(self, record: PredictionRecord) -> Unlogged:
        self._metrics.unlogged.inc()
        return Unlogged(*record.answer)

    def _bench(self, version: str, why: str) -> None:
        self._metrics.challenger_failures.inc()
        self._slots.bench(version, why)

    def _parties(self, transaction_id: str) -> tuple[str, str] | None:
        pending = self._pending.get(transaction_id)
        if pending is not None:
            return pending.record.transaction.card_id, pending.record.transaction.terminal_id
        return self._log.parties(transaction_id)

    def _report_once(self, label: Label, card_id: str, terminal_id: str) -> None:
        """A payment counts as reported once, at the first label that says fraud."""
        if label.transaction_id in self._reported or self._log.is_reported(label.transaction_id):
            return
        self._reported.add(label.transaction_id)
        self._history.report(card_id=card_id, terminal_id=terminal_id, report_time_s=event_seconds(label.report_time))

    async def _durable(self, answer: Answer | Pending) -> Answer:
        if not isinstance(answer, Pending):
            return answer
        await answer.commit.ended()
        return self.settled(answer)

    def _commit_soon(self) -> Commit:
        """The group that this turn of the event loop fills; it goes to the log when the turn is over, or somewhat later if nobody waits."""
        if self._gathering is None:
            self._gathering = Commit()
            loop = asyncio.get_running_loop()
            if self._answers_before_commit:
                loop.call_later(BUFFER_S, self._submit)
            else:
                loop.call_soon(self._submit)
        return self._gathering

    def _submit(self) -> None:
        commit, self._gathering = self._gathering, None
        if commit is None:  # a rebuild was faster
            return
        loop = asyncio.get_running_loop()
        try:
            group = self._log.submit(commit.entries)
        except LogUnavailable as error:
            group = Future()
            group.set_exception(error)
        group.add_done_callback(lambda done: None if loop.is_closed() else loop.call_soon_threadsafe(self._settle, commit, done))

    def _drain(self) -> None:
        """Wait for everything on its way to the disk."""
        if self._gathering is not None:
            self._submit()
        self._log.drain()

    def _settle(self, commit: Commit, group: Future[Refused]) -> None:
        """The commit ended, whether or not its callers still wait."""
        error = group.exception()
        failed = error is not None
        refused = frozenset() if failed else group.result()
        for entry in commit.entries:
            if isinstance(entry, Label):
                self._reported.discard(entry.transaction_id)
                self._stale |= failed
                if not failed:
                    self._metrics.labels.labels(str(entry.is_fraud).lower()).inc()
                continue
            key = entry.transaction.transaction_id
            del self._pending[key]
            if failed or key in refused:
                self._stale = True
            else:
                self._metrics.answered(entry)
        if failed and self._answers_before_commit:
            self._metrics.unlogged.inc(len(commit.entries))
            _log.error("%d entries were answered and could not be logged", len(commit.entries))
        commit.end(error or refused)

    def _rebuild_if_stale(self) -> None:
        if self._stale:
            self.rebuild()

    def _can_log(self) -> bool:
        """Whether the log takes what is decided next. Raises LogUnavailable when it does not and answers depend on it.

        While the log is away, the history goes on with payments that the log will never hold; the first that the log
        can take again finds it rebuilt without them.
        """
        try:
            self._rebuild_if_stale()
        except LogUnavailable:
            if not self._answers_without_log:
                raise
            return False
        return True


def _seen(transaction: Transaction) -> tuple[str, str, int, int, str, str, float | None, float | None, str | None]:
    """What the history takes of a payment, in the order of `History.advance`."""
    t = transaction
    moment = event_milliseconds(t.event_time) // 1_000
    return t.card_id, t.terminal_id, moment, t.amount_minor, t.channel, t.category, t.latitude, t.longitude, t.device_id
