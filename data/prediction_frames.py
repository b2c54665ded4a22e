"""Windows of the prediction log as frames, for monitoring, retraining and rollout. Readers of their own; they never block the writer.

A window is a span of event time, [start, end). Rows come in order of arrival. `place` is a file or a database (`data/log_database.py`).
"""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.features import FEATURE_COUNT, FEATURES
from data.log_database import LogPlace, read
from data.reasons import RANDOM_APPROVE, STORE_AWAY
from data.schema import LABEL_COLUMNS, TRANSACTION_COLUMNS, event_milliseconds

if TYPE_CHECKING:  # pandas is heavy; the scoring service imports this package's neighbours
    import pandas as pd

ANSWER_COLUMNS: Final[dict[str, str]] = {
    "score": "float64",
    "decision": "category",
    "arm": "category",
    "model_version": "category",
    "champion_version": "category",
    "champion_score": "float64",
    "challenger_version": "category",
    "challenger_score": "float64",  # NaN: no challenger, or it failed on this payment; infinite: it gave no probability
    "rollout_id": "category",
    "epoch": "int64",
    "latency_us": "int64",
}
_LET_THROUGH: Final = ((RANDOM_APPROVE,), (RANDOM_APPROVE, STORE_AWAY))
_HELD_OUT: Final = "reasons IN ({})".format(", ".join(f"'{json.dumps(codes)}'" for codes in _LET_THROUGH))
_TIME: Final = "datetime64[ms, UTC]"
_DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)


class Window(NamedTuple):
    """Payments of a span of event time, in order of arrival, and what the models saw of each."""

    frame: "pd.DataFrame"  # n rows
    matrix: NDArray[np.float64]  # (n, FEATURE_COUNT)


def window(place: LogPlace, start: datetime, end: datetime) -> Window:
    """`window_frame` and `window_matrix` of [start, end), read once. Raises MissingFile, LogUnavailable."""
    import pandas as pd

    names = [name for name in TRANSACTION_COLUMNS if name != "event_time"] + list(ANSWER_COLUMNS)
    columns = _columns(place, _window_query(["event_time_ms", "features", *names, _HELD_OUT]), _span(start, end), 3 + len(names))
    matrix = _matrix(columns[1])
    dtypes = {name: dtype for name, (dtype, _) in TRANSACTION_COLUMNS.items()} | ANSWER_COLUMNS
    data: dict[str, Any] = {name: pd.Series(values, dtype=dtypes[name]) for name, values in zip(names, columns[2:-1], strict=True)}
    data["event_time"] = _times(columns[0])
    features = {name: matrix[:, i] for i, name in enumerate(FEATURES) if name not in TRANSACTION_COLUMNS}
    answers = {name: data[name] for name in ANSWER_COLUMNS} | {"held_out": np.array(columns[-1], dtype=np.bool_)}
    return Window(pd.DataFrame({name: data[name] for name in TRANSACTION_COLUMNS} | features | answers), matrix)


def window_frame(place: LogPlace, start: datetime, end: datetime) -> "pd.DataFrame":
    """Payments of [start, end): TRANSACTION_COLUMNS, every feature, ANSWER_COLUMNS, and `held_out`.

    `held_out` (bool): due to be declined, and let through as one of a random few (`data.costs.Policy`).

    `channel` and `category` are the transaction's words; the models' codes for them are in `window_matrix`, whose
    rows match these one to one. An empty window gives an empty frame with the same columns. Raises MissingFile, LogUnavailable.
    """
    return window(place, start, end).frame


def window_matrix(place: LogPlace, start: datetime, end: datetime) -> NDArray[np.float64]:
    """The features as the models saw them, (n, FEATURE_COUNT), row by row those of `window_frame`. Raises MissingFile, LogUnavailable."""
    return _matrix(_columns(place, _window_query(["features"]), _span(start, end), 1)[0])


def labels_frame(place: LogPlace, known_by: datetime | None = None) -> "pd.DataFrame":
    """Labels reported by `known_by` (all when None): LABEL_COLUMNS, in order of report. Raises MissingFile, LogUnavailable."""
    import pandas as pd

    query = (
        "SELECT l.transaction_id, p.event_time_ms, l.report_time_ms, l.is_fraud, l.source FROM labels l"
        " JOIN predictions p ON p.sequence = l.payment WHERE l.report_time_ms <= ? ORDER BY l.report_time_ms, l.sequence"
    )
    limit = np.iinfo(np.int64).max if known_by is None else event_milliseconds(known_by)
    ids, events, reports, frauds, sources = _columns(place, query, (int(limit),), 5)
    data = {
        "transaction_id": pd.Series(ids, dtype="str"),
        "event_time": _times(events),
        "report_time": _times(reports),
        "is_fraud": pd.Series(frauds, dtype="int64").astype("bool"),
        "source": pd.Series(sources, dtype="category"),
    }
    return pd.DataFrame({name: data[name] for name in LABEL_COLUMNS})


class ServedFeatures(NamedTuple):
    """What the models saw of each payment, and where in the order of arrival that was."""

    places: NDArray[np.int64]  # (n,)
    ids: tuple[str, ...]
    matrix: NDArray[np.float64]  # (n, FEATURE_COUNT)


def served_features(place: LogPlace, start: datetime, end: datetime) -> ServedFeatures:
    """Of the payments of [start, end), in order of arrival. Raises MissingFile, LogUnavailable.

    Those answered while the shared store was away are left out: they say themselves that they saw less than the log does.
    """
    rows = read(place, _window_query(["sequence", "transaction_id", "features", "reasons"]), _span(start, end))
    places, ids, blobs = _turned([row[:3] for row in rows if STORE_AWAY not in row[3]], 3)
    return ServedFeatures(np.array(places, dtype=np.int64), ids, _matrix(blobs))


def logged_span(place: LogPlace) -> tuple[datetime, datetime] | None:
    """Event times of the first and the last payment of the log; None while it is empty. Raises MissingFile, LogUnavailable."""
    rows = _columns(place, "SELECT MIN(event_time_ms), MAX(event_time_ms) FROM predictions", (), 2)
    if rows[0][0] is None:
        return None
    first, last = (datetime.fromtimestamp(column[0] / 1000, UTC) for column in rows)
    return first, last


def logged_days(place: LogPlace) -> list[date]:
    """The days, by event time, of which the log holds a payment, in order. Raises MissingFile, LogUnavailable."""
    query = f"SELECT DISTINCT event_time_ms / {_DAY_MS} AS day FROM predictions ORDER BY day"
    return [_EPOCH + timedelta(days=day) for day in _columns(place, query, (), 1)[0]]


def logged_decisions(place: LogPlace, start: datetime, end: datetime) -> dict[str, str]:
    """What was answered to each payment of [start, end), by transaction id. Raises MissingFile, LogUnavailable."""
    query = "SELECT transaction_id, decision FROM predictions WHERE event_time_ms >= ? AND event_time_ms < ?"
    ids, decisions = _columns(place, query, _span(start, end), 2)
    return dict(zip(ids, decisions, strict=True))


def _window_query(columns: Sequence[str]) -> str:
    return f"SELECT {', '.join(columns)} FROM predictions WHERE event_time_ms >= ? AND event_time_ms < ? ORDER BY sequence"


def _columns(place: LogPlace, query: str, values: tuple[int, ...], width: int) -> list[tuple[Any, ...]]:
    """The rows of a query, turned into columns."""
    return _turned(read(place, query, values), width)


def _turned(rows: Sequence[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _matrix(blobs: tuple[bytes, ...]) -> NDArray[np.float64]:
    return np.frombuffer(b"".join(blobs), dtype="<f8").reshape(len(blobs), FEATURE_COUNT).astype(np.float64)


def _times(milliseconds: tuple[int, ...]) -> "pd.Series[Any]":
    import pandas as pd

    return pd.Series(np.array(milliseconds, dtype="datetime64[ms]")).dt.tz_localize("UTC").astype(_TIME)


def _span(start: datetime, end: datetime) -> tuple[int, int]:
    return event_milliseconds(start), event_milliseconds(end)
