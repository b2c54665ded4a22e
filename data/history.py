"""The history behind the features: who paid where, when and how much, kept in process as compact arrays.

`History.advance` answers one payment in the scoring service; `build_features` answers a table of them in training.
Both call the same compiled function of `data/kernel.py`. Time is event time; rows come in order of arrival and may be
late. A fraud counts from its report time on, never before.
"""

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from data import history_file, history_layout
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
_NO_ROWS = np.empty((0, FEATURE_COUNT))
_BLOCK = 65_536  # events grouped at a time: enough to meet a card again, few enough for rows to stay near the processor
_MAX_AMOUNT = 2**31 - 1
_CARD_ARRAYS = ("cards", "card_reports")
_TERMINAL_ARRAYS = ("terminals", "terminal_reports", "marks")


@cache
def _kernel() -> Callable[..., tuple[int, int]]:
    """The compiled function, loaded or compiled by a call without events: the first history waits, not an import or a payment.

    Payments and reports are one function with one signature, so neither has anything left to load.
    """
    from data.kernel import advance

    nothing = np.empty(0, history_layout.EVENT)
    advance(history_layout.empty_state(1, 1), nothing, nothing, _NO_ROWS, 0, 0)
    return advance


def _device_hash(device_id: str) -> int:
    """A card has a handful of devices, so 32 bits tell them apart and spare a table of names."""
    return zlib.crc32(device_id.encode()) or 1


class History:
    """Features' state of every card and terminal seen. Not safe for threads: one owner at a time."""

    def __init__(self) -> None:
        self._card_slots: dict[str, int] = {}
        self._terminal_slots: dict[str, int] = {}
        self._kernel = _kernel()
        self._state = history_layout.empty_state()
        self._event = np.zeros(1, history_layout.EVENT)
        self._event_bytes = memoryview(self._event.view(np.uint8))  # type: ignore[arg-type]

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
        if not _fits(event_time_s, amount_minor):
            raise _out_of_range()
        self._pack(
            self._event_bytes, 0, (card_id, terminal_id, event_time_s, amount_minor, channel, category, latitude, longitude, device_id)
        )
        rows = np.empty((1, FEATURE_COUNT))
        self._advance(self._event, self._event, rows)
        features: NDArray[np.float64] = rows[0]
        return features

    def advance_many(self, payments: Sequence[Payed]) -> NDArray[np.float64]:
        """`advance` for each payment, in order of arrival; shape (n, FEATURE_COUNT). When it raises, nothing was remembered."""
        if not all(_fits(payment[2], payment[3]) for payment in payments):
            raise _out_of_range()
        events = np.zeros(len(payments), history_layout.EVENT)
        places = memoryview(events.view(np.uint8))  # type: ignore[arg-type]
        for row, payment in enumerate(payments):
            self._pack(places, row, payment)
        rows = np.empty((len(payments), FEATURE_COUNT))
        self._advance(_grouped(events, "card"), _grouped(events, "terminal"), rows)
        return rows

    def report(self, *, card_id: str, terminal_id: str, report_time_s: int) -> None:
        """A fraud on this card at this terminal became known. Report a payment once, at its first fraud report."""
        if not 0 <= report_time_s < history_layout.NEVER:
            raise _out_of_range()
        card, terminal = self._card(card_id), self._terminal(terminal_id)
        _PACK_EVENT(self._event_bytes, 0, report_time_s, 0.0, 0.0, card, terminal, 0, 0, 0, 0, history_layout.REPORT_ROW)
        self._advance(self._event, self._event, _NO_ROWS)

    def save(self, path: Path) -> None:
        """Write everything to one file, whole or not at all. Raises DiskFull; an earlier file then stays."""
        history_file.write(path, self._state, list(self._card_slots), list(self._terminal_slots))

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read what `save` wrote. Raises BadInput when the file is missing, damaged or of another feature schema."""
        history = cls()
        history._state, cards, terminals = history_file.read(path)
        history._card_slots = {name: slot for slot, name in enumerate(cards)}
        history._terminal_slots = {name: slot for slot, name in enumerate(terminals)}
        return history

    def digest(self) -> str:
        """SHA-256 of what is remembered, independent of where it lies in memory and of the order in which ids were met."""
        return history_file.digest(self._state, list(self._card_slots), list(self._terminal_slots))

    def card_bytes(self) -> int:
        """Bytes of arrays that cards and their remembered payments take; ids come on top."""
        state = self._state
        runs = state.cards.itemsize + state.card_reports.itemsize
        return len(self._card_slots) * runs + int(state.control["card_used"][0]) * state.card_pool.itemsize

    def _pack(self, events: memoryview, row: int, payment: Payed) -> None:
        """Write one payment as an EVENT."""
        card_id, terminal_id, event_time_s, amount_minor, channel, category, latitude, longitude, device_id = payment
        card = self._card_slots.get(card_id)
        terminal = self._terminal_slots.get(terminal_id)
        if card is None or terminal is None:
            card, terminal = self._card(card_id), self._terminal(terminal_id)
        _PACK_EVENT(
            events,
            row * _EVENT_BYTES,
            event_time_s,
            math.nan if latitude is None else latitude,
            math.nan if longitude is None else longitude,
            card,
            terminal,
            amount_minor,
            _device_hash(device_id) if device_id else history_layout.NO_DEVICE,
            _CHANNEL_CODE.get(channel, -1),
            _CATEGORY_CODE.get(category, -1),
            row,
        )

    def _card(self, card_id: str) -> int:
        return self._slot(self._card_slots, card_id, _CARD_ARRAYS)

    def _terminal(self, terminal_id: str) -> int:
        return self._slot(self._terminal_slots, terminal_id, _TERMINAL_ARRAYS)

    def _slot(self, slots: dict[str, int], name: str, arrays: tuple[str, ...]) -> int:
        slot = slots.setdefault(name, len(slots))
        if slot >= len(getattr(self._state, arrays[0])):
            self._state = self._state._replace(**{a: history_layout.grown(getattr(self._state, a), 2 * slot, True) for a in arrays})
        return slot

    def _advance(self, by_card: _Array, by_terminal: _Array, rows: NDArray[np.float64]) -> None:
        """Run the kernel to the end, growing pools where it stops for want of room."""
        cards, terminals = self._kernel(self._state, by_card, by_terminal, rows, 0, 0)
        while terminals < len(by_terminal):
            self._make_room(by_card[cards] if cards < len(by_card) else by_terminal[terminals])
            cards, terminals = self._kernel(self._state, by_card, by_terminal, rows, cards, terminals)

    def _reserve(self, payments: int) -> None:
        """Room for runs of that many payments, so that pools are not copied while they fill; pages not reached cost no memory."""
        for pool in ("card_pool", "terminal_pool"):
            need = int(self._state.control[history_layout.POOLS[pool][0]][0]) + 2 * payments
            entries = getattr(self._state, pool)
            if need > len(entries):
                self._state = self._state._replace(**{pool: history_layout.grown(entries, need, False)})

    def _make_room(self, event: np.void) -> None:
        """Grow the pools that cannot take a doubled run of this event's card and terminal."""
        for pool, (used, owners) in history_layout.POOLS.items():
            runs = [getattr(self._state, owner)[event["card" if owner.startswith("card") else "terminal"]] for owner in owners]
            need = int(self._state.control[used][0]) + sum(max(history_layout.FIRST_RUN, 2 * int(run["capacity"])) for run in runs)
            entries = getattr(self._state, pool)
            if need > len(entries):
                self._state = self._state._replace(**{pool: history_layout.grown(entries, max(need, 2 * len(entries)), False)})


def _fits(event_time_s: int, amount_minor: int) -> bool:
    return 0 <= event_time_s < history_layout.NEVER and 0 <= amount_minor <= _MAX_AMOUNT


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
    from data.kernel import hash_names

    whole = names.combine_chunks() if hasattr(names, "combine_chunks") else names
    if len(whole) < 2:
        return False
    _, offsets, letters = whole.buffers()
    begin = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    keys = np.empty(len(whole), np.uint64)
    hash_names(begin, np.frombuffer(letters, np.uint8), keys)
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


def _slots(column: "pd.Series[Any]", slot_of: Any) -> NDArray[np.int64]:
    """Each id's slot; ids get theirs in the order of first appearance, as they do online."""
    import pandas as pd

    codes, ids = pd.factorize(column)
    return np.array([slot_of(str(name)) for name in ids.tolist()], dtype=np.int64)[codes]


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
    events["card"] = _slots(transactions["card_id"], history._card)
    events["terminal"] = _slots(transactions["terminal_id"], history._terminal)
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
