"""What the routes need of whoever scores, and what all who score have in common.

`services/scoring/engine.py` scores for one process that owns its history and log; `services/scoring/shared_engine.py` for one of
several that share them.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.errors import UnknownTransaction
from data.history import Payed
from data.prediction_store import Answer, PaymentFacts, PredictionRecord, conflict
from data.schema import Label, Transaction
from services.scoring.asked import Asked
from services.scoring.decide import Judgement
from services.scoring.slots import Serving

Pay: TypeAlias = Asked[PaymentFacts, Answer]


class Receipt(NamedTuple):
    """What became of a list of labels."""

    accepted: int
    unknown: tuple[str, ...]  # transaction ids that were never scored here


class Scorer(Protocol):
    """Scores payments and takes labels in; belongs to the event loop's thread."""

    @property
    def is_full(self) -> bool:
        """Whether one more payment would wait too long, and is better refused."""
        ...

    @property
    def under_way(self) -> int: ...
    @property
    def log_lag(self) -> int: ...

    def begin(self, transaction: Transaction, request_id: str) -> Pay:
        """A payment on its way: what it comes to is the answer, or what `score` raises. May raise as `score` does at once."""
        ...

    async def score(self, transaction: Transaction, request_id: str = "") -> Answer: ...
    async def score_batch(self, transactions: Sequence[Transaction], request_id: str = "") -> list[Answer]: ...
    async def add_labels(self, labels: Sequence[Label]) -> Receipt: ...
    async def check(self) -> bool: ...
    def expect_history(self) -> None: ...
    async def stop(self) -> None: ...


def prediction_record(
    payment: PaymentFacts, features: NDArray[np.float64], judged: Judgement, serving: Serving, seconds: float, request_id: str
) -> PredictionRecord:
    """What the log keeps of one judged payment."""
    arm, version, score, decision, reasons, champion_score, challenger_version, challenger_score = judged
    plan = serving.plan
    return PredictionRecord(
        payment, features, score, decision, reasons, arm, version, serving.champion.version, champion_score, challenger_version,
        challenger_score, plan.rollout_id, plan.epoch, round(seconds * 1e6), request_id,
    )  # fmt: skip


def as_payed(payment: PaymentFacts) -> Payed:
    """What the history takes of a payment."""
    _, moment_ms, card, terminal, amount, _, channel, category, latitude, longitude, device = payment
    return card, terminal, moment_ms // 1000, amount, channel, category, latitude, longitude, device


def require_same(payment: PaymentFacts, other: PaymentFacts) -> None:
    """Raises IdempotencyConflict unless both say the same."""
    if payment != other:
        raise conflict()


def never_scored() -> UnknownTransaction:
    """The refusal of a single label whose payment nobody knows."""
    return UnknownTransaction(
        "No payment of this id was scored here.", next_step="Label payments that this service answered.", where="transaction_id"
    )
