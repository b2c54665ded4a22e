"""Answers that were given while the shared store was away, and are owed to it. Only `services/scoring/shared_engine.py` uses it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from data.owed_answers import OwedAnswers
from data.prediction_store import PaymentFacts, PredictionRecord
from data.shared_log import Outcome
from services.scoring.metrics import Metrics
from services.scoring.scorer import Pay, require_same

TOGETHER: Final = 500  # handed to the store in one exchange

Hand: TypeAlias = Callable[[Sequence[PaymentFacts], Sequence[PredictionRecord]], Awaitable[tuple[list[Outcome], list[Outcome]]]]


class Judged(NamedTuple):
    """An answer that is not stored yet."""

    record: PredictionRecord
    asked: Pay


class Debts:
    """Belongs to the event loop's thread; the disk is written beside it."""

    def __init__(self, owed: OwedAnswers, metrics: Metrics) -> None:
        self._owed = owed
        self._metrics = metrics
        self._may_be_some = True  # another life of this process, or one beside it, may have left them

    def count(self) -> int:
        """Answers that the store does not hold."""
        return self._owed.count() if self._may_be_some else 0

    async def check(self) -> None:
        """Raises LogUnavailable when no answer could be kept now."""
        await asyncio.to_thread(self._owed.keep, [])

    async def end_known(self, payments: Sequence[Pay]) -> list[Pay]:
        """Give those that were answered without the store before the same answer again; returns the others. Raises LogUnavailable."""
        known = await asyncio.to_thread(self._owed.find, [asked.entry.transaction_id for asked in payments])
        for asked in payments:
            if record := known.get(asked.entry.transaction_id):
                self._metrics.replays.inc()
                _end(asked, record)
        return [asked for asked in payments if not asked.ended]

    async def take(self, answers: Sequence[Judged]) -> None:
        """Keep these, then give them. Raises LogUnavailable."""
        self._may_be_some = True
        kept = await asyncio.to_thread(self._owed.keep, [record for record, _ in answers])
        for (_, asked), record in zip(answers, kept, strict=True):
            self._metrics.answered(record)
            self._metrics.answered_alone.inc()
            _end(asked, record)

    async def pay(self, hand: Hand) -> None:
        """Hand all to the store: each payment gets its place, and keeps the answer that was given. Raises what `hand` does."""
        while self._may_be_some:
            some = await asyncio.to_thread(self._owed.first, TOGETHER)
            if some:
                _, stored = await hand([record.payment for record in some], some)
                self._metrics.contradicted.inc(sum(map(_differs, some, stored)))
                await asyncio.to_thread(self._owed.forget, [record.payment.transaction_id for record in some])
            self._may_be_some = bool(some)

    def close(self) -> None:
        """Let go of the disk."""
        self._owed.close()


def _end(asked: Pay, record: PredictionRecord) -> None:
    try:
        require_same(record.payment, asked.entry)
    except Exception as error:
        asked.fail(error)
    else:
        asked.end(record.answer)


def _differs(record: PredictionRecord, stored: Outcome) -> bool:
    """Whether the store keeps another answer, given before it went away or by a process on another machine, or another payment."""
    return stored.kind == "refused" or (stored.answer is not None and stored.answer != record.answer)
