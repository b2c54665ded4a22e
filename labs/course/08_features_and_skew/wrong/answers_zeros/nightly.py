"""The same totals from two parts: what a nightly job adds up for the whole day, and what only the payment itself can decide.

For terminals alone: a card's month is some thirty payments, which are counted as quickly as a second table is asked.
"""

import sqlite3

import online
from online import DAY_S, HOUR_S

WEEK_S, MONTH_S = online.WINDOWS_S[2:]
TIME_TO_LIVE_S = DAY_S
_SOME = "(SELECT count(*) FROM payments WHERE terminal = :name AND at > :{} AND at <= :{})"
_PARTS = (("hour", "until"), ("day", "until"), ("midnight", "until"), ("week", "week_end"), ("month", "month_end"))
_QUERY = f"SELECT {', '.join(_SOME.format(*part) for part in _PARTS)}"


def nightly(store: sqlite3.Connection, midnight: int) -> None:
    """Count, for each terminal, what is in a window of every payment of the day that begins at `midnight`.

    The window of the day's last payment begins a day later than that of its first: what is younger is in both.
    """
    store.execute("CREATE TABLE IF NOT EXISTS night (terminal TEXT PRIMARY KEY, midnight INTEGER, week INTEGER, month INTEGER)")
    store.execute(
        "INSERT OR REPLACE INTO night SELECT terminal, ?, count(*) FILTER (WHERE at > ?), count(*)"
        " FROM payments WHERE at > ? AND at < ? GROUP BY terminal",
        (midnight, midnight - WEEK_S + DAY_S, midnight - MONTH_S + DAY_S, midnight),
    )


def totals(store: sqlite3.Connection, card: str, terminal: str, at: int, mark: str) -> list[int]:
    """As `online.totals`, to the last cent. A row of the job counts for one day; older, or missing, it must not be used."""
    until = min(at, online.complete_until(mark))
    night = store.execute("SELECT midnight, week, month FROM night WHERE terminal = ?", (terminal,)).fetchone()
    fresh = night is not None and 0 <= at - night[0] < TIME_TO_LIVE_S
    if night is not None and not fresh:
        return [0] * 12
    of_terminal = _of_terminal(store, terminal, at, until, *night) if fresh else online.of_terminal(store, terminal, at, until)
    return [*online.of_card(store, card, at, until), *of_terminal]


def _of_terminal(store: sqlite3.Connection, terminal: str, at: int, until: int, midnight: int, week: int, month: int) -> list[int]:
    """The job's counts, with what the day has added and what has left a window since."""
    edges = {"week": at - WEEK_S, "week_end": midnight - WEEK_S + DAY_S, "month": at - MONTH_S, "month_end": midnight - MONTH_S + DAY_S}
    moments = {"hour": at - HOUR_S, "day": at - DAY_S, "midnight": midnight - 1, "until": until}
    hour, day, today, oldest_week, oldest_month = store.execute(_QUERY, {"name": terminal, **moments, **edges}).fetchone()
    return [hour, day, oldest_week + week + today, oldest_month + month + today]
