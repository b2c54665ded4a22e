"""The prediction log: every answer and every label, durable before the caller hears of it, in order of arrival.

Payments and labels share one arrival sequence, so that replaying the log rebuilds the state behind the features
exactly. A transaction id is stored once: answered means stored, stored means answered the same way again. The
scoring service writes; monitoring, retraining and rollout read (`data/prediction_frames.py` gives them frames).

SQLite in WAL mode with `synchronous=FULL`: a commit returns after the bytes are on disk. Another store follows the
same `PredictionStore` and passes the same contract tests.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

import numpy as np

from data.errors import LogUnavailable
from data.features import FEATURE_SCHEMA_HASH
from data.group_commit import GroupCommit
from data.id_filter import IdFilter
from data.prediction_store import Answer, FraudReport, Payment, PredictionRecord, Stored, conflict, payment_facts
from data.schema import Label, Transaction, event_milliseconds

_log = logging.getLogger(__name__)


class PredictionLog:
    """The log in one SQLite file. Any thread may submit; the reading methods belong to one thread."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises LogUnavailable when it cannot be used."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(_connect(path)) as connection, connection:
                _prepare(connection, path)
            self._reader = _connect(path)
        except sqlite3.Error as error:
            raise _unusable(path, str(error)) from error
        self._ids = IdFilter()
        self._loader: threading.Thread | None = None  # brings the ids of earlier runs into the filter
        self._loaded, self._closing = threading.Event(), threading.Event()
        self._writer: GroupCommit[PredictionRecord | Label, frozenset[str]] = GroupCommit(lambda: _connect(path), _write, "prediction log")

    def submit(self, entries: Sequence[PredictionRecord | Label]) -> Future[frozenset[str]]:
        """Queue entries, in order, for the next group commit.

        The future ends when they are durable, with the ids of the group that were refused because another body is
        stored under them; an id stored with the same body, or a label already there, is silently the same entry.
        It raises LogUnavailable when the group could not be committed: then none of it is stored, nor anything
        submitted later, until `check_writable` finds the disk well again: what was decided after a payment that got
        lost counted it.
        """
        self._ids.add([entry.transaction.transaction_id for entry in entries if not isinstance(entry, Label)])
        return self._writer.submit(entries)

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Store and wait. Raises IdempotencyConflict, LogUnavailable."""
        self._writer.reopen()
        refused = self.submit(records).result()
        if any(record.transaction.transaction_id in refused for record in records):
            raise conflict()

    def add_labels(self, labels: Sequence[Label]) -> None:
        """Store labels of logged payments and wait. Raises LogUnavailable."""
        self._writer.reopen()
        self.submit(labels).result()

    def add_earlier(self, payments: Iterable[tuple[str, str, str]]) -> None:
        """Make known which card paid where before this log began: (transaction_id, card_id, terminal_id) each.

        Labels are late: for weeks after a service takes over, most of them are about payments that it never scored.
        With these it can still count their frauds in the features, as training does. Raises LogUnavailable.
        """
        try:
            with closing(_connect(self.path)) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO earlier VALUES (?, ?, ?) ON CONFLICT DO NOTHING", payments)
        except sqlite3.Error as error:
            raise _unusable(self.path, str(error)) from error

    def find(self, transaction_ids: Sequence[str]) -> dict[str, Stored]:
        """The stored answers among some transactions, by id. Raises LogUnavailable."""
        if self._knows_all_ids():
            transaction_ids = self._ids.maybe(transaction_ids)
            if not transaction_ids:
                return {}
        room = 1 << max(0, len(transaction_ids) - 1).bit_length()  # few different lengths: their prepared statements are kept
        query = f"{_FIND} IN ({', '.join('?' * room)})"
        keys = [*transaction_ids, *[None] * (room - len(transaction_ids))]
        try:
            rows = self._reader.execute(query, keys).fetchall()
        except sqlite3.Error as error:
            raise _unusable(self.path, str(error)) from error
        return {row[0]: _stored(row) for row in rows}

    def logged(self, transaction_id: str) -> PredictionRecord | None:
        """All that was stored with one answer, its event time in whole milliseconds; None when there is none. Raises LogUnavailable."""
        row = self._one("SELECT * FROM predictions WHERE transaction_id = ?", transaction_id)
        return _record(row) if row else None

    def parties(self, transaction_id: str) -> tuple[str, str] | None:
        """(card_id, terminal_id) of a stored or an earlier payment, or None."""
        row = self._one(
            "SELECT card_id, terminal_id FROM predictions WHERE transaction_id = ?"
            " UNION ALL SELECT card_id, terminal_id FROM earlier WHERE transaction_id = ?",
            transaction_id,
            transaction_id,
        )
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
        return _last_sequence(self._reader)

    def check_writable(self) -> None:
        """Commit a mark, and from then on what is submitted. Raises LogUnavailable while the disk is full or failing."""
        self._writer.reopen()
        self._writer.submit(()).result()

    def drain(self) -> None:
        """Wait until everything submitted so far has been committed or refused."""
        self._writer.drain()

    def close(self) -> None:
        """Commit what is queued and let go of the file."""
        self._closing.set()
        if self._loader is not None:
            self._loader.join()
        self._writer.close()
        self._reader.close()

    def _knows_all_ids(self) -> bool:
        """Whether the filter holds every stored id. The first who asks has those of earlier runs brought in, meanwhile."""
        if self._loader is None:
            self._loader = threading.Thread(target=self._load_ids, name="prediction log ids", daemon=True)
            self._loader.start()
        return self._loaded.is_set()

    def _load_ids(self) -> None:
        try:
            with closing(_connect(self.path)) as connection:
                rows = connection.execute("SELECT transaction_id FROM predictions")
                while (some := rows.fetchmany(_IDS_AT_ONCE)) and not self._closing.is_set():
                    self._ids.add([key for (key,) in some])
        except sqlite3.Error as error:  # every question then goes to the file, which is slower and will say the same
            _log.warning("the ids of %s could not be read: %s", self.path.name, error)
            return
        if not self._closing.is_set():
            self._loaded.set()

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._reader.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise _unusable(self.path, str(error)) from error
        return row


def _stored(row: tuple[Any, ...]) -> Stored:
    key, score, decision, reasons, version, arm, *facts = row
    return Stored(tuple(facts), Answer(key, score, decision, tuple(json.loads(reasons)), version, arm))


def _record(row: tuple[Any, ...]) -> PredictionRecord:
    facts = dict(zip(_COLUMNS, row, strict=True))
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=facts.pop("event_time_ms"))
    said = {name: facts.pop(name) for name in list(facts) if name in Transaction.model_fields}
    del facts["sequence"]
    facts["features"] = np.frombuffer(facts["features"], dtype="<f8").astype(np.float64)
    facts["reasons"] = tuple(json.loads(facts["reasons"]))
    return PredictionRecord(Transaction.model_construct(event_time=moment, **said), **facts)  # checked before it was stored


_COLUMNS: Final = {
    "sequence": "INTEGER PRIMARY KEY",
    "transaction_id": "TEXT NOT NULL UNIQUE",
    "event_time_ms": "INTEGER NOT NULL",
    "card_id": "TEXT NOT NULL",
    "terminal_id": "TEXT NOT NULL",
    "amount_minor": "INTEGER NOT NULL",
    "currency": "TEXT NOT NULL",
    "channel": "TEXT NOT NULL",
    "category": "TEXT NOT NULL",
    "latitude": "REAL",
    "longitude": "REAL",
    "device_id": "TEXT",
    "features": "BLOB NOT NULL",  # float64, little-endian, in the order of FEATURES
    "score": "REAL NOT NULL",
    "decision": "TEXT NOT NULL",
    "reasons": "TEXT NOT NULL",
    "arm": "TEXT NOT NULL",
    "model_version": "TEXT NOT NULL",
    "champion_version": "TEXT NOT NULL",
    "champion_score": "REAL NOT NULL",
    "challenger_version": "TEXT",
    "challenger_score": "REAL",
    "rollout_id": "TEXT NOT NULL",
    "epoch": "INTEGER NOT NULL",
    "latency_us": "INTEGER NOT NULL",
    "request_id": "TEXT NOT NULL",
}
_FACTS: Final = "event_time_ms, card_id, terminal_id, amount_minor, currency, channel, category, latitude, longitude, device_id"
_FIND: Final = f"SELECT transaction_id, score, decision, reasons, model_version, arm, {_FACTS} FROM predictions WHERE transaction_id"
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS predictions ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())}) STRICT;
CREATE INDEX IF NOT EXISTS predictions_by_time ON predictions (event_time_ms);
CREATE TABLE IF NOT EXISTS labels (
    sequence INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL, report_time_ms INTEGER NOT NULL,
    is_fraud INTEGER NOT NULL, source TEXT NOT NULL, UNIQUE (transaction_id, report_time_ms, is_fraud, source)) STRICT;
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
  FROM labels l LEFT JOIN predictions p USING (transaction_id) LEFT JOIN earlier e USING (transaction_id)
 WHERE l.is_fraud = 1 AND l.sequence > ?
   AND NOT EXISTS (SELECT 1 FROM labels f WHERE f.transaction_id = l.transaction_id AND f.is_fraud = 1 AND f.sequence < l.sequence)
ORDER BY 2
"""
_ONE_ROW: Final = f"({', '.join('?' * len(_COLUMNS))})"
_IDS_AT_ONCE: Final = 2_000  # a millisecond of holding the interpreter's lock
_MOST_ROWS: Final = 256  # in one statement
_INSERT_LABEL: Final = "INSERT INTO labels VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.executescript(_TABLES)
    connection.execute("INSERT INTO facts VALUES ('feature_schema_hash', ?) ON CONFLICT DO NOTHING", (FEATURE_SCHEMA_HASH,))
    (found,) = connection.execute("SELECT value FROM facts WHERE name = 'feature_schema_hash'").fetchone()
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(predictions)")]
    if found != FEATURE_SCHEMA_HASH or columns != list(_COLUMNS):
        raise _unusable(path, "it was written with another feature schema or other columns")


def _last_sequence(connection: sqlite3.Connection) -> int:
    query = "SELECT max(coalesce((SELECT max(sequence) FROM predictions), 0), coalesce((SELECT max(sequence) FROM labels), 0))"
    return int(connection.execute(query).fetchone()[0])


def _write(connection: sqlite3.Connection, entries: Sequence[PredictionRecord | Label]) -> frozenset[str]:
    """Insert one group; returns the ids that another body holds already."""
    sequence = count(_last_sequence(connection) + 1)
    predictions, labels = [], []
    for place, entry in zip(sequence, entries, strict=False):
        if isinstance(entry, Label):
            labels.append((place, *_label_row(entry)))
        else:
            predictions.append(_prediction_row(place, entry))
    if not entries:  # somebody asks whether the disk takes a write
        connection.execute("INSERT INTO facts VALUES ('checks', '1') ON CONFLICT DO UPDATE SET value = value + 1")
    connection.executemany(_INSERT_LABEL, labels)
    if _insert(connection, predictions) == len(predictions):
        return frozenset()
    held = f"SELECT {_FACTS} FROM predictions WHERE transaction_id = ?"
    answered = ((str(row[1]), row[2:12], connection.execute(held, (row[1],)).fetchone()) for row in predictions)
    return frozenset(key for key, given, stored in answered if given != stored)


def _insert(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> int:
    """Insert rows whose id is new; returns how many were. Many rows go in one statement, of few different lengths.

    With a statement per row, as `executemany` has it, the interpreter's lock is given up and fetched again for each: up
    to 5 ms every time while the service's own thread is busy.
    """
    stored = done = 0
    while done < len(rows):
        length = min(_MOST_ROWS, 1 << ((len(rows) - done).bit_length() - 1))
        values = list(chain.from_iterable(rows[done : done + length]))
        statement = f"INSERT INTO predictions VALUES {', '.join([_ONE_ROW] * length)} ON CONFLICT (transaction_id) DO NOTHING"
        stored += connection.execute(statement, values).rowcount
        done += length
    return stored


def _prediction_row(sequence: int, record: PredictionRecord) -> tuple[object, ...]:
    transaction, features, score, decision, reasons, *rest = record
    return (
        sequence, transaction.transaction_id, *payment_facts(transaction), features.astype("<f8", copy=False).tobytes(), score, decision,
        json.dumps(reasons) if reasons else "[]", *rest,
    )  # fmt: skip


def _label_row(label: Label) -> tuple[str, int, int, str]:
    return label.transaction_id, event_milliseconds(label.report_time), int(label.is_fraud), label.source


def _unusable(path: Path, why: str) -> LogUnavailable:
    return LogUnavailable(
        f"{path.name} cannot be used: {why}.",
        next_step="Check the disk and the file's owner; `lab down` and moving the file away starts an empty log.",
        where=path.name,
    )
