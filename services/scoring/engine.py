"""One payment through: known already? → features → rules → models → policy → reasons → log → answer.

All of it runs on the event loop's thread, in order of arrival; only the wait for the commit lets others in. The
history is therefore advanced in exactly the order in which the log stores the payments, and the log can rebuild it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from data.errors import BadInput, UnknownTransaction
from data.prediction_store import PredictionRecord, PredictionStore, Stored, body_digest, conflict
from data.schema import Label, Prediction, Transaction, event_seconds
from services.scoring.decide import judge_payment
from services.scoring.metrics import Metrics
from services.scoring.recovery import Recovery
from services.scoring.slots import Slots

CHUNK = 100  # payments of a batch between two looks at other requests: about 5 ms


Refused = frozenset[str]  # ids of a group that the log holds with another body


class Receipt(NamedTuple):
    """What became of a list of labels."""

    accepted: int
    unknown: tuple[str, ...]  # transaction ids that were never scored here


@dataclass(frozen=True, slots=True)
class _Answer:
    """A prediction, and the commit to wait for before it may be given; None when it rests on the disk already."""

    transaction: Transaction
    prediction: Prediction
    commit: asyncio.Future[Refused] | None


class Engine:
    """Scores payments and takes labels in. Belongs to the event loop's thread."""

    def __init__(self, slots: Slots, log: PredictionStore, recovery: Recovery, metrics: Metrics) -> None:
        self._slots = slots
        self._log = log
        self._recovery = recovery
        self._metrics = metrics
        self._history = recovery.restore()
        self._stale = False  # the history may hold what the log does not
        self._pending: dict[str, _Answer] = {}  # answers on their way to the disk
        self._reported: set[str] = set()  # payments whose first fraud report is on its way to the disk
        self._group: tuple[Future[Refused], asyncio.Future[Refused]] | None = None

    async def score(self, transaction: Transaction, request_id: str = "") -> Prediction:
        """The answer to one payment, durable. Raises NoModel, ModelFailed, IdempotencyConflict, LogUnavailable, BadInput."""
        return await self._durable(self._answer((transaction,), request_id)[0])

    async def score_batch(self, transactions: Sequence[Transaction], request_id: str = "") -> list[Prediction]:
        """The same for many, in order. When it raises, some may be stored: send the batch again, it is safe to repeat."""
        answers: list[_Answer] = []
        for start in range(0, len(transactions), CHUNK):
            answers += self._answer(transactions[start : start + CHUNK], request_id)
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
            raise UnknownTransaction(
                "No payment of this id was scored here.", next_step="Label payments that this service answered.", where="transaction_id"
            )
        commit = self._shared(self._log.submit(known))
        commit.add_done_callback(partial(self._settle_labels, known))
        await asyncio.shield(commit)
        return Receipt(len(known), tuple(unknown))

    async def check(self) -> None:
        """Whether a payment could be answered now. Raises NoModel, LogUnavailable."""
        self._slots.current()
        self._rebuild_if_stale()
        await asyncio.shield(self._shared(self._log.submit(())))

    def expect_history(self) -> None:
        """A first model arrived: training may have left a snapshot since this process began. Any thread may say so."""
        if self._log.last_sequence() == 0:
            self._stale = True

    def rebuild(self) -> None:
        """Bring the history back from its snapshot and the log. Raises LogUnavailable."""
        self._log.check_writable()  # fails fast while the disk is full, before the costly part
        self._log.drain()  # what is on its way to the disk belongs into the history
        self._history = self._recovery.restore()
        self._stale = False
        self._metrics.history_rebuilds.inc()

    def close(self) -> None:
        """Save the history, so that the next start replays nothing."""
        self._rebuild_if_stale()
        self._log.drain()
        self._recovery.save(self._history)

    def _answer(self, transactions: Sequence[Transaction], request_id: str) -> list[_Answer]:
        """Everything up to the commit, without a pause: known payments from memory or log, new ones decided in order."""
        stored = self._log.find([transaction.transaction_id for transaction in transactions])
        new: dict[str, PredictionRecord] = {}
        known: dict[str, _Answer] = {}
        try:
            for transaction in transactions:
                key = transaction.transaction_id
                if key in new:
                    _require_same(body_digest(new[key].transaction), transaction)
                    self._metrics.replays.inc()
                elif (answer := self._known(transaction, stored)) is not None:
                    known[key] = answer
                    self._metrics.replays.inc()
                else:
                    self._rebuild_if_stale()
                    new[key] = self._decide(transaction, request_id)
        finally:  # also when a later payment is refused: the history has moved on for these
            commit = self._log_all(list(new.values()))
        return [known.get(t.transaction_id) or _Answer(t, new[t.transaction_id].prediction, commit) for t in transactions]

    def _known(self, transaction: Transaction, stored: Mapping[str, Stored]) -> _Answer | None:
        """The answer this transaction already has. Raises IdempotencyConflict when its id was given to another body."""
        pending = self._pending.get(transaction.transaction_id)
        if pending is not None:
            _require_same(body_digest(pending.transaction), transaction)
            return pending
        row = stored.get(transaction.transaction_id)
        if row is None:
            return None
        _require_same(row.body_digest, transaction)
        return _Answer(transaction, row.prediction, None)

    def _log_all(self, records: Sequence[PredictionRecord]) -> asyncio.Future[Refused]:
        commit = self._shared(self._log.submit(records))
        for record in records:
            self._pending[record.transaction.transaction_id] = _Answer(record.transaction, record.prediction, commit)
        commit.add_done_callback(partial(self._settle, records))
        return commit

    def _decide(self, transaction: Transaction, request_id: str) -> PredictionRecord:
        serving = self._slots.current()
        started = time.perf_counter()
        try:
            features = self._history.advance(
                card_id=transaction.card_id,
                terminal_id=transaction.terminal_id,
                event_time_s=event_seconds(transaction.event_time),
                amount_minor=transaction.amount_minor,
                channel=transaction.channel,
                category=transaction.category,
                latitude=transaction.latitude,
                longitude=transaction.longitude,
                device_id=transaction.device_id,
            )
            judged = judge_payment(serving, transaction.card_id, features, self._bench)
        except BadInput:
            raise  # refused before anything was remembered
        except Exception:
            self._stale = True  # the history has moved on for a payment that nobody will find in the log
            raise
        return PredictionRecord(
            transaction=transaction,
            features=features,
            score=judged.score,
            decision=judged.decision,
            reasons=judged.reasons,
            arm=judged.arm,
            model_version=judged.model_version,
            champion_version=serving.champion.version,
            champion_score=judged.champion_score,
            challenger_version=judged.challenger_version,
            challenger_score=judged.challenger_score,
            rollout_id=serving.plan.rollout_id,
            epoch=serving.plan.epoch,
            latency_us=round((time.perf_counter() - started) * 1e6),
            request_id=request_id,
        )

    def _bench(self, version: str, why: str) -> None:
        self._metrics.challenger_failures.inc()
        self._slots.bench(version, why)

    def _parties(self, transaction_id: str) -> tuple[str, str] | None:
        pending = self._pending.get(transaction_id)
        if pending is not None:
            return pending.transaction.card_id, pending.transaction.terminal_id
        return self._log.parties(transaction_id)

    def _report_once(self, label: Label, card_id: str, terminal_id: str) -> None:
        """A payment counts as reported once, at the first label that says fraud."""
        if label.transaction_id in self._reported or self._log.is_reported(label.transaction_id):
            return
        self._reported.add(label.transaction_id)
        self._history.report(card_id=card_id, terminal_id=terminal_id, report_time_s=event_seconds(label.report_time))

    async def _durable(self, answer: _Answer) -> Prediction:
        # Shielded: one caller who hangs up must not cancel the commit that others wait for.
        if answer.commit is not None and answer.transaction.transaction_id in await asyncio.shield(answer.commit):
            raise conflict()
        return answer.prediction

    def _shared(self, group: Future[Refused]) -> asyncio.Future[Refused]:
        """One asyncio future per group commit, however many requests wait for it."""
        if self._group is None or self._group[0] is not group:
            self._group = group, asyncio.wrap_future(group)
        return self._group[1]

    def _settle(self, records: Sequence[PredictionRecord], commit: asyncio.Future[Refused]) -> None:
        """The commit of some payments ended, whether or not their callers still wait."""
        failed = commit.cancelled() or commit.exception() is not None
        for record in records:
            del self._pending[record.transaction.transaction_id]
            if failed or record.transaction.transaction_id in commit.result():
                self._stale = True
            else:
                self._metrics.answered(record)

    def _settle_labels(self, labels: Sequence[Label], commit: asyncio.Future[Refused]) -> None:
        self._reported.difference_update(label.transaction_id for label in labels)
        if commit.cancelled() or commit.exception() is not None:
            self._stale = True
            return
        for label in labels:
            self._metrics.labels.labels(str(label.is_fraud).lower()).inc()

    def _rebuild_if_stale(self) -> None:
        if self._stale:
            self.rebuild()


def _require_same(digest: bytes, transaction: Transaction) -> None:
    if digest != body_digest(transaction):
        raise conflict()
