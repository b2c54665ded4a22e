"""The history behind the features: who paid where, when and how much, kept in process as compact arrays.

`History.advance` answers one payment in the scoring service; `build_features` answers a table of them in training.
Both call the same compiled function of `data/kernel.py`. Time is event time; rows come in order of arrival and may be
late. A fraud counts from its report time on, never before.
"""

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from data import history_file, history_layout
from data.compiled import entry_point
from data.errors import BadInput
from data.features import FEATURE_COUNT
from data.schema import CATEGORIES, CHANNELS

if TYPE_CHECKING:
    import pandas as pd

_Array = NDArray[Any]
# card, terminal, seconds since 1970, minor units, channel, category, latitude, longitude, device: the arguments of `History.advance`
Payed = tuple[str, str, int, int, str, str, float | None, float | None, str | None]
_PACK_EVENT = struct.Struct("=qddiiiIhhi").pack_into
_CHANNEL_CODE: Final = {name: code for code, name in enumerate(CHANNELS)}
_CATEGORY_CODE: Final = {name: code for code, name in enumerate(CATEGORIES)}
_EVENT_BYTES: Final = history_layout.EVENT.itemsize
_BLOCK = 65_536  # events grouped at a time: enough to meet a card again, few enough for rows to stay near the processor
_MAX_AMOUNT = 2**31 - 1


def _device_hash(device_id: str) -> int:
    """A card has a handful of devices, so 32 bits tell them apart and spare a table of names."""
    return zlib.crc32(device_id.encode()) or 1


class History:
    """Features' state of every card and terminal seen. Not safe for threads: one owner at a time."""

    def __init__(self) -> None:
        self._advance_one = entry_point("advance_one", holding_lock=True)
        self._event = np.zeros(1, history_layout.EVENT)
        self._event_bytes = memoryview(self._event.view(np.uint8))  # type: ignore[arg-type]
        self._row = np.empty(FEATURE_COUNT)
        self._done = np.zeros(2, np.int64)
        self._scratch = tuple(array.ctypes.data for array in (self._event, self._row, self._done))
        self._own(history_layout.empty_state())

    def _own(self, state: history_layout.State) -> None:
        """Take these arrays, and note where they lie: the form in which compiled code is handed them."""
        self._state = state
        self._places = np.array([array.ctypes.data for array in state], np.uint64), np.array([len(array) for array in state], np.int64)
        self._at = tuple(place.ctypes.data for place in self._places)

    def advance(
        self,
        card_id: str,
        terminal_id: str,
        event_time_s: int,
        amount_minor: int,
        channel: str,
        category: str,
        latitude: float | None,
        longitude: float | None,
        device_id: str | None,
    ) -> NDArray[np.float64]:
        """The features of this payment, shape (FEATURE_COUNT,), from what came before it; then remember it.

        Degrees may be None or NaN. Repeats are the caller's to drop: a payment given twice counts twice.
        Raises BadInput when a number does not fit (seconds since 1970 in 32 bits, amount in 31).
        """
        require_fit(event_time_s, amount_minor)
        _pack(self._event_bytes, 0, event_time_s, amount_minor, channel, category, latitude, longitude, device_id)
        self._take_event(card_id, terminal_id)
        return self._row.copy()

    def advance_many(self, payments: Sequence[Payed]) -> NDArray[np.float64]:
        """`advance` for each payment, in order of arrival; shape (n, FEATURE_COUNT). When it raises, nothing was remembered."""
        for payment in payments:
            require_fit(payment[2], payment[3])
        if len(payments) == 1:
            return self.advance(*payments[0]).reshape(1, FEATURE_COUNT)
        events = np.zeros(len(payments), history_layout.EVENT)
        places = memoryview(events.view(np.uint8))  # type: ignore[arg-type]
        for row, payment in enumerate(payments):
            _pack(places, row, *payment[2:])
        events["card"] = self._slots("card", [payment[0] for payment in payments])
        events["terminal"] = self._slots("terminal", [payment[1] for payment in payments])
        rows = np.empty((len(payments), FEATURE_COUNT))
        self._advance(_grouped(events, "card"), _grouped(events, "terminal"), rows)
        return rows

    def report(self, *, card_id: str, terminal_id: str, report_time_s: int) -> None:
        """A fraud on this card at this terminal became known. Report a payment once, at its first fraud report."""
        if not 0 <= report_time_s < history_layout.NEVER:
            raise _out_of_range()
        _PACK_EVENT(self._event_bytes, 0, report_time_s, 0.0, 0.0, 0, 0, 0, 0, 0, 0, history_layout.REPORT_ROW)
        self._take_event(card_id, terminal_id)

    def save(self, path: Path) -> None:
        """Write everything to one file, whole or not at all. Raises DiskFull; an earlier file then stays."""
        history_file.write(path, self._state)

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read what `save` wrote. Raises BadInput when the file is missing, damaged or of another feature schema."""
        history = cls()
        history._own(history_file.read(path))
        for owner in history_layout.BY_SLOT:
            history._index(owner)
        return history

    def copy(self) -> "History":
        """One that goes its own way from here."""
        history = History()
        history._own(history_layout.State._make(array.copy() for array in self._state))
        return history

    def digest(self) -> str:
        """SHA-256 of what is remembered, independent of where it lies in memory and of the order in which ids were met."""
        return history_file.digest(self._state)

    def newest_s(self) -> int:
        """The latest event time of all payments remembered, in seconds since 1970; 0 when there is none."""
        terminals = self._state.terminals
        terminals = terminals[terminals["size"] > 0]
        lasts = terminals["start"] + terminals["head"] + terminals["size"] - 1
        newest: int = self._state.terminal_pool["time"][lasts].max(initial=0).item()
        return newest

    def card_bytes(self) -> int:
        """Bytes of memory that cards, their ids and their remembered payments take; terminals come on top."""
        state, control = self._state, self._state.control[0]
        by_slot = sum(getattr(state, name).itemsize for name in history_layout.BY_SLOT["card"])
        letters = int(state.card_ends[control["cards"] - 1]) if control["cards"] else 0
        ids = letters + state.card_index.nbytes
        return int(control["cards"] * by_slot + ids + control["card_used"] * state.card_pool.itemsize)

    def _take_event(self, card_id: str, terminal_id: str) -> None:
        """Advance by `self._event`, whose parties are these; a payment's features are then in `self._row`."""
        card, terminal = card_id.encode(), terminal_id.encode()
        both = card + terminal
        self._done.fill(0)
        while self._advance_one(*self._at, both, len(card), len(both), *self._scratch):
            self._make_name_room("card", 1, len(card))
            self._make_name_room("terminal", 1, len(terminal))
            self._make_room(self._event[0])

    def _slots(self, owner: str, names: Sequence[str]) -> NDArray[np.int32]:
        """Each id's slot; ids get theirs in the order of first appearance."""
        encoded = [name.encode() for name in names]
        letters = b"".join(encoded)
        ends = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(name) for name in encoded], out=ends[1:])
        slots = np.empty(len(encoded), np.int32)
        place, done = entry_point(f"{owner}_slots"), 0
        while (done := place(*self._at, letters, ends.ctypes.data, len(encoded), slots.ctypes.data, done)) < len(encoded):
            self._make_name_room(owner, len(encoded) - done, int(ends[-1] - ends[done]))
        return slots

    def _advance(self, by_card: _Array, by_terminal: _Array, rows: NDArray[np.float64]) -> None:
        """Run the kernel to the end, growing pools where it stops for want of room."""
        advance, done = entry_point("advance"), self._done
        done[:] = 0
        count, events = len(by_card), (by_card.ctypes.data, by_terminal.ctypes.data)
        while advance(*self._at, *events, count, rows.ctypes.data, len(rows), done.ctypes.data):
            self._make_room(by_card[done[0]] if done[0] < count else by_terminal[done[1]])

    def _reserve(self, payments: int) -> None:
        """Room for runs of that many payments, so that pools are not copied while they fill; pages not reached cost no memory."""
        state = self._state
        for pool in ("card_pool", "terminal_pool"):
            used = int(state.control[history_layout.POOLS[pool][0]][0])
            if used + 2 * payments > len(getattr(state, pool)):
                state = history_layout.with_room(state, pool, 2 * payments + used)  # a table may come in many pieces
        self._own(state)

    def _make_room(self, event: np.void) -> None:
        """Grow the pools that cannot take a run of twice the size for this event's card and terminal."""
        state = self._state
        for pool, (_, owners) in history_layout.POOLS.items():
            runs = [getattr(state, owner)[event["card" if owner.startswith("card") else "terminal"]] for owner in owners]
            need = sum(max(history_layout.FIRST_RUN, 4 * int(run["capacity"])) for run in runs)
            state = history_layout.with_room(state, pool, need)
        self._own(state)

    def _make_name_room(self, owner: str, names: int, letters: int) -> None:
        """Grow what does not take that many more ids of so many letters."""
        count = int(self._state.control[0][f"{owner}s"])
        ends = getattr(self._state, f"{owner}_ends")
        self._grow((int(ends[count - 1]) if count else 0) + letters, f"{owner}_letters")
        self._grow(count + names, *history_layout.BY_SLOT[owner])
        if history_layout.index_length(count + names) > len(getattr(self._state, f"{owner}_index")):
            self._index(owner)

    def _grow(self, need: int, *names: str) -> None:
        """Let these arrays, which are of one length, have at least `need` elements."""
        length = len(getattr(self._state, names[0]))
        if need > length:
            longer: dict[str, Any] = {n: history_layout.grown(getattr(self._state, n), max(need, 2 * length)) for n in names}
            self._own(self._state._replace(**longer))

    def _index(self, owner: str) -> None:
        """Make the index of an owner's ids anew, for as many as there is room for."""
        count, ends = int(self._state.control[0][f"{owner}s"]), getattr(self._state, f"{owner}_ends")
        index: Any = np.zeros(history_layout.index_length(len(ends)), np.int32)
        letters: NDArray[np.uint8] = getattr(self._state, f"{owner}_letters")
        entry_point("index_names")(index.ctypes.data, len(index), letters.ctypes.data, ends.ctypes.data, count)
        self._own(self._state._replace(**{f"{owner}_index": index}))


def _pack(
    events: memoryview,
    row: int,
    event_time_s: int,
    amount_minor: int,
    channel: str,
    category: str,
    latitude: float | None,
    longitude: float | None,
    device_id: str | None,
) -> None:
    """Write one payment as an EVENT; its card and terminal have no slots yet."""
    _PACK_EVENT(
        events,
        row * _EVENT_BYTES,
        event_time_s,
        math.nan if latitude is None else latitude,
        math.nan if longitude is None else longitude,
        0,
        0,
        amount_minor,
        _device_hash(device_id) if device_id else history_layout.NO_DEVICE,
        _CHANNEL_CODE.get(channel, -1),
        _CATEGORY_CODE.get(category, -1),
        row,
    )


def require_fit(event_time_s: int, amount_minor: int) -> None:
    """Raises BadInput unless a payment's numbers fit: seconds since 1970 in 32 bits, the amount in 31."""
    if not (0 <= event_time_s < history_layout.NEVER and 0 <= amount_minor <= _MAX_AMOUNT):
        raise _out_of_range()


def _out_of_range() -> BadInput:
    return BadInput(
        "A payment's time or amount does not fit: seconds since 1970 and minor units must be between 0 and 2,147,483,647.",
        next_step="Correct the row; `lab doctor` explains the columns.",
    )


def build_features(
    transactions: "pd.DataFrame", labels: "pd.DataFrame", history: History | None = None
) -> tuple[NDArray[np.float64], History]:
    """Features of a table of payments, and the history after them.

    `transactions` has TRANSACTION_COLUMNS in order of arrival; `labels` has LABEL_COLUMNS, of which the first fraud
    report of each of these payments counts, from its report time on. Reports on payments that are not in the table are
    left out: give them with the payment, or to `History.report`. A repeated transaction id gets the first one's
    features and changes nothing. `history` continues (and changes) the given state, so a table may come in pieces.
    Returns shape (len(transactions), FEATURE_COUNT). Raises BadInput when a time or an amount does not fit.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    history = History() if history is None else history
    names = pa.array(transactions["transaction_id"], pa.large_string())
    if repeats := _may_repeat(names):
        codes, firsts = pd.factorize(transactions["transaction_id"])
        names = pa.array(firsts, pa.large_string())
        transactions = transactions[~transactions["transaction_id"].duplicated()]
    payments = _payments(transactions, history)
    known = labels[labels["is_fraud"]].sort_values("report_time", kind="stable").drop_duplicates("transaction_id")
    about = pc.index_in(names, value_set=pa.array(known["transaction_id"], pa.large_string()))
    report_of = about.fill_null(-1).to_numpy(zero_copy_only=False)
    events = _with_reports(payments, report_of, _seconds(known["report_time"]))
    history._reserve(len(payments))
    rows = np.empty((len(payments), FEATURE_COUNT))
    for start in range(0, len(events), _BLOCK):
        block = events[start : start + _BLOCK]
        history._advance(_grouped(block, "card"), _grouped(block, "terminal"), rows)
    return (rows[codes] if repeats else rows), history


def _may_repeat(names: Any) -> bool:
    """Whether two of an Arrow array's names have one hash: a sixth of the cost of telling names apart. False is certain."""
    whole = names.combine_chunks() if hasattr(names, "combine_chunks") else names
    if len(whole) < 2:
        return False
    _, offsets, letters = whole.buffers()
    ends = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    keys = np.empty(len(whole), np.uint64)
    entry_point("hash_names")(letters.address, ends.ctypes.data, len(whole), keys.ctypes.data)
    keys.sort()
    return bool((keys[1:] == keys[:-1]).any())


def _grouped(events: _Array, owner: str) -> _Array:
    """The events in a stable order that groups equal owners. Sorting keys of (slot, position) is eight times faster than argsort."""
    return events.take(np.sort(events[owner].astype(np.int64) << 32 | np.arange(len(events))) & 0xFFFFFFFF)


def _seconds(times: "pd.Series[pd.Timestamp]") -> NDArray[np.int64]:
    return times.dt.as_unit("ms").to_numpy(dtype="datetime64[ms]").astype(np.int64) // 1000


def _codes(column: "pd.Series[Any]", code: dict[str, int], missing: int) -> NDArray[np.int64]:
    """Each value's code, by way of its categories."""
    column = column.astype("category")
    table = np.array([*(code.get(level, missing) for level in column.cat.categories.tolist()), missing])
    return table[column.cat.codes.to_numpy()]  # a null has code -1: the last


def _slots(column: "pd.Series[Any]", slots: Callable[[list[str]], NDArray[np.int32]]) -> NDArray[np.int32]:
    """Each id's slot; ids get theirs in the order of first appearance, as they do online."""
    import pandas as pd

    codes, ids = pd.factorize(column)
    return slots([str(name) for name in ids.tolist()])[codes]


def _payments(transactions: "pd.DataFrame", history: History) -> NDArray[np.void]:
    """The kernel's view of the payments, in the same order."""
    times, amounts = _seconds(transactions["event_time"]), transactions["amount_minor"].to_numpy()
    if len(times) and (times.min() < 0 or times.max() >= history_layout.NEVER or amounts.min() < 0 or amounts.max() > _MAX_AMOUNT):
        raise _out_of_range()
    devices = transactions["device_id"].astype("category")
    hashes = {name: _device_hash(str(name)) for name in devices.cat.categories.tolist()}
    events = np.zeros(len(transactions), history_layout.EVENT)
    events["time"], events["amount"], events["row"] = times, amounts, np.arange(len(events))
    events["latitude"], events["longitude"] = transactions["latitude"], transactions["longitude"]
    events["card"] = _slots(transactions["card_id"], partial(history._slots, "card"))
    events["terminal"] = _slots(transactions["terminal_id"], partial(history._slots, "terminal"))
    events["device"] = _codes(devices, hashes, history_layout.NO_DEVICE)
    events["channel"] = _codes(transactions["channel"], _CHANNEL_CODE, -1)
    events["category"] = _codes(transactions["category"], _CATEGORY_CODE, -1)
    return events


def _with_reports(payments: _Array, report_of: _Array, report_times: NDArray[np.int64]) -> _Array:
    """The payments and the reports on them in one stream, in the order in which they become known.

    `report_of` says which report is about a payment; -1: none. A report is known once an event of its time or later has
    arrived, and never before its own payment has.
    """
    about = np.flatnonzero(report_of >= 0)
    times = report_times[report_of[about]]
    reports = payments[about]
    reports["time"], reports["row"] = times, history_layout.REPORT_ROW
    now = np.maximum.accumulate(payments["time"])
    due = np.maximum(np.searchsorted(now, times, side="left"), about + 1)
    order = np.lexsort((times, due))
    return np.insert(payments, due[order], reports[order])
