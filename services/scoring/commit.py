"""Entries on their way to the disk together, and the requests that wait for them."""

import asyncio
from concurrent.futures import Future

from data.prediction_store import PredictionRecord
from data.schema import Label

Entry = PredictionRecord | Label
Refused = frozenset[str]  # ids of a group that the log holds with another body


class Commit:
    """One group of the prediction log, as the event loop sees it: what gathered in one turn of the loop."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._outcome: Future[Refused] | None = None

    async def refused(self) -> Refused:
        """The ids that were refused, once all others are durable. Raises LogUnavailable.

        Each caller waits on a future of its own: one who hangs up cancels nobody else's.
        """
        if self._outcome is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        assert self._outcome is not None  # set before the waiters are woken
        return self._outcome.result()

    def end(self, outcome: Future[Refused]) -> None:
        """Wake everybody who waits."""
        self._outcome = outcome
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
