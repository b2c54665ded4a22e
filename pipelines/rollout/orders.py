"""What an operator orders of a rollout, from any process: an entry of the ledger, which the running controller reads at its next look.

    pause     stay in this step; the guardrails stay armed, and its time stands still
    resume    go on
    abort     all cards to the champion
    promote   all cards to the challenger, against or without the judge's verdict

The ledger keeps who gave an order and why, obeyed or not: one that comes too late changes nothing. `lab rollout` gives them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from data.errors import BadInput
from data.ledger import Entry, Ledger

Kind = Literal["pause", "resume", "abort", "promote"]


@dataclass(frozen=True)
class Order:
    """One order, at an event time."""

    at: datetime
    kind: Kind
    reason: str
    by: str

    def told(self) -> str:
        return f"{self.by}: {self.reason}" if self.reason else self.by


def give(ledger: Ledger, rollout_id: str, kind: Kind, *, reason: str, by: str, at: datetime) -> None:
    """Put an order into the ledger. Raises BadInput without a reason where one is owed (all but "resume")."""
    if kind != "resume" and not reason.strip():
        raise BadInput(f"To {kind} a rollout wants a reason: the ledger keeps it.", next_step='Give one: --reason "…".', where="reason")
    ledger.record("order", {"rollout_id": rollout_id, "order": kind, "reason": reason.strip(), "by": by}, at)


def read_orders(entries: Iterable[Entry], rollout_id: str) -> tuple[Order, ...]:
    """The orders given for one rollout, oldest first."""
    found = (entry for entry in entries if entry.kind == "order" and entry.facts["rollout_id"] == rollout_id)
    return tuple(Order(datetime.fromisoformat(e.at), e.facts["order"], e.facts["reason"], e.facts["by"]) for e in found)


def last_word(orders: Sequence[Order]) -> Order | None:
    """The newest order to end the rollout, or None."""
    return next((order for order in reversed(orders) if order.kind in ("abort", "promote")), None)


def standing_pause(orders: Sequence[Order]) -> Order | None:
    """The order to pause that no order to resume has followed, or None."""
    paused = None
    for order in orders:
        if order.kind == "pause":
            paused = paused or order
        elif order.kind == "resume":
            paused = None
    return paused


def time_paused(orders: Sequence[Order], since: datetime, until: datetime) -> timedelta:
    """How long the rollout stood paused by order between two moments."""
    total, began = timedelta(), None
    for order in orders:
        if order.kind == "pause" and began is None:
            began = order.at
        elif order.kind == "resume" and began is not None:
            total += _overlap(began, order.at, since, until)
            began = None
    return total if began is None else total + _overlap(began, until, since, until)


def _overlap(began: datetime, ended: datetime, since: datetime, until: datetime) -> timedelta:
    return max(min(ended, until) - max(began, since), timedelta())
