"""How a history lies in memory: plain arrays, described once for the compiled kernel and for the code around it.

Each card and each terminal owns a run of entries, sorted by event time and then by arrival, inside a shared pool; a
run that is full moves to twice the room. Only `data/kernel.py`, `data/history.py` and `data/history_file.py` know this.
"""

import math
import mmap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.features import CARD_WINDOWS_S, DAY_S, HOUR_S, LABEL_DELAY_S, TERMINAL_WINDOWS_S

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
FIRST_RUN = 8  # entries in a new run; the typical card pays once or twice a week

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
TERMINAL_ENTRY = np.dtype([("sum_before", "i8"), ("time", "u4")])
REPORT_ENTRY = np.dtype([("time", "u4")])
# How much of what is taken.
CONTROL = np.dtype(
    [("card_used", "i8"), ("terminal_used", "i8"), ("report_used", "i8"), ("cards", "i8"), ("terminals", "i8")],
)  # fmt: skip
RUN_SIZES = 40  # capacities of FIRST_RUN, twice that, and so on: a list of freed runs for each


class State(NamedTuple):
    """The arrays behind a History. They grow by replacement, outside compiled code.

    Ids are kept whole, one after the other: id i is `letters[ends[i - 1] : ends[i]]`, and its card or terminal has slot
    i. `index` is an open-addressing hash table of slots + 1; 0 is free. Its length is a power of two.
    """

    control: NDArray[np.void]
    free: NDArray[np.int64]  # (pool, size) -> where the last freed run of that size starts, plus one; 0: none
    cards: NDArray[np.void]
    card_pool: NDArray[np.void]
    card_letters: NDArray[np.uint8]
    card_ends: NDArray[np.int64]
    card_index: NDArray[np.int32]
    terminals: NDArray[np.void]
    terminal_pool: NDArray[np.void]
    terminal_letters: NDArray[np.uint8]
    terminal_ends: NDArray[np.int64]
    terminal_index: NDArray[np.int32]
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
# owner -> the arrays that have an element for each of its slots
BY_SLOT = {"card": ("cards", "card_ends", "card_reports"), "terminal": ("terminals", "terminal_ends", "terminal_reports", "marks")}
_FIRST_SLOTS = 1024
_LARGE_BYTES = 2**18
_RUNS_AT_ONCE = 4096  # so that moving them takes little memory


def empty_state(cards: int = _FIRST_SLOTS, terminals: int = _FIRST_SLOTS) -> State:
    """A state with room for that many cards and terminals; everything grows when needed."""
    return State(
        control=np.zeros(1, CONTROL),
        free=np.zeros((len(POOLS), RUN_SIZES), np.int64),
        cards=np.zeros(cards, CARD),
        card_pool=np.empty(_FIRST_SLOTS, CARD_ENTRY),
        card_letters=np.empty(_FIRST_SLOTS, np.uint8),
        card_ends=np.zeros(cards, np.int64),
        card_index=np.zeros(index_length(cards), np.int32),
        terminals=np.zeros(terminals, TERMINAL),
        terminal_pool=np.empty(_FIRST_SLOTS, TERMINAL_ENTRY),
        terminal_letters=np.empty(_FIRST_SLOTS, np.uint8),
        terminal_ends=np.zeros(terminals, np.int64),
        terminal_index=np.zeros(index_length(terminals), np.int32),
        marks=np.zeros((terminals, len(BORDERS_S)), np.int64),
        card_reports=np.zeros(cards, REPORTS),
        terminal_reports=np.zeros(terminals, REPORTS),
        report_pool=np.empty(_FIRST_SLOTS, REPORT_ENTRY),
    )


def index_length(slots: int) -> int:
    """The length of a hash table for that many slots: a power of two, between a third and two thirds full when they are taken."""
    return 1 << (slots * 3 // 2).bit_length()


def grown(array: NDArray[Any], length: int) -> NDArray[Any]:
    """A longer copy, zeros behind."""
    longer = _zeros((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def run_capacity(size: NDArray[np.int32]) -> NDArray[np.int64]:
    """The room of runs of these sizes, (n,), with a place free behind: FIRST_RUN, or twice that, and so on; none for empty ones."""
    doublings = np.frexp(size // FIRST_RUN)[1].astype(np.int64)  # the length of the quotient in bits
    capacity: NDArray[np.int64] = np.where(size > 0, FIRST_RUN << doublings, 0)
    return capacity


def with_room(state: State, pool: str, entries: int) -> State:
    """The state with room for that many more entries in a pool; runs that were left behind are cleared away when they are many.

    Copying a pool takes tens of milliseconds in which nobody is answered, so it is rare: twice the room is made, which costs
    memory only where it is written.
    """
    field, owners = POOLS[pool]
    used = int(state.control[field][0])
    if used + entries <= len(getattr(state, pool)):
        return state
    live = sum(int(getattr(state, owner)["capacity"].sum()) for owner in owners)
    if live + live // 4 > used:
        return state._replace(**{pool: grown(getattr(state, pool), 2 * used + entries)})
    longer = _zeros((2 * live + entries,), getattr(state, pool).dtype)
    used = 0
    for owner in owners:
        used = _move(getattr(state, owner), getattr(state, pool), longer, used)
    state.control[field], state.free[list(POOLS).index(pool)] = used, 0
    return state._replace(**{pool: longer})


def _move(runs: NDArray[np.void], pool: NDArray[np.void], to: NDArray[np.void], used: int) -> int:
    """Move runs to another pool, one behind the other from `used` on. Returns how much of it is then taken."""
    for first in range(0, len(runs), _RUNS_AT_ONCE):
        some = runs[first : first + _RUNS_AT_ONCE]
        size, capacity = some["size"].astype(np.int64), some["capacity"].astype(np.int64)
        before, start = np.cumsum(size) - size, used + np.cumsum(capacity) - capacity
        place = np.arange(size.sum())
        to[np.repeat(start - before, size) + place] = pool[np.repeat(some["start"] + some["head"] - before, size) + place]
        some["start"], some["head"] = start, 0
        used += int(capacity.sum())
    return used


def _zeros(shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Zeros. Large ones in pages of their own: memory only once they are written, and given back when the array is dropped."""
    size = math.prod(shape) * kind.itemsize
    if size < _LARGE_BYTES:
        return np.zeros(shape, kind)
    return np.frombuffer(mmap.mmap(-1, size), kind).reshape(shape)
