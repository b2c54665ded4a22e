"""The prediction log in Postgres: what a team has a backup of, and asks with SQL.

One scoring process writes it (`LAB_LOG_URL` without `LAB_STORE_URL`), or the archive of a shared log does (`data/archives.py`).
Tables and columns are those of the SQLite log. A commit returns when the bytes are on the server's disk (`synchronous_commit` is set).
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from data.errors import LogUnavailable
from data.features import FEATURE_SCHEMA_HASH
from data.group_commit import GroupCommit
from data.log_database import connect_postgres, in_our_words, in_postgres
from data.log_rows import STORED, label_row, prediction_row, read_record, read_stored
from data.log_writer import COLUMNS, FACTS, LABEL_COLUMNS, Row
from data.prediction_store import FraudReport, Payment, PredictionRecord, Stored, conflict
from data.schema import Label

if TYPE_CHECKING:
    import psycopg

_TYPES: Final = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "BLOB": "BYTEA"}
_OWNER: Final = 6_202_611  # of advisory locks, this and the next; any number that nobody else in this database uses
_TAKE_OVER_S: Final = 10.0  # what a process that ends may need to let go
_TOGETHER: Final = 5_000  # events read at once


class PostgresLog:
    """The log in one database. Any thread may use it; what is read takes turns on one connection. One process writes."""

    def __init__(self, url: str, *, owned: bool = False) -> None:
        """Connect, and make the tables where they are missing. Raises LogUnavailable, also for a log of another feature schema.

        An `owned` log is this process's to write: another owner is waited for, some seconds.
        """
        import psycopg

        self._line = Line(url)
        make_tables(self._line)
        self._url, self._owned = url, owned
        self._commit: GroupCommit[psycopg.Connection[Any], PredictionRecord | Label, frozenset[str]] = GroupCommit(
            self._connect, _store, "BEGIN", (psycopg.Error, OSError)
        )
        if owned:
            self.drain()  # the writer's connection holds the lock
            if error := self._commit.submit(()).exception():
                raise error

    def submit(self, entries: Sequence[PredictionRecord | Label]) -> "Future[frozenset[str]]":
        """Queue entries for the next group commit; see `PredictionLog.submit`."""
        return self._commit.submit(entries)

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
        """See `PredictionLog.add_earlier`."""
        with self._line.group() as line, line.cursor() as cursor:
            cursor.executemany("INSERT INTO earlier VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", payments)

    def find(self, transaction_ids: Sequence[str]) -> dict[str, Stored]:
        """The stored answers among some transactions, by id. Raises LogUnavailable."""
        rows = self._line.rows(f"SELECT {STORED} FROM predictions WHERE transaction_id = ANY(?)", list(transaction_ids))
        return {row[0]: read_stored(row) for row in rows}

    def logged(self, transaction_id: str) -> PredictionRecord | None:
        """All that was stored with one answer; None when there is none. Raises LogUnavailable."""
        rows = self._line.rows("SELECT * FROM predictions WHERE transaction_id = ?", transaction_id)
        return read_record(rows[0]) if rows else None

    def parties(self, transaction_id: str) -> tuple[str, str] | None:
        """(card_id, terminal_id) of a stored or an earlier payment, or None. Raises LogUnavailable."""
        for table in ("predictions", "earlier"):
            if rows := self._line.rows(f"SELECT card_id, terminal_id FROM {table} WHERE transaction_id = ?", transaction_id):
                return str(rows[0][0]), str(rows[0][1])
        return None

    def is_reported(self, transaction_id: str) -> bool:
        """Whether a label already says that this payment was fraud."""
        return bool(self._line.rows("SELECT 1 FROM labels WHERE transaction_id = ? AND is_fraud = 1 LIMIT 1", transaction_id))

    def events_since(self, sequence: int) -> Iterator[Payment | FraudReport]:
        """See `PredictionLog.events_since`."""
        while rows := self._line.rows(_EVENTS, sequence, sequence, _TOGETHER):
            for row in rows:
                yield Payment(*row[1:]) if row[0] else FraudReport(*row[1:5])
            sequence = rows[-1][1]

    def last_sequence(self) -> int:
        """The place of the last entry; 0 when the log is empty. Raises LogUnavailable."""
        return int(self._line.rows(_LAST)[0][0])

    def check_writable(self) -> None:
        """Write a mark, and from then on what is submitted. Raises LogUnavailable while the server is gone or its disk full."""
        with self._line.group() as line:
            line.execute("INSERT INTO facts VALUES ('checks', '1') ON CONFLICT (name) DO UPDATE SET value = facts.value::bigint + 1")
        self._commit.reopen()

    def drain(self) -> None:
        """Wait until everything submitted so far has been committed or refused."""
        self._commit.drain()

    def close(self) -> None:
        """Commit what is queued and let go of the server."""
        self._commit.close()
        self._line.close()

    def _connect(self) -> "psycopg.Connection[Any]":
        line = connect_postgres(self._url)
        if self._owned:
            end = time.monotonic() + _TAKE_OVER_S
            while line.execute("SELECT pg_try_advisory_lock(%s)", (_OWNER,)).fetchone() != (True,):
                if time.monotonic() > end:
                    line.close()
                    raise _unusable("another process writes it", "Stop that process, or name another database in LAB_LOG_URL.")
                time.sleep(0.05)
        return line


class Line:
    """One connection that several threads take turns on, made anew after the server was away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._turn = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query, its parameters written as `?`. Raises LogUnavailable."""
        with self._connected() as line:
            return line.execute(in_postgres(query), values).fetchall()

    @contextmanager
    def group(self) -> "Iterator[psycopg.Connection[Any]]":
        """One transaction, on the disk when it ends. Raises LogUnavailable: then nothing of it is there, or all, and it may be repeated."""
        with self._connected() as line, line.transaction():
            line.execute("SET LOCAL synchronous_commit = on")
            yield line

    def close(self) -> None:
        """Let go of the server."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()

    @contextmanager
    def _connected(self) -> "Iterator[psycopg.Connection[Any]]":
        with self._turn, in_our_words():
            if self._connection is None or self._connection.closed:
                self._connection = connect_postgres(self._url)
            yield self._connection


def make_tables(line: Line) -> None:
    """Where they are missing. Raises LogUnavailable for those of another feature schema."""
    with line.group() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_OWNER + 1,))  # two that start at once
        connection.execute(_TABLES)
        connection.execute("INSERT INTO facts VALUES ('feature_schema_hash', %s) ON CONFLICT DO NOTHING", (FEATURE_SCHEMA_HASH,))
        found = connection.execute("SELECT value FROM facts WHERE name = 'feature_schema_hash'").fetchone()
    if found != (FEATURE_SCHEMA_HASH,):
        raise _unusable("it was written with another feature schema", "Name an empty database in LAB_LOG_URL.")


def _store(line: "psycopg.Connection[Any]", entries: Sequence[PredictionRecord | Label]) -> frozenset[str]:
    """Give the new ones their places, in order; returns the ids that another body holds."""
    ids = [entry.transaction_id if isinstance(entry, Label) else entry.payment.transaction_id for entry in entries]
    held = {
        row[0]: (row[1], row[2:])
        for row in line.execute(f"SELECT transaction_id, sequence, {FACTS} FROM predictions WHERE transaction_id = ANY(%s)", (ids,))
    }
    known = set(line.execute("SELECT transaction_id, report_time_ms, is_fraud, source FROM labels WHERE transaction_id = ANY(%s)", (ids,)))
    places = count(int(line.execute(_LAST).fetchall()[0][0]) + 1)
    predictions: list[Row] = []
    labels: list[Row] = []
    refused = set()
    for entry in entries:
        if isinstance(entry, Label):
            row = label_row(entry)[1:]
            if row not in known:
                known.add(row)
                labels.append((next(places), *row, held.get(row[0], (None,))[0]))
            continue
        row = prediction_row(entry, ())[1:]
        body = row[1:11]
        if row[0] not in held:
            predictions.append((next(places), *row))
            held[row[0]] = (predictions[-1][0], body)
        elif held[row[0]][1] != body:
            refused.add(row[0])
    with line.cursor() as cursor:
        copy_in(cursor, "predictions", predictions)
        copy_in(cursor, "labels", labels)
    return frozenset(refused)


def copy_in(cursor: "psycopg.Cursor[Any]", table: str, rows: Sequence[Row]) -> None:
    """Insert whole rows, the fast way: one statement however many."""
    if rows:
        with cursor.copy(f"COPY {table} FROM STDIN") as into:
            for row in rows:
                into.write_row(row)


def _unusable(why: str, next_step: str) -> LogUnavailable:
    return LogUnavailable(f"The prediction log in Postgres cannot be used: {why}.", next_step=next_step, where="LAB_LOG_URL")


def _columns(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {' '.join(_TYPES.get(word, word) for word in kind.split())}" for name, kind in columns.items())


_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS predictions ({_columns(COLUMNS)}, UNIQUE (transaction_id));
CREATE INDEX IF NOT EXISTS predictions_by_time ON predictions (event_time_ms);
CREATE TABLE IF NOT EXISTS labels ({_columns(LABEL_COLUMNS)}, UNIQUE (transaction_id, report_time_ms, is_fraud, source));
CREATE TABLE IF NOT EXISTS earlier (transaction_id TEXT PRIMARY KEY, card_id TEXT NOT NULL, terminal_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS waiting (sequence BIGINT PRIMARY KEY, transaction_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_LAST: Final = "SELECT greatest((SELECT max(sequence) FROM predictions), (SELECT max(sequence) FROM labels), 0)"
_EVENTS: Final = """
SELECT 1, sequence, card_id, terminal_id, event_time_ms / 1000, amount_minor, channel, category, latitude, longitude, device_id
  FROM predictions WHERE sequence > ?
UNION ALL
SELECT 0, l.sequence, coalesce(p.card_id, e.card_id), coalesce(p.terminal_id, e.terminal_id), l.report_time_ms / 1000,
       0, '', '', NULL, NULL, NULL
  FROM labels l LEFT JOIN predictions p ON p.sequence = l.payment LEFT JOIN earlier e ON e.transaction_id = l.transaction_id
 WHERE l.is_fraud = 1 AND l.sequence > ?
   AND NOT EXISTS (SELECT 1 FROM labels f WHERE f.transaction_id = l.transaction_id AND f.is_fraud = 1 AND f.sequence < l.sequence)
ORDER BY 2 LIMIT ?
"""
