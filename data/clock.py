"""The one source of "now". Decisions, windows and features read event time, never the wall clock."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Anything that knows the current time, in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The wall clock: for log lines and ledger entries made by people, not for decisions.

    One exception: the scoring service asks it whether a payment comes from the future (`services/scoring/horizon.py`).
    """

    def now(self) -> datetime:
        return datetime.now(UTC)


class EventClock:
    """Event time: "now" is the latest event seen, so sixty simulated days can pass in seconds."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def observe(self, event_time: datetime) -> None:
        """Move on to `event_time`; an older event leaves the clock where it is."""
        self._now = max(self._now, event_time)
