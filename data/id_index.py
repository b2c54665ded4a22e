"""Where in the prediction log an id is: an index beside the log, brought up to date behind it, and made anew when it is lost.

Ids come in no order. An index inside the log has a page of its own to write for nearly every payment, which made storing
one cost three times as much; sorted by the ten thousand and off the path of an answer, it costs next to nothing. What the index
does not hold yet is the log's end, whose ids are read into memory when somebody asks. Nothing is lost with this file.
Used by the log and by its writer.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

TOGETHER: Final = 16_384  # ids: fewer write the same pages more often, more hold the log's end in memory for longer
_AT_ONCE: Final = 2_000  # ids out of one query: a millisecond of holding the interpreter's lock
_log = logging.getLogger(__name__)


class IdIndex:
    """The places of ids in one log. Any thread may use it; the one process that writes the log also brings it up to date."""

    def __init__(self, log: Path, name: str) -> None:
        """`name` of the log: the index of another one at the same path is no use."""
        self._log = log
        self._path = log.with_suffix(".ids.db")
        self._name = name
        self._reader = self._open()
        self._asking = threading.Lock()
        self._recent: dict[str, int] = {}  # ids at the log's end
        self._read_to = self._indexed_to(self._reader)  # everything up to this place is in the index or in `_recent`
        self._closing = False

    def places(self, ids: Sequence[str]) -> dict[str, int]:
        """The places of those that the log holds. Raises sqlite3.Error when the disk cannot be read."""
        if not ids:
            return {}
        with self._asking:
            self._read_on()
            found = {name: self._recent[name] for name in ids if name in self._recent}
            rest = [name for name in ids if name not in found]
            for some in (rest[i : i + _AT_ONCE] for i in range(0, len(rest), _AT_ONCE)):
                room = 1 << (len(some) - 1).bit_length()  # few different lengths: their prepared statements are kept
                query = f"SELECT transaction_id, sequence FROM ids WHERE transaction_id IN ({', '.join('?' * room)})"
                found.update(self._reader.execute(query, [*some, *[None] * (room - len(some))]).fetchall())
        return found

    def all(self) -> Iterator[list[str]]:
        """Every id of the log, in portions. Raises sqlite3.Error."""
        with closing(self._open()) as connection:
            done = self._indexed_to(connection)
            rows = connection.execute(
                "SELECT transaction_id FROM ids UNION ALL SELECT transaction_id FROM log.predictions WHERE sequence > ?", (done,)
            )
            while some := rows.fetchmany(_AT_ONCE):
                yield [name for (name,) in some]

    def bring_up_to_date(self) -> None:
        """Take over what the log has beyond the index, in sorted portions, as long as they are whole."""
        try:
            with closing(self._open()) as connection:
                while not self._closing and self._take_over(connection):
                    pass
        except sqlite3.Error as error:  # who asks then reads more of the log, which is slower and will say the same
            _log.warning("the index of %s could not be brought up to date: %s", self._log.name, error)

    def close(self) -> None:
        """Let go of the file."""
        self._closing = True
        self._reader.close()

    def _read_on(self) -> None:
        """Bring in the ids that the log got since, and forget those that the index took over."""
        rows = self._reader.execute("SELECT transaction_id, sequence FROM log.predictions WHERE sequence > ?", (self._read_to,))
        while some := rows.fetchmany(_AT_ONCE):
            self._recent.update(some)
            self._read_to = some[-1][1]
        if len(self._recent) > 2 * TOGETHER:
            indexed = self._indexed_to(self._reader)
            self._recent = {name: place for name, place in self._recent.items() if place > indexed}

    def _take_over(self, connection: sqlite3.Connection) -> bool:
        """One portion; False when the log has no whole one left."""
        done = self._indexed_to(connection)
        query = "SELECT sequence FROM log.predictions WHERE sequence > ? ORDER BY sequence LIMIT 1 OFFSET ?"
        last = connection.execute(query, (done, TOGETHER - 1)).fetchone()
        if last is None:
            return False
        connection.execute("BEGIN")  # IMMEDIATE would lock the log too
        connection.execute(
            "INSERT OR IGNORE INTO ids SELECT transaction_id, sequence FROM log.predictions"
            " WHERE sequence > ? AND sequence <= ? ORDER BY transaction_id, sequence",
            (done, *last),
        )
        connection.execute("UPDATE facts SET value = ? WHERE name = 'indexed_to'", last)
        connection.execute("COMMIT")
        return True

    def _indexed_to(self, connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT value FROM facts WHERE name = 'indexed_to'").fetchone()[0])

    def _open(self) -> sqlite3.Connection:
        """The index of this very log, an empty one if need be."""
        try:
            connection = self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # the disk is at fault, not what is in the file
                raise
            self._remove()
            return self._connect()
        (of,) = connection.execute("SELECT value FROM facts WHERE name = 'log'").fetchone()
        indexed = self._indexed_to(connection)  # first this, then the log, which may be growing
        (last,) = connection.execute("SELECT coalesce(max(sequence), 0) FROM log.predictions").fetchone()
        if of == self._name and indexed <= last:
            return connection
        connection.close()
        self._remove()
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(
                "CREATE TABLE IF NOT EXISTS ids (transaction_id TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;"
            )
            facts = {"log": self._name, "indexed_to": 0}
            connection.executemany("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO NOTHING", facts.items())
            connection.execute("ATTACH ? AS log", (str(self._log),))
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
