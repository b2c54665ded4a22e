"""How several scoring processes share one log, and with it one history: the order is agreed first, then everybody computes.

A process hands a payment to the log before it knows any feature of it; the log gives it the next place in the one order
of arrival, and returns all that arrived since the process asked last. Every process advances a history of its own
by the same events in the same order, with the same compiled kernel, so all of them hold the same state to the last bit,
and the features of a payment are those of its place, whoever computes them. There is no state of a card to lose, to
double or to fight over: it is a function of the log. The answer follows in a second step; the first one stored stays, so a
process that dies between the steps leaves a payment that any other can answer.

This is ordering before execution, as in Calvin (Thomson and others, SIGMOD 2012) and Tango (Balakrishnan and others, SOSP
2013). It costs a copy of the history per process and a kernel call per payment of the others; storing cards and terminals as
values instead would write a busy terminal's weeks, some hundred kilobytes, for each of its payments.

`data/valkey_log.py` implements `SharedLog`; `services/scoring/shared_engine.py` uses it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from data.errors import LogUnavailable
from data.history import Payed
from data.prediction_store import Answer, FraudReport, PaymentFacts, PredictionRecord, PredictionStore
from data.schema import Label

# Transaction id, place in the order, and an event that the features see: a payment as the history takes it, or a report.
Arrival: TypeAlias = tuple[str, int, Payed | FraudReport]


class Outcome(NamedTuple):
    """What became of one entry.

    - a payment is `new`, `open` (accepted earlier at `sequence`, not answered yet), `answered`, or `refused`: another body has its id;
    - a Label is `new` (or was there already), or `refused`: nobody knows its payment;
    - a PredictionRecord is `new`, `answered` when another process was first, or `refused`: its payment was never accepted.
    """

    kind: Literal["new", "open", "answered", "refused"]
    sequence: int = 0
    answer: Answer | None = None


class Exchange(NamedTuple):
    """What one call brought."""

    outcomes: list[Outcome] | None  # of what was arriving; None: the caller was too far behind, nothing was taken, it asks again
    stored: list[Outcome]  # of the answers
    arrivals: list[Arrival]  # after the caller's position, in order, those of its own among them
    position: int  # of the last of them


class LogIdentity(NamedTuple):
    """Which log this is, and what its histories began with (None until the first payment)."""

    name: str
    origin: str | None


class OtherLog(LogUnavailable):
    """The log behind the address is not the one that this process follows: it was emptied, or began with another history."""


class SharedLog(PredictionStore, Protocol):
    """A prediction log whose order of arrival several processes agree on."""

    def identity(self) -> LogIdentity: ...

    async def exchange(
        self, identity: LogIdentity, position: int, arriving: Sequence[PaymentFacts | Label], answers: Sequence[PredictionRecord]
    ) -> Exchange:
        """Take everything durably, or nothing, and give what arrived since `position`. Raises StoreAway, OtherLog, LogUnavailable.

        `answers` are to payments that were accepted earlier, or are arriving. Repeating an exchange is safe: an id is accepted once,
        and its first answer stays.
        """
        ...

    async def aclose(self) -> None: ...
