"""What writes the prediction log's file: rows in, one transaction a group, ids stored once. Imports next to nothing.

`PredictionLog` commits on a thread of its own process with it, or lets a process beside it do so (`data/log_process.py`).
A row is a flag, whether its id may be stored already, and then the columns of its table, from the second on.
"""

import sqlite3
import threading
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, Final, TypeAlias

from data.id_index import TOGETHER, IdIndex

Row: TypeAlias = tuple[Any, ...]
COLUMNS: Final = {
    "sequence": "INTEGER PRIMARY KEY",
    "transaction_id": "TEXT NOT NULL",
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
FACTS: Final = "event_time_ms, card_id, terminal_id, amount_minor, currency, channel, category, latitude, longitude, device_id"
LABEL_COLUMNS: Final = {
    "sequence": "INTEGER PRIMARY KEY",
    "transaction_id": "TEXT NOT NULL",
    "report_time_ms": "INTEGER NOT NULL",
    "is_fraud": "INTEGER NOT NULL",
    "source": "TEXT NOT NULL",
    "payment": "INTEGER",  # its place in predictions; NULL: one of before this log
}
_BODY: Final = slice(2, 12)  # of a row: the same as FACTS
_HELD: Final = f"SELECT {FACTS} FROM predictions WHERE sequence = ?"
_ONE_ROW: Final = f"({', '.join('?' * len(COLUMNS))})"
_INSERT_LABEL: Final = f"INSERT INTO labels VALUES ({', '.join('?' * len(LABEL_COLUMNS))}) ON CONFLICT DO NOTHING"
_MOST_ROWS: Final = 256  # in one statement


class LogWriter:
    """Writes one log. All methods belong to the thread that commits."""

    def __init__(self, path: Path, ids: IdIndex, *, synchronous: bool) -> None:
        """`ids` of this log; it is closed by whoever made it, before this."""
        self._path = path
        self._synchronous = synchronous
        self._ids = ids
        self._numbering: sqlite3.Connection | None = None  # the connection in whose groups `_places` are given
        self._places = count()
        self._not_indexed = TOGETHER  # an earlier run may have left many
        self._indexing: threading.Thread | None = None

    def connect(self) -> sqlite3.Connection:
        """A connection for `write`."""
        return connect(self._path, self._synchronous)

    def write(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> frozenset[str]:
        """Insert one group into an open transaction; returns the ids that another body holds already."""
        if connection is not self._numbering:  # the first one, or the one after a failed group
            self._numbering, self._places = connection, count(last_sequence(connection) + 1)
        if not rows:  # somebody asks whether the disk takes a write
            connection.execute("INSERT INTO facts VALUES ('checks', '1') ON CONFLICT DO UPDATE SET value = value + 1")
        placed = [(place, *row[1:]) for row, place in zip(rows, self._places, strict=False)]
        predictions = [row for row in placed if len(row) == len(COLUMNS)]
        labels = [row for row in placed if len(row) < len(LABEL_COLUMNS)]
        doubtful = {row[1] for row in rows if row[0]}
        new, refused = self._new(connection, predictions, doubtful) if doubtful else (predictions, frozenset())
        insert(connection, new)
        if labels:
            known = self._ids.places([row[1] for row in labels]) | {row[1]: row[0] for row in new}
            connection.executemany(_INSERT_LABEL, [(*row, known.get(row[1])) for row in labels])
        self._index_now_and_then(len(new))
        return refused

    def close(self) -> None:
        """Wait for the index, which stops after the portion that it is at."""
        if self._indexing is not None:
            self._indexing.join()

    def _new(self, connection: sqlite3.Connection, rows: list[Row], doubtful: set[str]) -> tuple[list[Row], frozenset[str]]:
        """The rows whose id is not stored, and the ids that hold another body."""
        held = {name: connection.execute(_HELD, (place,)).fetchone() for name, place in self._ids.places(list(doubtful)).items()}
        new, refused = [], set()
        for row in rows:
            body = row[_BODY]
            first = held.setdefault(row[1], body)
            if first is body:
                new.append(row)
            elif first != body:
                refused.add(row[1])
        return new, frozenset(refused)

    def _index_now_and_then(self, stored: int) -> None:
        """Beside us: it takes a sorted portion of ids 50 ms, all of it in SQLite, without the interpreter's lock."""
        self._not_indexed += stored
        if self._not_indexed >= TOGETHER and not (self._indexing is not None and self._indexing.is_alive()):
            self._not_indexed = 0
            self._indexing = threading.Thread(target=self._ids.bring_up_to_date, name="prediction log ids", daemon=True)
            self._indexing.start()


def connect(path: Path, synchronous: bool = True) -> sqlite3.Connection:
    """A connection to a log; a commit over a synchronous one is on the disk when it ends."""
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if synchronous else 'NORMAL'}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def last_sequence(connection: sqlite3.Connection) -> int:
    """The place of the last entry; 0 when the log is empty."""
    query = "SELECT max(coalesce((SELECT max(sequence) FROM predictions), 0), coalesce((SELECT max(sequence) FROM labels), 0))"
    return int(connection.execute(query).fetchone()[0])


def insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Insert rows; many in one statement, of few different lengths.

    With a statement per row, as `executemany` has it, the interpreter's lock is given up and fetched again for each: up
    to 5 ms every time while the service's own thread is busy.
    """
    done = 0
    while done < len(rows):
        length = min(_MOST_ROWS, 1 << ((len(rows) - done).bit_length() - 1))
        values = list(chain.from_iterable(rows[done : done + length]))
        connection.execute(f"INSERT INTO predictions VALUES {', '.join([_ONE_ROW] * length)}", values)
        done += length
