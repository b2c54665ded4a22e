"""The history behind the features: who paid where, when and how much, kept in process as compact arrays.

`History.advance` answers one payment in the scoring service; `build_features` answers a table of them in training.
Both call the same compiled function of `data/kernel.py`. Time is event time; rows come in order of arrival and may be
late. A fraud counts from its report time on, never before.
"""

import hashlib
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from data import kernel
from data.errors import BadInput
from data.features import FEATURE_COUNT, FEATURE_SCHEMA_HASH
from data.schema import CATEGORIES, CHANNELS

if TYPE_CHECKING:
    import pandas as pd

_Array = NDArray[Any]
FORMAT: Final = 1
_PACK_EVENT = struct.Struct("=qddiiiIhhi").pack_into
_CHANNEL_CODE: Final = {name: code for code, name in enumerate(CHANNELS)}
_CATEGORY_CODE: Final = {name: code for code, name in enumerate(CATEGORIES)}
_FIRST_SLOTS = 1024
_BLOCK = 65_536  # events grouped at a time: enough to meet a card again, few enough for rows to stay near the processor
_MAX_AMOUNT = 2**31 - 1
_CARD_ARRAYS = ("cards", "card_reports")
_TERMINAL_ARRAYS = ("terminals", "terminal_reports", "marks")
# pool -> (field of `control` that counts it, the runs that live in it)
_NO_ROWS = np.empty((0, FEATURE_COUNT))
_ONE = np.zeros(1, np.int64)  # the order of one event
_POOLS = {"card_pool": ("card_used", ("cards",)), "terminal_pool": ("terminal_used", ("terminals",)),
          "report_pool": ("report_used", ("card_reports", "terminal_reports"))}  # fmt: skip


def _device_hash(device_id: str) -> int:
    """A card has a handful of devices, so 32 bits tell them apart and spare a table of names."""
    return zlib.crc32(device_id.encode()) or 1


def _grown(array: NDArray[Any], length: int, fill_zero: bool) -> NDArray[Any]:
    new = (np.zeros if fill_zero else np.empty)((length, *array.shape[1:]), array.dtype)
    new[: len(array)] = array
    return new


class History:
    """Features' state of every card and terminal seen. Not safe for threads: one owner at a time."""

    def __init__(self) -> None:
        self._card_slots: dict[str, int] = {}
        self._terminal_slots: dict[str, int] = {}
        self._state = kernel.State(
            control=np.zeros(1, kernel.CONTROL),
            cards=np.zeros(_FIRST_SLOTS, kernel.CARD),
            card_pool=np.empty(_FIRST_SLOTS * 8, kernel.CARD_ENTRY),
            terminals=np.zeros(_FIRST_SLOTS, kernel.TERMINAL),
            terminal_pool=np.empty(_FIRST_SLOTS * 8, kernel.TERMINAL_ENTRY),
            marks=np.zeros((_FIRST_SLOTS, len(kernel.BORDERS_S)), np.int64),
            card_reports=np.zeros(_FIRST_SLOTS, kernel.REPORTS),
            terminal_reports=np.zeros(_FIRST_SLOTS, kernel.REPORTS),
            report_pool=np.empty(_FIRST_SLOTS, kernel.REPORT_ENTRY),
        )
        self._event = np.zeros(1, kernel.EVENT)
        self._event_bytes = memoryview(self._event.view(np.uint8))  # type: ignore[arg-type]

    def advance(
        self,
        *,
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
        card = self._card_slots.get(card_id)
        terminal = self._terminal_slots.get(terminal_id)
        if card is None or terminal is None:
            card, terminal = self._card(card_id), self._terminal(terminal_id)
        if not (0 <= event_time_s < kernel.NEVER and 0 <= amount_minor <= _MAX_AMOUNT):
            raise _out_of_range()
        _PACK_EVENT(
            self._event_bytes,
            0,
            event_time_s,
            math.nan if latitude is None else latitude,
            math.nan if longitude is None else longitude,
            card,
            terminal,
            amount_minor,
            _device_hash(device_id) if device_id else kernel.NO_DEVICE,
            _CHANNEL_CODE.get(channel, -1),
            _CATEGORY_CODE.get(category, -1),
            0,
        )
        rows = np.empty((1, FEATURE_COUNT))
        self._advance(self._event, _ONE, _ONE, rows)
        features: NDArray[np.float64] = rows[0]
        return features

    def report(self, *, card_id: str, terminal_id: str, report_time_s: int) -> None:
        """A fraud on this card at this terminal became known. Report a payment once, at its first fraud report."""
        if not 0 <= report_time_s < kernel.NEVER:
            raise _out_of_range()
        card, terminal = self._card(card_id), self._terminal(terminal_id)
        _PACK_EVENT(self._event_bytes, 0, report_time_s, 0.0, 0.0, card, terminal, 0, 0, 0, 0, kernel.REPORT_ROW)
        self._advance(self._event, _ONE, _ONE, _NO_ROWS)

    def save(self, path: Path) -> None:
        """Write everything to one file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with partial.open("wb") as file:
            arrays: dict[str, Any] = {"format": np.array(FORMAT), "schema": np.array(FEATURE_SCHEMA_HASH), **self._compact()}
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read what `save` wrote. Raises BadInput when the file is missing, damaged or of another feature schema."""
        next_step = "Delete the file; the history is rebuilt from the prediction log or by `build_features`."
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise BadInput(f"{path.name} is not a readable history.", next_step=next_step, where=str(path)) from error
        if arrays.pop("format", None) != FORMAT or arrays.pop("schema", None) != FEATURE_SCHEMA_HASH:
            raise BadInput(f"{path.name} was written for other features.", next_step=next_step, where=str(path))
        return cls._restore(arrays)

    def digest(self) -> str:
        """SHA-256 of what is remembered, independent of where it lies in memory and of the order in which ids were met."""
        whole = hashlib.sha256(FEATURE_SCHEMA_HASH.encode())
        for name, array in sorted(self._compact(by_id=True).items()):
            whole.update(name.encode())
            whole.update(array.tobytes())
        return whole.hexdigest()

    def _card(self, card_id: str) -> int:
        return self._slot(self._card_slots, card_id, _CARD_ARRAYS)

    def _terminal(self, terminal_id: str) -> int:
        return self._slot(self._terminal_slots, terminal_id, _TERMINAL_ARRAYS)

    def _slot(self, slots: dict[str, int], name: str, arrays: tuple[str, ...]) -> int:
        slot = slots.setdefault(name, len(slots))
        if slot >= len(getattr(self._state, arrays[0])):
            self._state = self._state._replace(**{a: _grown(getattr(self._state, a), 2 * slot, True) for a in arrays})
        return slot

    def _advance(self, events: _Array, by_card: _Array, by_terminal: _Array, rows: NDArray[np.float64]) -> None:
        """Run the kernel to the end, growing pools where it stops for want of room."""
        cards, terminals = kernel.advance(self._state, events, by_card, by_terminal, rows, 0, 0)
        while terminals < len(events):
            self._make_room(events[by_card[cards]] if cards < len(events) else events[by_terminal[terminals]])
            cards, terminals = kernel.advance(self._state, events, by_card, by_terminal, rows, cards, terminals)

    def _make_room(self, event: np.void) -> None:
        """Grow the pools that cannot take a doubled run of this event's card and terminal."""
        for pool, (used, owners) in _POOLS.items():
            runs = [getattr(self._state, owner)[event["card" if owner.startswith("card") else "terminal"]] for owner in owners]
            need = int(self._state.control[used][0]) + sum(max(kernel.FIRST_RUN, 2 * int(run["capacity"])) for run in runs)
            entries = getattr(self._state, pool)
            if need > len(entries):
                self._state = self._state._replace(**{pool: _grown(entries, max(need, 2 * len(entries)), False)})

    def _compact(self, by_id: bool = False) -> dict[str, NDArray[Any]]:
        """The state without gaps, cards and terminals in the order met, or of their ids."""
        arrays: dict[str, NDArray[Any]] = {}
        order: dict[str, NDArray[np.int64]] = {}
        for kind, slots in (("card", self._card_slots), ("terminal", self._terminal_slots)):
            ids = np.array([name.encode() for name in slots], dtype=np.bytes_) if slots else np.empty(0, "S1")
            order[kind] = np.argsort(ids) if by_id else np.arange(len(ids))
            arrays[f"{kind}_ids"] = ids[order[kind]]
        rank = np.argsort(order["terminal"])  # where each terminal's slot went
        for pool, (_, owners) in _POOLS.items():
            for owner in owners:
                runs = getattr(self._state, owner)[order["card" if owner.startswith("card") else "terminal"]]
                entries = getattr(self._state, pool)[_run_indices(runs)]
                if by_id and owner == "cards":
                    entries["terminal"] = rank[entries["terminal"]]
                runs["start"], runs["head"], runs["capacity"] = np.cumsum(runs["size"]) - runs["size"], 0, runs["size"]
                arrays[owner], arrays[f"{owner}_entries"] = runs, entries
        return arrays

    @classmethod
    def _restore(cls, arrays: dict[str, NDArray[Any]]) -> "History":
        """Rebuild from `_compact()`. Slots follow the order of the ids."""
        history = cls()
        for name in arrays["card_ids"]:
            history._card(name.decode())
        for name in arrays["terminal_ids"]:
            history._terminal(name.decode())
        state = history._state
        for pool, (used, owners) in _POOLS.items():
            for owner in owners:
                entries, runs = arrays[f"{owner}_entries"], arrays[owner]
                runs["start"] += state.control[used][0]
                taken = int(state.control[used][0])
                if taken + len(entries) > len(getattr(state, pool)):
                    state = state._replace(**{pool: _grown(getattr(state, pool), taken + len(entries) * 3 // 2, False)})
                getattr(state, pool)[taken : taken + len(entries)] = entries
                getattr(state, owner)[: len(runs)] = runs
                state.control[used] += len(entries)
        state.marks[: len(arrays["terminals"])] = arrays["terminals"]["dropped"][:, None]
        history._state = state
        return history


def _run_indices(runs: NDArray[np.void]) -> NDArray[np.int64]:
    """Where in the pool the entries of these runs lie, run after run."""
    size = runs["size"].astype(np.int64)
    first = runs["start"] + runs["head"]
    return np.repeat(first - (np.cumsum(size) - size), size) + np.arange(size.sum())


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

    history = History() if history is None else history
    ids = pd.Index(transactions["transaction_id"])
    first = transactions if ids.is_unique else transactions[~ids.duplicated()]
    payments = _payments(first, history)
    known = labels[labels["is_fraud"]].sort_values("report_time", kind="stable").drop_duplicates("transaction_id")
    position = (ids if ids.is_unique else ids.unique()).get_indexer(pd.Index(known["transaction_id"]))
    events = _with_reports(payments, position, _seconds(known["report_time"]))
    rows = np.empty((len(payments), FEATURE_COUNT))
    for start in range(0, len(events), _BLOCK):
        block = events[start : start + _BLOCK]
        history._advance(block, np.argsort(block["card"], kind="stable"), np.argsort(block["terminal"], kind="stable"), rows)
    return (rows if ids.is_unique else rows[pd.factorize(ids)[0]]), history


def _seconds(times: "pd.Series[pd.Timestamp]") -> NDArray[np.int64]:
    return times.dt.as_unit("ms").to_numpy(dtype="datetime64[ms]").astype(np.int64) // 1000


def _codes(column: "pd.Series[Any]", code: dict[str, int], missing: int) -> NDArray[np.int64]:
    """Each value's code, by way of its categories."""
    column = column.astype("category")
    table = np.array([*(code.get(level, missing) for level in column.cat.categories), missing])
    return table[column.cat.codes.to_numpy()]  # a null has code -1: the last


def _slots(column: "pd.Series[Any]", slot_of: Any) -> NDArray[np.int64]:
    """Each id's slot; ids get theirs in the order of first appearance, as they do online."""
    import pandas as pd

    codes, ids = pd.factorize(column)
    return np.array([slot_of(str(name)) for name in ids], dtype=np.int64)[codes]


def _payments(transactions: "pd.DataFrame", history: History) -> NDArray[np.void]:
    """The kernel's view of the payments, in the same order."""
    times, amounts = _seconds(transactions["event_time"]), transactions["amount_minor"].to_numpy()
    if len(times) and (times.min() < 0 or times.max() >= kernel.NEVER or amounts.min() < 0 or amounts.max() > _MAX_AMOUNT):
        raise _out_of_range()
    devices = transactions["device_id"].astype("category")
    hashes = {name: _device_hash(str(name)) for name in devices.cat.categories}
    events = np.zeros(len(transactions), kernel.EVENT)
    events["time"], events["amount"], events["row"] = times, amounts, np.arange(len(events))
    events["latitude"], events["longitude"] = transactions["latitude"], transactions["longitude"]
    events["card"] = _slots(transactions["card_id"], history._card)
    events["terminal"] = _slots(transactions["terminal_id"], history._terminal)
    events["device"] = _codes(devices, hashes, kernel.NO_DEVICE)
    events["channel"] = _codes(transactions["channel"], _CHANNEL_CODE, -1)
    events["category"] = _codes(transactions["category"], _CATEGORY_CODE, -1)
    return events


def _with_reports(payments: NDArray[np.void], position: NDArray[np.intp], report_times: NDArray[np.int64]) -> NDArray[np.void]:
    """The payments and the reports on them in one stream, in the order in which they become known.

    `position` says which payment a report is about; -1: none of these. A report is known once an event of its time or
    later has arrived, and never before its own payment has.
    """
    about, times = position[position >= 0], report_times[position >= 0]
    reports = payments[about]
    reports["time"], reports["row"] = times, kernel.REPORT_ROW
    now = np.maximum.accumulate(payments["time"])
    due = np.maximum(np.searchsorted(now, times, side="left"), about + 1)
    order = np.lexsort((times, due))
    return np.insert(payments, due[order], reports[order])
