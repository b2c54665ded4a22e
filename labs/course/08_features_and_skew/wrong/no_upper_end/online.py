"""The store of totals, as the platform team released it: each payment is remembered in SQLite, and totals are read before it is."""

import sqlite3
from datetime import UTC, datetime

HOUR_S, DAY_S = 3_600, 86_400
WINDOWS_S = (HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S)
_COUNTS = ", ".join(["count(*) FILTER (WHERE at > ?)"] * 4)
_CENTS = ", ".join(["coalesce(sum(cents) FILTER (WHERE at > ?), 0)"] * 4)


def create() -> sqlite3.Connection:
    """An empty store. `at`: seconds since 1970, UTC."""
    store = sqlite3.connect(":memory:")
    store.execute("CREATE TABLE payments (card TEXT, terminal TEXT, at INTEGER, cents INTEGER)")
    store.execute("CREATE INDEX by_card ON payments (card, at, cents)")
    store.execute("CREATE INDEX by_terminal ON payments (terminal, at)")
    return store


def remember(store: sqlite3.Connection, card: str, terminal: str, at: int, cents: int) -> None:
    """Take in a payment, once it was answered."""
    store.execute("INSERT INTO payments VALUES (?, ?, ?, ?)", (card, terminal, at, cents))


def complete_until(mark: str) -> int:
    """Up to when the stream is complete, in seconds since 1970. `mark` is the broker's, which writes UTC: 2026-03-13T10:31:07."""
    return int(datetime.fromisoformat(mark).replace(tzinfo=UTC).timestamp())


def totals(store: sqlite3.Connection, card: str, terminal: str, at: int, mark: str) -> list[int]:
    """For each of WINDOWS_S: payments of the card; then their cents; then payments at the terminal. Windows are (at - length, at].

    What is not complete yet is left out: half an hour of payments would look like a quiet hour.
    """
    until = complete_until(mark)
    return [*of_card(store, card, at, until), *of_terminal(store, terminal, at, until)]


def of_card(store: sqlite3.Connection, card: str, at: int, until: int) -> tuple[int, ...]:
    """Four counts and four sums of cents."""
    after = [at - length for length in WINDOWS_S]
    query = f"SELECT {_COUNTS}, {_CENTS} FROM payments WHERE card = ? AND at > ? AND at <= ?"
    found: tuple[int, ...] = store.execute(query, (*after, *after, card, after[-1], until)).fetchone()
    return found


def of_terminal(store: sqlite3.Connection, terminal: str, at: int, until: int) -> tuple[int, ...]:
    """Four counts."""
    after = [at - length for length in WINDOWS_S]
    query = f"SELECT {_COUNTS} FROM payments WHERE terminal = ? AND at > ? AND at <= ?"
    found: tuple[int, ...] = store.execute(query, (*after, terminal, after[-1], until)).fetchone()
    return found
