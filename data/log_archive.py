"""A shared log copied, in its own order, to where windows of it can be read: what monitoring, rollouts and retraining look at.

Several scoring processes agree on one order in Valkey (`data/shared_log.py`), which holds it in memory and cannot be asked for a
window. The archive takes it over behind them, whole batches or nothing, each entry at the place that it has in the shared log: killed
at any point it goes on where it was, and nothing is lost or doubled. A payment that nobody has answered yet waits: it is
remembered, and comes in at its place once it is. `services/archive.py` runs `copy`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from data.prediction_store import PredictionRecord
from data.schema import Label
from data.shared_log import LogIdentity, OtherLog

AT_ONCE: Final = 1_000  # entries of the shared log


class Waiting(NamedTuple):
    """A payment that was accepted and not answered yet."""

    sequence: int
    transaction_id: str


class Reported(NamedTuple):
    """A label, and the place of its payment (None: one of before the log)."""

    sequence: int
    label: Label
    payment: int | None


class Portion(NamedTuple):
    """A stretch of the shared log, with the answers there are by now."""

    position: int  # of its last entry
    waiting: list[Waiting]
    labels: list[Reported]


class SharedSource(Protocol):
    """The part of `data.valkey_log.ValkeyLog` that is copied."""

    def identity(self) -> LogIdentity: ...
    def portion_after(self, position: int, count: int) -> Portion: ...
    def answers_to(self, payments: Sequence[Waiting]) -> dict[int, PredictionRecord]: ...
    def last_sequence(self) -> int: ...


class Archive(Protocol):
    """Where the copy goes."""

    def begin(self, log: str) -> str:
        """The name of the log that is archived here: `log`, unless it was another before."""
        ...

    def position(self) -> int:
        """The place in the shared log up to which everything was seen."""
        ...

    def waiting(self) -> list[Waiting]:
        """Payments up to there that had no answer."""
        ...

    def take(self, position: int, answered: dict[int, PredictionRecord], waiting: Sequence[Waiting], labels: Sequence[Reported]) -> None:
        """Add these at their places, note that only `waiting` still wait and that all is seen up to `position`: all of it or nothing."""
        ...

    def close(self) -> None: ...


def begin(log: SharedSource, archive: Archive) -> None:
    """Before the first `copy`. Raises OtherLog when the archive holds another log: its places would be mixed with this one's."""
    if archive.begin(log.identity().name) != log.identity().name:
        raise OtherLog(
            "The archive holds another log than the store at LAB_STORE_URL: the store was emptied, or is another one.",
            next_step="Bring the store's file back, or move the archive away and start an empty one.",
            where="LAB_STORE_URL",
        )


def copy(log: SharedSource, archive: Archive) -> int:
    """Take over the next entries; returns how many there were. Raises LogUnavailable, after which the same call goes on."""
    before, still = archive.position(), archive.waiting()
    portion = log.portion_after(before, AT_ONCE)
    asked = [*still, *portion.waiting]
    answered = log.answers_to(asked)
    if answered or portion.position > before:
        archive.take(portion.position, answered, [each for each in asked if each.sequence not in answered], portion.labels)
    return portion.position - before
