"""What somebody asked of an engine, and what becomes of it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)
Entry = TypeVar("Entry")
Result = TypeVar("Result")


class Asked(Generic[Entry, Result]):
    """One entry on its way into the log: any number of callers may wait for its end."""

    __slots__ = ("_error", "_result", "_waiters", "ended", "entry", "request_id")

    def __init__(self, entry: Entry, request_id: str = "") -> None:
        self.entry = entry
        self.request_id = request_id
        self.ended = False
        self._result: Result | None = None
        self._error: Exception | None = None
        self._waiters: list[Callable[[], object]] = []

    def then(self, work: Callable[[], object]) -> None:
        """Do this at the end; now, if that has come."""
        if self.ended:
            work()
        else:
            self._waiters.append(work)

    def result(self) -> Result:
        """What it came to; only after the end. Raises what went wrong."""
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    async def wait(self) -> Result:
        """`result`, waited for. One who hangs up cancels nobody else's wait."""
        if not self.ended:
            waiter = asyncio.get_running_loop().create_future()
            self.then(lambda: None if waiter.done() else waiter.set_result(None))
            await waiter
        return self.result()

    def end(self, result: Result) -> None:
        """It came to this."""
        self._finish(result, None)

    def fail(self, error: Exception) -> None:
        """It went wrong; of two ends the first counts."""
        self._finish(None, error)

    def _finish(self, result: Result | None, error: Exception | None) -> None:
        if self.ended:
            return
        self.ended, self._result, self._error = True, result, error
        waiters, self._waiters = self._waiters, []  # they hold on to this; only the garbage collector would part the two
        for work in waiters:
            try:
                work()
            except Exception:  # of one who waits; the others wait for their own
                _log.exception("what follows an answer failed")
