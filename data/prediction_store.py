"""The words of the prediction log, and what a log promises whatever stores it.

`data/prediction_log.py` keeps it in SQLite; another implementation passes the same contract tests.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from data.errors import IdempotencyConflict
from data.schema import Arm, Decision, Label, Transaction, event_milliseconds, moment_of


class Answer(NamedTuple):
    """What the caller gets: a `data.schema.Prediction`, as a plain tuple with a JSON of its own."""

    transaction_id: str
    score: float
    decision: Decision
    reasons: tuple[str, ...]
    model_version: str
    arm: Arm

    def json(self) -> str:
        """The answer as JSON. Written out, as every request pays for it; tokens, codes and versions hold nothing to escape."""
        reasons = ",".join([f'"{code}"' for code in self.reasons])
        return (
            f'{{"transaction_id":"{self.transaction_id}","score":{self.score!r},"decision":"{self.decision}","reasons":[{reasons}],'
            f'"model_version":"{self.model_version}","arm":"{self.arm}"}}'
        )


class PaymentFacts(NamedTuple):
    """What a transaction says, as plain values: equal for the same payment sent again, however its JSON is ordered, spaced or zoned.

    A message is turned into these once; features, log and metrics take them from there.
    """

    transaction_id: str
    event_time_ms: int  # since 1970
    card_id: str
    terminal_id: str
    amount_minor: int
    currency: str
    channel: str
    category: str
    latitude: float | None
    longitude: float | None
    device_id: str | None

    @property
    def event_time(self) -> datetime:
        return moment_of(self.event_time_ms)


class PredictionRecord(NamedTuple):
    """One payment, what was seen of it, and what was answered. A tuple: one is made for every request."""

    payment: PaymentFacts
    features: NDArray[np.float64]  # (FEATURE_COUNT,), as the models saw them
    score: float  # of the arm that answered
    decision: Decision
    reasons: tuple[str, ...]
    arm: Arm
    model_version: str
    champion_version: str
    champion_score: float
    challenger_version: str | None = None
    challenger_score: float | None = None  # None: no challenger, or it failed on this payment; infinite: it gave no probability
    rollout_id: str = ""
    epoch: int = 0
    latency_us: int = 0  # from decoded body to decision, without the commit
    request_id: str = ""

    @property
    def answer(self) -> Answer:
        return Answer(self.payment.transaction_id, self.score, self.decision, self.reasons, self.model_version, self.arm)


class Stored(NamedTuple):
    """What the log holds under one transaction id."""

    payment: PaymentFacts  # that was answered
    answer: Answer


class Payment(NamedTuple):
    """A logged payment, as the state behind the features takes it."""

    sequence: int
    card_id: str
    terminal_id: str
    event_time_s: int
    amount_minor: int
    channel: str
    category: str
    latitude: float | None
    longitude: float | None
    device_id: str | None


class FraudReport(NamedTuple):
    """The first label that says a logged payment was fraud."""

    sequence: int
    card_id: str
    terminal_id: str
    report_time_s: int


class PredictionStore(Protocol):
    """What a prediction log promises, whatever stores it."""

    def submit(self, entries: "Sequence[PredictionRecord | Label]") -> "Future[frozenset[str]]": ...
    def append(self, records: Sequence[PredictionRecord]) -> None: ...
    def add_labels(self, labels: Sequence[Label]) -> None: ...
    def add_earlier(self, payments: Iterable[tuple[str, str, str]]) -> None: ...
    def find(self, transaction_ids: Sequence[str]) -> dict[str, Stored]: ...
    def logged(self, transaction_id: str) -> PredictionRecord | None: ...
    def parties(self, transaction_id: str) -> tuple[str, str] | None: ...
    def is_reported(self, transaction_id: str) -> bool: ...
    def events_since(self, sequence: int) -> Iterator[Payment | FraudReport]: ...
    def last_sequence(self) -> int: ...
    def check_writable(self) -> None: ...
    def drain(self) -> None: ...
    def close(self) -> None: ...


def payment_facts(transaction: Transaction) -> PaymentFacts:
    """What a transaction says."""
    t = transaction
    return PaymentFacts(
        t.transaction_id, event_milliseconds(t.event_time), t.card_id, t.terminal_id, t.amount_minor, t.currency, t.channel, t.category,
        t.latitude, t.longitude, t.device_id,
    )  # fmt: skip


def conflict() -> IdempotencyConflict:
    """The refusal of a transaction id that is already stored with another body."""
    return IdempotencyConflict(
        "This transaction_id was already answered for another body.",
        next_step="Send the original body again, or give the new payment its own id.",
        where="transaction_id",
    )
