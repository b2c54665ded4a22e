"""The prediction log: every answer and every label, durable before the caller hears of it, in order of arrival.

Payments and labels share one arrival sequence, so that replaying the log rebuilds the state behind the features
exactly. A transaction id is stored once: answered means stored, stored means answered the same way again. The
scoring service writes; monitoring, retraining and rollout read (`data/prediction_frames.py` gives them frames).

SQLite in WAL mode with `synchronous=FULL`: a commit returns after the bytes are on disk. Another store follows the
same `PredictionStore` and passes the same contract tests.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from data.errors import LogUnavailable
from data.features import FEATURE_SCHEMA_HASH
from data.group_commit import GroupCommit
from data.id_filter import SeenIds
from data.id_index import IdIndex
from data.log_process import ProcessCommit
from data.log_rows import STORED, label_row, prediction_row, read_record, read_stored
from data.log_writer import COLUMNS, LABEL_COLUMNS, LogWriter, Row, connect, last_sequence
from data.prediction_store import FraudReport, Payment, PredictionRecord, Stored, conflict
from data.schema import Label


class PredictionLog:
    """The log in one SQLite file. Any thread may submit; the reading methods belong to one thread. One process writes."""

    def __init__(self, path: Path, *, synchronous: bool = True, owned: bool = False) -> None:
        """Open or make the file. Raises LogUnavailable when it cannot be used.

        Without `synchronous` a process beside this one writes, and does not wait for the disk: a kill of this process loses
        nothing that was submitted, a power cut may. An `owned` log is this process's to write: what another one still
        has to write is waited for first.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if owned:
            _wait_for_lock(self._lock, path)
        try:
            with closing(connect(path)) as connection, connection:
                name = _prepare(connection, path)
            self._reader = connect(path)
            self._ids = IdIndex(path, name)
            self._own = None if not synchronous else LogWriter(path, self._ids, synchronous=True)
        except sqlite3.Error as error:
            raise unusable(path, str(error)) from error
        self._seen = SeenIds(self._ids.all)
        self._commit: GroupCommit[sqlite3.Connection, Row, frozenset[str]] | ProcessCommit = (
            GroupCommit(self._own.connect, self._own.write) if self._own else ProcessCommit(path, name, self._lock)
        )

    def submit(self, entries: Sequence[PredictionRecord | Label]) -> Future[frozenset[str]]:
        """Queue entries, in order, for the next group commit.

        The future ends when they are stored, with the ids of the group that were refused because another body is
        stored under them; an id stored with the same body, or a label already there, is silently the same entry.
        It raises LogUnavailable when the group could not be committed: then none of it is stored, nor anything
        submitted later, until `check_writable` finds the disk well again: what was decided after a payment that got
        lost counted it.
        """
        doubtful = self._seen.remember([entry.payment.transaction_id for entry in entries if not isinstance(entry, Label)])
        return self._commit.submit([label_row(entry) if isinstance(entry, Label) else prediction_row(entry, doubtful) for entry in entries])

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Store and wait. Raises IdempotencyConflict, LogUnavailable."""
        self._commit.reopen()
        refused = self.submit(records).result()
        if any(record.payment.transaction_id in refused for record in records):
            raise conflict()

    def add_labels(self, labels: Sequence[Label]) -> None:
        """Store labels of logged payments and wait. Raises LogUnavailable."""
        self._commit.reopen()
        self.submit(labels).result()

    def add_earlier(self, payments: Iterable[tuple[str, str, str]]) -> None:
        """Make known which card paid where before this log began: (transaction_id, card_id, terminal_id) each.

        Labels are late: for weeks after a service takes over, most of them are about payments that it never scored.
        With these it can still count their frauds in the features, as training does. Raises LogUnavailable.
        """
        try:
            with closing(connect(self.path)) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO earlier VALUES (?, ?, ?) ON CONFLICT DO NOTHING", payments)
        except sqlite3.Error as error:
            raise unusable(self.path, str(error)) from error

    def find(self, transaction_ids: Sequence[str]) -> dict[str, Stored]:
        """The stored answers among some transactions, by id. Raises LogUnavailable."""
        try:
            places = self._ids.places(self._seen.maybe(transaction_ids))
            rows = chain.from_iterable(self._reader.execute(_FIND, (place,)) for place in places.values())
            return {row[0]: read_stored(row) for row in rows}
        except sqlite3.Error as error:
            raise unusable(self.path, str(error)) from error

    def logged(self, transaction_id: str) -> PredictionRecord | None:
        """All that was stored with one answer, its event time in whole milliseconds; None when there is none. Raises LogUnavailable."""
        row = self._payment("*", transaction_id)
        return read_record(row) if row else None

    def parties(self, transaction_id: str) -> tuple[str, str] | None:
        """(card_id, terminal_id) of a stored or an earlier payment, or None. Raises LogUnavailable."""
        row = self._payment("card_id, terminal_id", transaction_id)
        row = row or self._one("SELECT card_id, terminal_id FROM earlier WHERE transaction_id = ?", transaction_id)
        return (str(row[0]), str(row[1])) if row else None

    def is_reported(self, transaction_id: str) -> bool:
        """Whether a label already says that this payment was fraud."""
        return self._one("SELECT 1 FROM labels WHERE transaction_id = ? AND is_fraud = 1", transaction_id) is not None

    def events_since(self, sequence: int) -> Iterator[Payment | FraudReport]:
        """Payments and fraud reports after `sequence`, in order of arrival: what rebuilds the features' state.

        A payment counts as reported once, when the first label that says fraud arrives.
        """
        for row in self._reader.execute(_EVENTS, (sequence, sequence)):
            yield Payment(*row[1:]) if row[0] else FraudReport(*row[1:5])

    def last_sequence(self) -> int:
        """The place of the last entry; 0 when the log is empty."""
        return last_sequence(self._reader)

    def check_writable(self) -> None:
        """Commit a mark, and from then on what is submitted. Raises LogUnavailable while the disk is full or failing."""
        self._commit.reopen()
        self._commit.submit(()).result()

    def drain(self) -> None:
        """Wait until everything submitted so far has been committed or refused."""
        self._commit.drain()

    def close(self) -> None:
        """Commit what is queued and let go of the file."""
        self._seen.close()
        self._commit.close()
        self._ids.close()
        if self._own is not None:
            self._own.close()
        os.close(self._lock)
        self._reader.close()

    def _payment(self, columns: str, transaction_id: str) -> tuple[Any, ...] | None:
        try:
            place = self._ids.places([transaction_id]).get(transaction_id)
        except sqlite3.Error as error:
            raise unusable(self.path, str(error)) from error
        return None if place is None else self._one(f"SELECT {columns} FROM predictions WHERE sequence = ?", place)

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._reader.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise unusable(self.path, str(error)) from error
        return row


_FIND: Final = f"SELECT {STORED} FROM predictions WHERE sequence = ?"
_TAKE_OVER_S: Final = 10.0  # what a process that ends may need to store the rest
# An id is stored once, and found, by the index beside this file (data/id_index.py).
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS predictions ({", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())}) STRICT;
CREATE INDEX IF NOT EXISTS predictions_by_time ON predictions (event_time_ms);
CREATE TABLE IF NOT EXISTS labels ({", ".join(f"{name} {kind}" for name, kind in LABEL_COLUMNS.items())},
    UNIQUE (transaction_id, report_time_ms, is_fraud, source)) STRICT;
CREATE TABLE IF NOT EXISTS earlier (
    transaction_id TEXT PRIMARY KEY, card_id TEXT NOT NULL, terminal_id TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_EVENTS: Final = """
SELECT 1, sequence, card_id, terminal_id, event_time_ms / 1000, amount_minor, channel, category, latitude, longitude, device_id
  FROM predictions WHERE sequence > ?
UNION ALL
SELECT 0, l.sequence, coalesce(p.card_id, e.card_id), coalesce(p.terminal_id, e.terminal_id), l.report_time_ms / 1000,
       0, '', '', NULL, NULL, NULL
  FROM labels l LEFT JOIN predictions p ON p.sequence = l.payment LEFT JOIN earlier e ON e.transaction_id = l.transaction_id
 WHERE l.is_fraud = 1 AND l.sequence > ?
   AND NOT EXISTS (SELECT 1 FROM labels f WHERE f.transaction_id = l.transaction_id AND f.is_fraud = 1 AND f.sequence < l.sequence)
ORDER BY 2
"""


def _wait_for_lock(descriptor: int, path: Path) -> None:
    """A lock of the open file: whoever inherits the descriptor holds it too, until the last of them ends. Raises LogUnavailable."""
    end = time.monotonic() + _TAKE_OVER_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise unusable(path, "another process writes it") from error
            time.sleep(0.01)
        else:
            return


def _prepare(connection: sqlite3.Connection, path: Path) -> str:
    """Make the tables where they are missing; returns the name that this log got when it was made."""
    connection.executescript(_TABLES)
    made = {"feature_schema_hash": FEATURE_SCHEMA_HASH, "name": uuid4().hex}
    connection.executemany("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO NOTHING", made.items())
    facts = dict(connection.execute("SELECT name, value FROM facts"))
    columns = [[name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")] for table in ("predictions", "labels")]
    if facts["feature_schema_hash"] != FEATURE_SCHEMA_HASH or columns != [list(COLUMNS), list(LABEL_COLUMNS)]:
        raise unusable(path, "it was written with another feature schema or other columns")
    return str(facts["name"])


def unusable(path: Path, why: str) -> LogUnavailable:
    """A log's file that does not do what it was asked."""
    return LogUnavailable(
        f"{path.name} cannot be used: {why}.",
        next_step="Check the disk and the file's owner; `lab down` and moving the file away starts an empty log.",
        where=path.name,
    )
