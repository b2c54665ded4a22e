"""One payment through: known already? → features → models → rules → policy → reasons → log → answer.

All of it runs on the event loop's thread, in order of arrival; only the wait for the commit lets others in. The
history is therefore advanced in exactly the order in which the log stores the payments, and the log can rebuild it.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from data.clock import Clock
from data.errors import BadInput, LogUnavailable
from data.history import Payed
from data.prediction_store import Answer, PaymentFacts, PredictionRecord, PredictionStore, Stored, conflict, payment_facts
from data.schema import Label, Transaction, event_seconds
from services.scoring.asked import Asked
from services.scoring.challenger_fault import ChallengerFaults
from services.scoring.commit import Commit, Refused
from services.scoring.decide import judge_each
from services.scoring.feature_fault import FeatureFaults
from services.scoring.horizon import Horizon
from services.scoring.metrics import Metrics
from services.scoring.patience import Patience
from services.scoring.recovery import Recovery
from services.scoring.scorer import Pay, Receipt, as_payed, never_scored, prediction_record, require_same
from services.scoring.slots import Slots

# How long, and how many, answers gather that do not wait for their commit: what a kill of this process may lose, and what
# one request in so many waits longer for.
BUFFER_S, BUFFERED = 0.002, 4
MOST_UNDER_WAY = 20_000  # payments that are not on the disk: one that hangs must not fill the memory
NOT_LOGGED = ("x-lab-logged", "no")  # the header of an Unlogged answer
TURN_S = 0.002  # what is decided between two looks at the connections, so that none of them waits long to be heard
QUEUE_S = 0.004  # what may wait to be decided; more than that is refused at once, as it would be late anyway
FEWEST_TO_TELL = 8  # payments of a turn that show what one more costs; a turn of one is mostly overhead
_log = logging.getLogger(__name__)


class Unlogged(Answer):
    """An answer that nothing keeps, given because `LAB_LOG_FAILURE` is open and the log could not be written."""

    __slots__ = ()


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
        faults: FeatureFaults | None = None,
        challenger_faults: ChallengerFaults | None = None,
        answers_before_commit: bool = False,
    ) -> None:
        """`clock` only tells which payments come from the future.

        `answers_without_log`: see `LAB_LOG_FAILURE`; `answers_before_commit`: see `LAB_LOG_WRITE`.
        """
        self._slots = slots
        self._log = log
        self._recovery = recovery
        self._metrics = metrics
        self._history, _ = recovery.restore()
        self._horizon = Horizon(clock, self._history.newest_s())
        self._patience = Patience(self._bench, metrics.challenger_errors.inc)
        self._answers_without_log = answers_without_log
        self._faults = faults or FeatureFaults()
        self._challenger_faults = challenger_faults or ChallengerFaults()
        self._answers_before_commit = answers_before_commit
        self._stale = False  # the history may hold what the log does not
        self._payment_s = 30e-6  # to decide one more, as it has lately been
        self._asked: dict[str, Pay] = {}  # payments under way: not answered, or not on the disk
        self._turn: list[Pay] = []  # those among them that are not decided yet
        self._reported: set[str] = set()  # payments whose first fraud report is on its way to the disk
        self._gathering: Commit | None = None  # what this turn of the event loop has added so far
        self._last: Future[Refused] | None = None  # group that the log was given
        self._committing = 0  # entries that the log was given and has not stored yet

    async def score(self, transaction: Transaction, request_id: str = "") -> Answer:
        """The answer to one payment, durable or Unlogged. Raises NoModel, ModelFailed, IdempotencyConflict, LogUnavailable, BadInput."""
        return await self.begin(transaction, request_id).wait()

    async def score_batch(self, transactions: Sequence[Transaction], request_id: str = "") -> list[Answer]:
        """The same for many, in order. When it raises, some may be stored: send the batch again, it is safe to repeat.

        A payment from too far ahead refuses the whole batch before anything is looked at.
        """
        payments = [payment_facts(transaction) for transaction in transactions]
        self._horizon.admit_all([payment.event_time_ms // 1000 for payment in payments])
        asked: list[Pay] = []
        while rest := payments[len(asked) :]:
            asked += [self._ask(payment, request_id) for payment in rest[: self._most_in_a_turn()]]
            while self._turn:
                await asyncio.sleep(0)  # the turn is taken, and single payments come in between
        for each in reversed(asked):  # groups are committed in order: whoever waits for the last waits for all
            if not each.ended:
                await each.wait()
        return [each.result() for each in asked]

    def begin(self, transaction: Transaction, request_id: str) -> Pay:
        """A payment that is decided when this turn of the event loop is over, with all others that arrived in it.

        A turn costs nobody any time, and what arrives together shares one question to the log, one call of the
        features and one of each model. Raises IdempotencyConflict.
        """
        return self._ask(payment_facts(transaction), request_id)

    def _ask(self, payment: PaymentFacts, request_id: str) -> Pay:
        key = payment.transaction_id
        asked = self._asked.get(key)
        if asked is not None:
            require_same(asked.entry, payment)
            self._metrics.replays.inc()
            return asked
        asked = self._asked[key] = Asked(payment, request_id)
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._take_turn)
        self._turn.append(asked)
        return asked

    @property
    def is_full(self) -> bool:
        """Whether one more payment would wait too long."""
        return len(self._turn) * self._payment_s >= QUEUE_S or len(self._asked) >= MOST_UNDER_WAY

    @property
    def under_way(self) -> int:
        """Payments that are not answered, or not on the disk."""
        return len(self._asked)

    @property
    def log_lag(self) -> int:
        """Answers and labels that are not on the disk."""
        return self._committing + (len(self._gathering.entries) if self._gathering else 0)

    async def add_labels(self, labels: Sequence[Label]) -> Receipt:
        """Take labels in, durably; a fraud counts in the features from its report time on. Raises LogUnavailable.

        Raises UnknownTransaction for a single label of a payment that was never scored here; in a list, such labels
        are named in the receipt.
        """
        self._decide_all()  # a payment may have arrived just before its label
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
        await self._commit_soon().add_labels(known)
        return Receipt(len(known), tuple(unknown))

    async def check(self) -> bool:
        """Whether an answer could be logged now. Raises NoModel, LogUnavailable when no payment would be answered."""
        self._slots.current()
        try:
            self._rebuild_if_stale()
            await self._commit_soon().add_labels([])
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
        self._history, _ = self._recovery.restore()
        self._horizon.newest_s = self._history.newest_s()
        self._stale = False
        self._metrics.history_rebuilds.inc()

    def close(self) -> None:
        """Save the history, so that the next start replays nothing."""
        self._decide_all()
        self._drain()
        self._rebuild_if_stale()
        self._recovery.close()
        self._recovery.save(self._history, self._log.last_sequence())

    async def stop(self) -> None:
        """The process ends."""
        self.close()

    def _decide_all(self) -> None:
        while self._turn:
            self._take_turn()

    def _take_turn(self) -> None:
        """Everything up to the commit for what has arrived; what takes longer than a turn may waits for the next."""
        most = self._most_in_a_turn()
        turn, self._turn = self._turn[:most], self._turn[most:]
        if self._turn:
            asyncio.get_running_loop().call_soon(self._take_turn)
        try:
            new = self._unanswered(turn)
            if new:
                self._decide(new)
        except Exception as error:  # whatever it is, it belongs to those who wait
            for asked in turn:
                self._fail(asked, error)

    def _most_in_a_turn(self) -> int:
        return max(1, int(TURN_S / self._payment_s))

    def _unanswered(self, turn: Sequence[Pay]) -> list[Pay]:
        """Those that the log does not hold and that may be answered; the others end here."""
        held = self._find([asked.entry.transaction_id for asked in turn])
        if not held:
            return list(turn)
        new = []
        for asked in turn:
            stored = held.get(asked.entry.transaction_id)
            if stored is None:
                new.append(asked)
            elif stored.payment != asked.entry:
                self._fail(asked, conflict())
            else:
                self._metrics.replays.inc()
                del self._asked[asked.entry.transaction_id]
                asked.end(stored.answer)
        return new

    def _find(self, transaction_ids: Sequence[str]) -> Mapping[str, Stored]:
        """What the log holds of these. A log that cannot be read is none to write to, so it is not trusted until it was rebuilt from."""
        try:
            return self._log.find(transaction_ids)
        except LogUnavailable:
            if not self._answers_without_log:
                raise
            self._stale = True
            return {}

    def _decide(self, asked: Sequence[Pay]) -> None:
        """Decide new payments together, with the results that each would have had alone, one after the other."""
        serving = self._slots.current()
        logs = self._can_log()
        started = time.perf_counter()
        admitted, seen = self._admitted(asked)
        if not admitted:
            return
        try:
            matrix = self._history.advance_many(seen)
        except Exception:
            self._stale = True  # nobody knows what the history has taken in
            raise
        if self._faults.asked:
            matrix = self._faults.apply(matrix, [pay.entry for pay in admitted])
        faulty = self._challenger_faults.asked is not None
        if faulty:
            serving = self._challenger_faults.spoil(serving)
        judged = judge_each(serving, [pay.entry for pay in admitted], matrix, self._patience)
        seconds = (time.perf_counter() - started) / len(admitted)
        if len(admitted) >= min(FEWEST_TO_TELL, self._most_in_a_turn()):
            self._payment_s += 0.1 * (min(seconds, 2 * self._payment_s) - self._payment_s)  # one pause in it is no trend
        for pay, row, judgement in zip(admitted, matrix, judged, strict=True):
            if isinstance(judgement, Exception):
                self._stale = True  # the history has moved on for a payment that nobody will find in the log
                self._fail(pay, judgement)
                continue
            late = self._challenger_faults.delay(judgement, row) if faulty else 0.0
            record = prediction_record(pay.entry, row, judgement, serving, seconds + late, pay.request_id)
            if logs:
                self._keep(pay, record)
            else:
                del self._asked[pay.entry.transaction_id]
                pay.end(self._unlogged(record))

    def _admitted(self, asked: Sequence[Pay]) -> tuple[list[Pay], list[Payed]]:
        """Those whose time and amount can be, and what the history takes of them; the others end here, unremembered."""
        admitted, seen = [], []
        for pay in asked:
            payed = as_payed(pay.entry)
            try:
                self._horizon.take(payed[2])
            except BadInput as error:
                self._fail(pay, error)
                continue
            admitted.append(pay)
            seen.append(payed)
        return admitted, seen

    def _keep(self, pay: Pay, record: PredictionRecord) -> None:
        commit = self._commit_soon()
        commit.add(pay, record)
        if self._answers_before_commit:
            pay.end(record.answer)
            if len(commit.entries) == BUFFERED:
                asyncio.get_running_loop().call_soon(self._submit)

    def _fail(self, asked: Pay, error: Exception) -> None:
        """A payment that is not in the log ends here."""
        self._asked.pop(asked.entry.transaction_id, None)
        asked.fail(error)

    def _unlogged(self, record: PredictionRecord) -> Unlogged:
        self._metrics.unlogged.inc()
        return Unlogged(*record.answer)

    def _bench(self, version: str, why: str) -> None:
        self._metrics.challenger_failures.inc()
        self._slots.bench(version, why)

    def _parties(self, transaction_id: str) -> tuple[str, str] | None:
        asked = self._asked.get(transaction_id)
        if asked is not None:
            return asked.entry.card_id, asked.entry.terminal_id
        return self._log.parties(transaction_id)

    def _report_once(self, label: Label, card_id: str, terminal_id: str) -> None:
        """A payment counts as reported once, at the first label that says fraud."""
        if label.transaction_id in self._reported or self._log.is_reported(label.transaction_id):
            return
        self._reported.add(label.transaction_id)
        self._history.report(card_id=card_id, terminal_id=terminal_id, report_time_s=event_seconds(label.report_time))

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
        self._committing += len(commit.entries)
        try:
            group = self._log.submit(commit.entries)
        except LogUnavailable as error:
            group = Future()
            group.set_exception(error)
        self._last = group
        group.add_done_callback(lambda done: None if loop.is_closed() else loop.call_soon_threadsafe(self._settle, commit, done))

    def _drain(self) -> None:
        """Wait for everything on its way to the disk. What did not get there is in the history all the same."""
        if self._gathering is not None:
            self._submit()
        self._log.drain()
        if self._last is not None and (self._last.exception() is not None or self._last.result()):
            self._stale = True

    def _settle(self, commit: Commit, group: Future[Refused]) -> None:
        """The commit ended, whether or not its callers still wait."""
        self._committing -= len(commit.entries)
        error = group.exception()
        refused = group.result() if error is None else frozenset()
        for label in commit.labels:
            self._reported.discard(label.transaction_id)
            if error is None:
                self._metrics.labels.labels(str(label.is_fraud).lower()).inc()
        for asked, record in commit.answers:
            key = asked.entry.transaction_id
            if key not in refused and error is None:
                self._asked.pop(key, None)
                self._metrics.answered(record)
                if not asked.ended:
                    asked.end(record.answer)
            elif error is not None and self._answers_without_log:
                self._asked.pop(key, None)
                asked.end(self._unlogged(record))
            else:
                self._fail(asked, error if isinstance(error, Exception) else conflict())
        self._stale |= error is not None or bool(refused)
        if error is None:
            self._recovery.stored(len(commit.entries))
        if error is not None and self._answers_before_commit:
            self._metrics.unlogged.inc(len(commit.answers))
            _log.error("%d payments were answered and could not be logged", len(commit.answers))
        commit.end(error)

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
