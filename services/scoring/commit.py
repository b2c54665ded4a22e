"""Entries on their way to the disk together, and those who wait for them."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from data.prediction_store import PredictionRecord
from data.schema import Label
from services.scoring.scorer import Pay

Entry = PredictionRecord | Label
Refused: TypeAlias = frozenset[str]  # ids of a group that the log holds with another body


class Commit:
    """One group of the prediction log, as the event loop sees it: what gathered in one turn of the loop."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []  # all of it, in order of arrival
        self.answers: list[tuple[Pay, PredictionRecord]] = []
        self.labels: list[Label] = []
        self._waiters: list[asyncio.Future[None]] = []

    def add(self, asked: Pay, record: PredictionRecord) -> None:
        """Let a payment's answer be stored with this group."""
        self.entries.append(record)
        self.answers.append((asked, record))

    def add_labels(self, labels: Sequence[Label]) -> asyncio.Future[None]:
        """Let labels be stored with this group; the future ends with it. Each caller has its own: who hangs up cancels nobody else's."""
        self.entries += labels
        self.labels += labels
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def end(self, error: BaseException | None) -> None:
        """The group is stored, or it is not: tell those who wait for their labels."""
        for waiter in self._waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
