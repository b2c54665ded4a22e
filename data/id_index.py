"""Where in the prediction log an id is: an index beside the log, brought up to date behind it, and made anew when it is lost.

Ids come in no order. An index inside the log has a page of its own to write for nearly every payment, which made storing
one cost three times as much; sorted by the ten thousand and off the path of an answer, it costs next to nothing. What the index
does not hold yet is the log's end, whose ids are read into memory when somebody asks. Nothing is lost with this file.
Only `data/prediction_log.py` uses it.
"""

import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from data.id_filter import IdFilter

TOGETHER: Final = 16_384  # ids: fewer write the same pages more often, more hold the log's end in memory for longer
_AT_ONCE: Final = 2_000  # ids out of one query: a millisecond of holding the interpreter's lock
_log = logging.getLogger(__name__)


class IdIndex:
    """The places of ids in one log. Any thread may ask; the one process that writes the log also calls `remember` and `stored`."""

    def __init__(self, log: Path, name: str) -> None:
        """`name` of the log: the index of another one at the same path is no use."""
        self._log = log
        self._path = log.with_suffix(".ids.db")
        self._name = name
        self._reader = self._open()
        self._asking = threading.Lock()
        self._recent: dict[str, int] = {}  # ids at the log's end
        self._read_to = self._indexed_to(self._reader)  # everything up to this place is in the index or in `_recent`
        self._filter = IdFilter()
        self._all_in_filter = False
        self._not_indexed = 0
        self._follower: threading.Thread | None = None
        self._wanted, self._closing = threading.Event(), threading.Event()

    def places(self, ids: Sequence[str]) -> dict[str, int]:
        """The places of those that the log holds. Raises sqlite3.Error when the disk cannot be read."""
        if self._all_in_filter:
            ids = self._filter.maybe(ids)
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

    def remember(self, ids: Sequence[str]) -> list[str]:
        """These are about to be stored; returns those among them that may be stored already, or that come twice."""
        if self._follower is None:
            self._follower = threading.Thread(target=self._follow, name="prediction log ids", daemon=True)
            self._follower.start()
        doubtful = self._filter.maybe(ids) if self._all_in_filter else list(ids)
        if len(set(ids)) < len(ids):
            doubtful = list(ids)
        self._filter.add(ids)
        return doubtful

    def stored(self, count: int) -> None:
        """So many more are in the log: now and then, bring the index up to date beside us."""
        self._not_indexed += count
        if self._not_indexed >= TOGETHER:
            self._not_indexed = 0
            self._wanted.set()

    def close(self) -> None:
        """Let go of the file."""
        self._closing.set()
        self._wanted.set()
        follower = self._follower
        if follower is not None:
            follower.join()
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

    def _follow(self) -> None:
        """The life of a thread: all ids into the filter once, then the index up to date whenever it is wanted."""
        try:
            with closing(self._open()) as connection:
                self._index(connection)
                self._fill_filter(connection)
                while not self._closing.is_set():
                    self._wanted.wait()
                    self._wanted.clear()
                    self._index(connection)
        except sqlite3.Error as error:  # who asks then reads more of the log, which is slower and will say the same
            _log.warning("the index of %s could not be brought up to date: %s", self._log.name, error)
            self._follower = None  # the next payment tries again

    def _index(self, connection: sqlite3.Connection) -> None:
        """Take over what the log has beyond the index, in sorted portions, as long as they are whole."""
        while not self._closing.is_set():
            done = self._indexed_to(connection)
            query = "SELECT sequence FROM log.predictions WHERE sequence > ? ORDER BY sequence LIMIT 1 OFFSET ?"
            last = connection.execute(query, (done, TOGETHER - 1)).fetchone()
            if last is None:
                return
            connection.execute("BEGIN")  # IMMEDIATE would lock the log too
            connection.execute(
                "INSERT OR IGNORE INTO ids SELECT transaction_id, sequence FROM log.predictions"
                " WHERE sequence > ? AND sequence <= ? ORDER BY transaction_id, sequence",
                (done, *last),
            )
            connection.execute("UPDATE facts SET value = ? WHERE name = 'indexed_to'", last)
            connection.execute("COMMIT")

    def _fill_filter(self, connection: sqlite3.Connection) -> None:
        done = self._indexed_to(connection)
        for query, values in (
            ("SELECT transaction_id FROM ids", ()),
            ("SELECT transaction_id FROM log.predictions WHERE sequence > ?", (done,)),
        ):
            rows = connection.execute(query, values)
            while some := rows.fetchmany(_AT_ONCE):
                if self._closing.is_set():
                    return
                self._filter.add([name for (name,) in some])
        self._all_in_filter = True

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
