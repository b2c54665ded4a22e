"""How a history lies in memory: plain arrays, described once for the compiled kernel and for the code around it.

Each card and each terminal owns a run of entries, sorted by event time and then by arrival, inside a shared pool; a
run that is full moves to twice the room. Only `data/kernel.py`, `data/history.py` and `data/history_file.py` know this.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.features import CARD_WINDOWS_S, DAY_S, FEATURE_SCHEMA_HASH, HOUR_S, LABEL_DELAY_S, TERMINAL_WINDOWS_S

# A terminal's window borders, as ages: 1h, 1d, 7d (also the label delay), 30d, then one label delay earlier.
BORDERS_S = (
    HOUR_S,
    DAY_S,
    7 * DAY_S,
    30 * DAY_S,
    LABEL_DELAY_S,
    LABEL_DELAY_S + DAY_S,
    LABEL_DELAY_S + 7 * DAY_S,
    LABEL_DELAY_S + 30 * DAY_S,
)
LATE_S = DAY_S  # a payment up to this late still finds its windows whole
CARD_RETENTION_S = max(CARD_WINDOWS_S.values()) + LATE_S
TERMINAL_RETENTION_S = max(TERMINAL_WINDOWS_S.values()) + LABEL_DELAY_S + LATE_S
REPORT_RETENTION_S = max(TERMINAL_WINDOWS_S.values()) + LATE_S
NEVER = 2**32 - 1
NO_DEVICE = 0
FIRST_RUN = 4  # entries in a new run; the typical card pays a few times a month

EVENT = np.dtype(
    [("time", "i8"), ("latitude", "f8"), ("longitude", "f8"), ("card", "i4"), ("terminal", "i4"), ("amount", "i4"),
     ("device", "u4"), ("channel", "i2"), ("category", "i2"), ("row", "i4")],
)  # fmt: skip
REPORT_ROW = -1  # the `row` of an event that is no payment but the report of a fraud

# A run stands last in each record, at different offsets: numba would take records with a common start for one type.
RUN = [("start", "i8"), ("capacity", "i4"), ("head", "i4"), ("size", "i4"), ("pad", "i4")]
CARD = np.dtype(
    [("life_sum", "i8"), ("life_squares", "f8"), ("gone_squares", "f8"), ("life_count", "i4"), ("gone_max", "i4"),
     ("first_amount", "i4"), ("first_time", "u4"), *RUN],
)  # fmt: skip
TERMINAL = np.dtype([("dropped", "i8"), ("total", "i8"), *RUN])
REPORTS = np.dtype(RUN)
CARD_ENTRY = np.dtype(
    [("time", "u4"), ("amount", "i4"), ("terminal", "i4"), ("next_visit", "u4"), ("device", "u4"), ("ratio", "f4"),
     ("x", "f4"), ("y", "f4"), ("z", "f4")],
)  # fmt: skip
TERMINAL_ENTRY = np.dtype([("sum_before", "i8"), ("time", "i8")])
REPORT_ENTRY = np.dtype([("time", "i8")])
# How much of each pool is taken. The last field carries no data: numba's cache on disk is keyed by argument types, so
# naming the feature schema in a type makes code compiled for other windows or another order unreachable.
CONTROL = np.dtype(
    [("card_used", "i8"), ("terminal_used", "i8"), ("report_used", "i8"), (f"schema_{FEATURE_SCHEMA_HASH[:16]}", "i8")],
)  # fmt: skip


class State(NamedTuple):
    """The arrays behind a History. Pools grow by replacement, outside compiled code."""

    control: NDArray[np.void]
    cards: NDArray[np.void]
    card_pool: NDArray[np.void]
    terminals: NDArray[np.void]
    terminal_pool: NDArray[np.void]
    marks: NDArray[np.int64]
    card_reports: NDArray[np.void]
    terminal_reports: NDArray[np.void]
    report_pool: NDArray[np.void]


# pool -> (the field of `control` that counts it, the arrays whose runs live in it)
POOLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "card_pool": ("card_used", ("cards",)),
    "terminal_pool": ("terminal_used", ("terminals",)),
    "report_pool": ("report_used", ("card_reports", "terminal_reports")),
}
_FIRST_SLOTS = 1024


def empty_state(cards: int = _FIRST_SLOTS, terminals: int = _FIRST_SLOTS) -> State:
    """A state with room for that many cards and terminals; everything grows when needed."""
    return State(
        control=np.zeros(1, CONTROL),
        cards=np.zeros(cards, CARD),
        card_pool=np.empty(_FIRST_SLOTS, CARD_ENTRY),
        terminals=np.zeros(terminals, TERMINAL),
        terminal_pool=np.empty(_FIRST_SLOTS, TERMINAL_ENTRY),
        marks=np.zeros((terminals, len(BORDERS_S)), np.int64),
        card_reports=np.zeros(cards, REPORTS),
        terminal_reports=np.zeros(terminals, REPORTS),
        report_pool=np.empty(_FIRST_SLOTS, REPORT_ENTRY),
    )


def grown(array: NDArray[Any], length: int, fill_zero: bool) -> NDArray[Any]:
    """A longer copy. Pools need no zeros: pages that no run has reached then cost no memory."""
    longer = (np.zeros if fill_zero else np.empty)((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
