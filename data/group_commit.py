"""Commit items to a database in groups, each group wholly or not at all. For the prediction logs and the process that may write one.

`GroupCommit`: a thread commits whatever has gathered while the last commit was under way. A commit that survives a power
cut costs one disk sync, 0.1 to 30 ms; paid per group instead of per row, it is affordable on the request path.
`DirectCommit`: the caller's own thread commits.

A group that fails takes those behind it with it: they were made by callers who believed in it. Nothing is committed
from then on until somebody who has put that right says so with `reopen`.
"""

import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from data.errors import LogUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class Connection(Protocol):
    """Of SQLite or Postgres, as far as a group needs one; it begins and ends no transaction by itself."""

    def execute(self, query: Any, /) -> Any: ...
    def close(self) -> None: ...


Line = TypeVar("Line", bound=Connection)


class Committer(ABC, Generic[Line, Item, Result]):
    """Items go in, in order; each group becomes one transaction, wholly stored or not there at all. Any thread may call it."""

    def __init__(
        self,
        connect: Callable[[], Line],
        write: Callable[[Line, Sequence[Item]], Result],
        begin: str = "BEGIN IMMEDIATE",
        failures: tuple[type[Exception], ...] = (sqlite3.Error, OSError),
    ) -> None:
        """`write` runs inside the transaction that `begin` opens; `failures` are those of the database, which LogUnavailable words."""
        self._connect = connect
        self._write = write
        self._begin = begin
        self._failures = failures
        self._connection: Line | None = None
        self._failed = ""  # why a group failed, while none is committed for it

    @abstractmethod
    def submit(self, items: Sequence[Item]) -> Future[Result]:
        """Items, kept together and in order. The future ends after their commit, or raises LogUnavailable."""

    @abstractmethod
    def close(self) -> None:
        """Commit what is queued, and let go of the file."""

    def reopen(self) -> None:
        """Commit again after a failed group, once what is queued has been refused with it. Does nothing when none failed."""
        if self._failed:
            self.drain()
            self._failed = ""

    def drain(self) -> None:
        """Wait until everything submitted so far has been committed or refused."""
        self.submit(()).exception()

    def _settle(self, items: Sequence[Item], outcome: Future[Result]) -> None:
        """Commit a group, or refuse it."""
        if self._failed:
            outcome.set_exception(unavailable(self._failed))
            return
        try:
            result = self._commit(items)
        except Exception as error:  # whatever it is, it belongs to the callers who wait for this group
            self._failed = str(error) or type(error).__name__
            self._disconnect()  # after an I/O error the connection's state is unknown
            is_storage = isinstance(error, self._failures)
            outcome.set_exception(unavailable(str(error)) if is_storage else error)
        else:
            outcome.set_result(result)

    def _commit(self, items: Sequence[Item]) -> Result:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.execute(self._begin)
        result = self._write(self._connection, items)
        self._connection.execute("COMMIT")
        return result

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()  # rolls an open transaction back


class GroupCommit(Committer[Line, Item, Result]):
    """One writer thread; callers share one future per group."""

    def __init__(self, connect: Callable[[], Line], write: Callable[[Line, Sequence[Item]], Result], *how: Any) -> None:
        super().__init__(connect, write, *how)
        self._items: list[Item] = []
        self._outcome: Future[Result] = Future()
        self._wanted = self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="prediction log writer", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item]) -> Future[Result]:
        with self._changed:
            if self._closing:
                raise unavailable("it is closed")
            self._items.extend(items)
            self._wanted = True
            self._changed.notify()
            return self._outcome

    def close(self) -> None:
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
            self._settle(items, outcome)
        self._disconnect()


class DirectCommit(Committer[Line, Item, Result]):
    """The caller's thread; each call is a group."""

    def __init__(self, connect: Callable[[], Line], write: Callable[[Line, Sequence[Item]], Result], *how: Any) -> None:
        super().__init__(connect, write, *how)
        self._one_at_a_time = threading.Lock()
        self._closed = False

    def submit(self, items: Sequence[Item]) -> Future[Result]:
        outcome: Future[Result] = Future()
        with self._one_at_a_time:
            if self._closed:
                raise unavailable("it is closed")
            self._settle(items, outcome)
        return outcome

    def close(self) -> None:
        with self._one_at_a_time:
            self._closed = True
            self._disconnect()


def unavailable(why: str) -> LogUnavailable:
    """The refusal of a group that is not stored."""
    return LogUnavailable(
        f"The prediction log could not be written ({why}), so nothing was answered.",
        next_step="Free disk space or mend the disk; send the same request again, it is safe to repeat.",
        where="prediction log",
    )
