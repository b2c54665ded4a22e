"""One writer thread that commits whatever has gathered while the last commit was under way.

A commit that survives a power cut costs one disk sync, 0.1 to 30 ms; paid per group instead of per row, it is
affordable on the request path. Callers share one future per group. Only `data/prediction_log.py` uses it.

A group that fails takes those behind it with it: they were made by callers who believed in it. Nothing is committed
from then on until somebody who has put that right says so with `reopen`.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from data.errors import LogUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Items go in, in order; each group becomes one transaction, wholly durable or not there at all."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], write: Callable[[sqlite3.Connection, Sequence[Item]], Result], name: str
    ) -> None:
        """`write` runs inside an open transaction, on the writer thread."""
        self._connect = connect
        self._write = write
        self._name = name
        self._connection: sqlite3.Connection | None = None
        self._items: list[Item] = []
        self._outcome: Future[Result] = Future()
        self._wanted = self._closing = False
        self._failed = ""  # why a group failed, while none is committed for it
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"{name}-writer", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item]) -> Future[Result]:
        """Queue items, kept together and in order. The future ends after their commit, or raises LogUnavailable."""
        with self._changed:
            if self._closing:
                raise _unavailable(self._name, "it is closed")
            self._items.extend(items)
            self._wanted = True
            self._changed.notify()
            return self._outcome

    def reopen(self) -> None:
        """Commit again after a failed group, once what is queued has been refused with it. Does nothing when none failed."""
        if self._failed:
            self.drain()
            self._failed = ""

    def drain(self) -> None:
        """Wait until everything submitted so far has been committed or refused."""
        self.submit(()).exception()

    def close(self) -> None:
        """Commit what is queued, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._wanted)
                if not self._wanted:
                    break
                items, outcome = self._items, self._outcome
                self._items, self._outcome, self._wanted = [], Future(), False
            if self._failed:
                outcome.set_exception(_unavailable(self._name, self._failed))
                continue
            try:
                result = self._commit(items)
            except Exception as error:  # whatever it is, it belongs to the callers who wait for this group
                self._failed = str(error) or type(error).__name__
                self._disconnect()  # after an I/O error the connection's state is unknown
                is_storage = isinstance(error, sqlite3.Error | OSError)
                outcome.set_exception(_unavailable(self._name, str(error)) if is_storage else error)
            else:
                outcome.set_result(result)
        self._disconnect()

    def _commit(self, items: Sequence[Item]) -> Result:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.execute("BEGIN IMMEDIATE")
        result = self._write(self._connection, items)
        self._connection.execute("COMMIT")
        return result

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()  # rolls an open transaction back


def _unavailable(name: str, why: str) -> LogUnavailable:
    return LogUnavailable(
        f"The {name} could not be written ({why}), so nothing was answered.",
        next_step="Free disk space or mend the disk; send the same request again, it is safe to repeat.",
        where=name,
    )
