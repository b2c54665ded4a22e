"""Answers that were given while the shared store was away: on this machine's disk until the store has them.

One SQLite file for all processes of a home, so that they agree on an answer although nothing else is there to agree through: of
two to the same payment, the first stays. Only `services/scoring/shared_engine.py` uses it. Any thread may, one at a time.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from data.errors import LogUnavailable
from data.prediction_store import PredictionRecord
from data.valkey_codec import read_record, write_answer, write_payment

_TABLE: Final = "CREATE TABLE IF NOT EXISTS owed (transaction_id TEXT PRIMARY KEY, payment BLOB NOT NULL, answer BLOB NOT NULL)"
_WAIT_S: Final = 5.0  # for another process that is writing


class OwedAnswers:
    """Records under their transaction ids, in the order in which they were given."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises LogUnavailable."""
        self._path = path
        with self._reaching():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # an answer is only given when it is durable
            self._db.execute(_TABLE)

    def find(self, transaction_ids: Sequence[str]) -> dict[str, PredictionRecord]:
        """Those of these payments that were answered. Raises LogUnavailable."""
        with self._reaching():
            marks = ",".join("?" * len(transaction_ids))
            rows = self._db.execute(f"SELECT transaction_id, payment, answer FROM owed WHERE transaction_id IN ({marks})", transaction_ids)
            return {key: read_record(payment, answer) for key, payment, answer in rows}

    def keep(self, records: Sequence[PredictionRecord]) -> list[PredictionRecord]:
        """Durable when it returns. Each as it is kept: of a payment that was answered before, that answer. Raises LogUnavailable."""
        keys = [record.payment.transaction_id for record in records]
        rows = [(key, write_payment(record.payment), write_answer(record)) for key, record in zip(keys, records, strict=True)]
        with self._writing():
            self._db.executemany("INSERT OR IGNORE INTO owed VALUES (?, ?, ?)", rows)
        kept = self.find(keys)
        return [kept.get(key, record) for key, record in zip(keys, records, strict=True)]  # absent: a neighbour has paid it back already

    def first(self, count: int) -> list[PredictionRecord]:
        """The oldest. Raises LogUnavailable."""
        with self._reaching():
            return [read_record(*row) for row in self._db.execute("SELECT payment, answer FROM owed ORDER BY rowid LIMIT ?", (count,))]

    def forget(self, transaction_ids: Sequence[str]) -> None:
        """The store has these. Raises LogUnavailable."""
        with self._writing():
            self._db.executemany("DELETE FROM owed WHERE transaction_id = ?", [(key,) for key in transaction_ids])

    def count(self) -> int:
        """How many there are. Raises LogUnavailable."""
        with self._reaching():
            return int(self._db.execute("SELECT COUNT(*) FROM owed").fetchone()[0])

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One commit for all of it."""
        with self._reaching():
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                yield

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LogUnavailable(
                f"{self._path.name} did not take or give what it was asked ({type(error).__name__}), and the store is away.",
                next_step="Make room on the disk of LAB_HOME; send the same request again, it is safe to repeat.",
                where="LAB_HOME",
            ) from error
