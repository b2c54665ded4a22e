"""Entries on their way to the disk together, and the requests that wait for them."""

import asyncio
from collections.abc import Callable

from data.prediction_store import PredictionRecord
from data.schema import Label

Entry = PredictionRecord | Label
Refused = frozenset[str]  # ids of a group that the log holds with another body


class Commit:
    """One group of the prediction log, as the event loop sees it: what gathered in one turn of the loop."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._waiters: list[Callable[[], object]] = []
        self._outcome: Refused | BaseException | None = None

    def then(self, work: Callable[[], object]) -> None:
        """Do this when the group has been committed, or has failed."""
        self._waiters.append(work)

    def result(self) -> Refused:
        """The ids that were refused; all others are durable. Only for a group that has ended. Raises LogUnavailable."""
        assert self._outcome is not None
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    async def ended(self) -> None:
        """Wait for the end. Each caller waits on a future of its own: one who hangs up cancels nobody else's."""
        if self._outcome is None:
            waiter = asyncio.get_running_loop().create_future()
            self.then(lambda: None if waiter.done() else waiter.set_result(None))
            await waiter

    async def refused(self) -> Refused:
        """`result`, waited for."""
        await self.ended()
        return self.result()

    def end(self, outcome: Refused | BaseException) -> None:
        """Wake everybody who waits.

        Neither they nor the log's own future are kept: they hold on to this group, and only the garbage collector
        would part what holds on to each other.
        """
        self._outcome = outcome
        waiters, self._waiters = self._waiters, []
        for work in waiters:
            work()
