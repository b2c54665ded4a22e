"""Where the prediction log can be read: a SQLite file, or a Postgres database with the same tables. Imports psycopg for Postgres only.

`data/prediction_frames.py` reads windows of it, whoever wrote it: the scoring process itself (`data/prediction_log.py`,
`data/postgres_log.py`), or the archive of a log that several processes share (`data/log_archive.py`).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from data.errors import LogUnavailable, MissingFile

if TYPE_CHECKING:
    import psycopg

LogPlace: TypeAlias = Path | str  # a SQLite file, or postgresql://…
CONNECT_TIMEOUT_S: Final = 5


def read(place: LogPlace, query: str, values: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """The rows of a query, its parameters written as `?`. Raises MissingFile for no log, LogUnavailable for a database that is away."""
    if isinstance(place, str):
        with closing(connect_postgres(place)) as connection, in_our_words():
            return connection.execute(in_postgres(query), values).fetchall()
    if not place.exists():
        raise MissingFile(
            f"There is no prediction log at {place.name}.", next_step="Start the service with `lab up` and send payments.", where=place.name
        )
    with closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True)) as file:
        return file.execute(query, values).fetchall()


def connect_postgres(url: str) -> "psycopg.Connection[Any]":
    """A connection that commits each statement by itself. Raises LogUnavailable."""
    import psycopg

    with in_our_words():
        # Said here, as a server made without a locale would give text as bytes.
        how: dict[str, Any] = {"client_encoding": "utf8", "connect_timeout": CONNECT_TIMEOUT_S, "application_name": "fraudlab"}
        return psycopg.connect(url, autocommit=True, **how)


def in_postgres(query: str) -> Any:
    """SQL as SQLite has it, its parameters as psycopg wants them. Any: psycopg takes only literals for statements, against injection."""
    return query.replace("?", "%s")


@contextmanager
def in_our_words() -> Iterator[None]:
    """Whatever goes wrong between us and Postgres. Its message may hold the address with the password: it stays in the cause."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise LogUnavailable(
            f"The prediction log's database did not do what it was asked ({type(error).__name__}).",
            next_step="Start or mend Postgres (LAB_LOG_URL); what was sent may be sent again.",
            where="LAB_LOG_URL",
        ) from error
