"""The archives of a shared log (`data/log_archive.py` says what one promises): a SQLite file, or Postgres."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from data.log_archive import Archive, Reported, Waiting
from data.log_database import LogPlace, in_postgres
from data.log_rows import label_row, prediction_row
from data.log_writer import LABEL_COLUMNS, connect, insert
from data.postgres_log import Line, copy_in, make_tables
from data.prediction_log import PredictionLog, unusable
from data.prediction_store import PredictionRecord


def open_archive(place: LogPlace) -> Archive:
    """The archive at this place, made if need be. Raises LogUnavailable."""
    return PostgresArchive(place) if isinstance(place, str) else SqliteArchive(place)


class SqliteArchive:
    """In a SQLite file, as a scoring process alone would have written it: `predictions.db` in LAB_HOME. One process writes."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises LogUnavailable, as `take` does."""
        PredictionLog(path, synchronous=True).close()  # makes its tables, or refuses the file
        self._path = path
        self._connection = connect(path)
        self._connection.executescript(_WAITING)

    def begin(self, log: str) -> str:
        self._connection.execute(_OF_LOG, (log,))
        return str(self._connection.execute(_WHICH_LOG).fetchone()[0])

    def position(self) -> int:
        row = self._connection.execute("SELECT value FROM facts WHERE name = 'archived_to'").fetchone()
        return int(row[0]) if row else 0

    def waiting(self) -> list[Waiting]:
        return [Waiting(*row) for row in self._connection.execute("SELECT sequence, transaction_id FROM waiting ORDER BY sequence")]

    def take(self, position: int, answered: dict[int, PredictionRecord], waiting: Sequence[Waiting], labels: Sequence[Reported]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            insert(self._connection, [(place, *prediction_row(record, ())[1:]) for place, record in answered.items()])
            rows = [(each.sequence, *label_row(each.label)[1:], each.payment) for each in labels]
            self._connection.executemany(f"INSERT INTO labels VALUES ({', '.join('?' * len(LABEL_COLUMNS))})", rows)
            self._connection.execute("DELETE FROM waiting")
            self._connection.executemany("INSERT INTO waiting VALUES (?, ?)", waiting)
            self._connection.execute(_SEEN_TO, (str(position),))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise unusable(self._path, str(error)) from error

    def close(self) -> None:
        self._connection.close()


class PostgresArchive:
    """In a database, as `PostgresLog` would have written it. One process writes."""

    def __init__(self, url: str) -> None:
        """Connect, and make the tables where they are missing. Raises LogUnavailable, as all methods do."""
        self._line = Line(url)
        make_tables(self._line)

    def begin(self, log: str) -> str:
        with self._line.group() as line:
            line.execute(in_postgres(_OF_LOG), (log,))
        return str(self._line.rows(_WHICH_LOG)[0][0])

    def position(self) -> int:
        rows = self._line.rows("SELECT value FROM facts WHERE name = 'archived_to'")
        return int(rows[0][0]) if rows else 0

    def waiting(self) -> list[Waiting]:
        return [Waiting(*row) for row in self._line.rows("SELECT sequence, transaction_id FROM waiting ORDER BY sequence")]

    def take(self, position: int, answered: dict[int, PredictionRecord], waiting: Sequence[Waiting], labels: Sequence[Reported]) -> None:
        with self._line.group() as line, line.cursor() as cursor:
            copy_in(cursor, "predictions", [(place, *prediction_row(record, ())[1:]) for place, record in answered.items()])
            copy_in(cursor, "labels", [(each.sequence, *label_row(each.label)[1:], each.payment) for each in labels])
            cursor.execute("DELETE FROM waiting")
            cursor.executemany("INSERT INTO waiting VALUES (%s, %s)", waiting)
            cursor.execute(in_postgres(_SEEN_TO), (str(position),))

    def close(self) -> None:
        self._line.close()


_WAITING: Final = "CREATE TABLE IF NOT EXISTS waiting (sequence INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL) STRICT"
_SEEN_TO: Final = "INSERT INTO facts VALUES ('archived_to', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_OF_LOG: Final = "INSERT INTO facts VALUES ('archived_log', ?) ON CONFLICT DO NOTHING"
_WHICH_LOG: Final = "SELECT value FROM facts WHERE name = 'archived_log'"
