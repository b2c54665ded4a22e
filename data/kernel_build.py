"""The compiler's side of `data/compiled.py`: `python -m data.kernel_build <file>` writes the compiled functions as object code.

A process of its own, and the only one that imports numba: the compiler takes a second and 130 MB that no user of
the compiled code needs. Each entry point below takes addresses and counts and gives a number, as C would; what they are called
with is in ENTRY_POINTS of `data/compiled.py`.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import carray, cfunc, njit, types

from data import forest_kernel, kernel
from data.compiled import ENTRY_POINTS, host_machine
from data.features import FEATURE_COUNT
from data.forest_layout import CATEGORIES, COLUMN, NODE, TEST, TREE, ForestArrays
from data.history_layout import (
    BORDERS_S,
    CARD,
    CARD_ENTRY,
    CONTROL,
    EVENT,
    POOLS,
    REPORT_ENTRY,
    REPORTS,
    RUN_SIZES,
    TERMINAL,
    TERMINAL_ENTRY,
    State,
)

_ADDRESS, _NUMBER = types.voidptr, types.int64
_BORDERS, _POOLS = len(BORDERS_S), len(POOLS)
_byte, _float, _integer, _short, _word = np.uint8, np.float64, np.int64, np.int32, np.uint32


@njit(forceinline=True)
def _state(at, n):  # type: ignore[no-untyped-def]
    """The state behind its arrays' addresses and lengths, in the order of `State`."""
    return State(
        carray(at[0], n[0], CONTROL), carray(at[1], (_POOLS, RUN_SIZES), _integer),
        carray(at[2], n[2], CARD), carray(at[3], n[3], CARD_ENTRY),
        carray(at[4], n[4], _byte), carray(at[5], n[5], _integer), carray(at[6], n[6], _short),
        carray(at[7], n[7], TERMINAL), carray(at[8], n[8], TERMINAL_ENTRY),
        carray(at[9], n[9], _byte), carray(at[10], n[10], _integer), carray(at[11], n[11], _short),
        carray(at[12], (n[12], _BORDERS), _integer),
        carray(at[13], n[13], REPORTS), carray(at[14], n[14], REPORTS), carray(at[15], n[15], REPORT_ENTRY),
    )  # fmt: skip


def advance(arrays, lengths, by_card, by_terminal, events, rows, row_count, done):  # type: ignore[no-untyped-def]
    """`kernel.advance` of many events. Returns how many of them are not done yet."""
    done = carray(done, 2, _integer)
    kernel.advance(
        _state(arrays, lengths),
        carray(by_card, events, EVENT), carray(by_terminal, events, EVENT), carray(rows, (row_count, FEATURE_COUNT), _float),
        done,
    )  # fmt: skip
    return events - done[1]


def advance_one(arrays, lengths, names, card_end, terminal_end, event, rows, done):  # type: ignore[no-untyped-def]
    """Find the parties of one event by their names, `names[:card_end]` and the rest, then advance by it. Returns 0 when it is done."""
    state, letters = _state(arrays, lengths), carray(names, terminal_end, _byte)
    events, done = carray(event, 1, EVENT), carray(done, 2, _integer)
    card, terminal = kernel.card_slot(state, letters, 0, card_end), kernel.terminal_slot(state, letters, card_end, terminal_end)
    if card < 0 or terminal < 0:
        return 1
    events[0].card, events[0].terminal = card, terminal
    kernel.advance(state, events, events, carray(rows, (1, FEATURE_COUNT), _float), done)
    return 1 - done[1]


def card_slots(arrays, lengths, letters, ends, count, slots, done):  # type: ignore[no-untyped-def]
    """The slots of `count` cards, from number `done` on; name i is letters[ends[i] : ends[i + 1]]. Returns how many are done."""
    state, ends = _state(arrays, lengths), carray(ends, count + 1, _integer)
    letters, slots = carray(letters, ends[count], _byte), carray(slots, count, _short)
    while done < count:
        slot = kernel.card_slot(state, letters, ends[done], ends[done + 1])
        if slot < 0:
            break
        slots[done] = slot
        done += 1
    return done


def terminal_slots(arrays, lengths, letters, ends, count, slots, done):  # type: ignore[no-untyped-def]
    """As `card_slots`."""
    state, ends = _state(arrays, lengths), carray(ends, count + 1, _integer)
    letters, slots = carray(letters, ends[count], _byte), carray(slots, count, _short)
    while done < count:
        slot = kernel.terminal_slot(state, letters, ends[done], ends[done + 1])
        if slot < 0:
            break
        slots[done] = slot
        done += 1
    return done


def index_names(index, length, letters, ends, count):  # type: ignore[no-untyped-def]
    """`kernel.index_names`."""
    ends = carray(ends, count, _integer)
    kernel.index_names(carray(index, length, _short), carray(letters, kernel.name_begin(ends, count), _byte), ends, count)
    return 0


def hash_names(letters, ends, count, keys):  # type: ignore[no-untyped-def]
    """Write the hash of each name; name i is letters[ends[i] : ends[i + 1]]."""
    ends, keys = carray(ends, count + 1, _integer), carray(keys, count, np.uint64)
    letters = carray(letters, ends[count], _byte)
    for i in range(count):
        keys[i] = kernel.name_hash(letters, ends[i], ends[i + 1])
    return 0


def probe_filter(bits, length, letters, ends, count, found, adds):  # type: ignore[no-untyped-def]
    """`kernel.probe_filter` of `count` names; name i is letters[ends[i] : ends[i + 1]]."""
    bits, ends, found = carray(bits, length, _byte), carray(ends, count + 1, _integer), carray(found, count, _byte)
    letters = carray(letters, ends[count], _byte)
    for i in range(count):
        found[i] |= kernel.probe_filter(bits, kernel.name_hash(letters, ends[i], ends[i + 1]), adds)
    return 0


@njit(forceinline=True)
def _forest(at, n):  # type: ignore[no-untyped-def]
    """The forest behind its arrays' addresses and lengths, in the order of `ForestArrays`; behind the lengths, how many features."""
    return ForestArrays(
        carray(at[0], n[0], _word), carray(at[1], n[1], NODE), carray(at[2], n[2], COLUMN),
        carray(at[3], n[3], CATEGORIES), carray(at[4], n[4], _word),
        carray(at[5], n[5], TREE), carray(at[6], n[6], TEST), carray(at[7], n[7], _float),
        carray(at[8], n[8], _float), carray(at[9], n[9], np.uint64), carray(at[10], n[10], _float), carray(at[11], n[11], _word),
    )  # fmt: skip


def margin(arrays, lengths, row, result):  # type: ignore[no-untyped-def]
    """`forest_kernel.margin` of one row, written to `result`."""
    carray(result, 1, _float)[0] = forest_kernel.margin(_forest(arrays, lengths), carray(row, lengths[12], _float))
    return 0


def margins(arrays, lengths, rows, count, in_blocks, results):  # type: ignore[no-untyped-def]
    """`forest_kernel.margins` of `count` rows."""
    rows, results = carray(rows, (count, lengths[12]), _float), carray(results, count, _float)
    forest_kernel.margins(_forest(arrays, lengths), rows, in_blocks, results)
    return 0


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        advance,
        advance_one,
        card_slots,
        terminal_slots,
        index_names,
        hash_names,
        probe_filter,
        margin,
        margins,
    )
}
# What numba puts into every function for errors and reference counts, of which these have none.
_NEVER_CALLED = re.compile(r"^declare (.*@(?:NRT|Py|numba)_?\w+\(.*?\)).*$", re.MULTILINE)
_NEVER_READ = re.compile(r"^(@PyExc_\w+ = )external (global i8)", re.MULTILINE)


def build() -> bytes:
    """The entry points as object code for this machine."""
    machine = host_machine()
    whole = llvm.parse_assembly("")
    for name, parameters in ENTRY_POINTS.items():
        signature = _NUMBER(
            *({"p": _ADDRESS, "P": types.CPointer(_ADDRESS), "N": types.CPointer(_NUMBER), "n": _NUMBER}[kind] for kind in parameters)
        )
        compiled = cfunc(signature, error_model="numpy")(_FUNCTIONS[name])
        part = llvm.parse_assembly(_without_runtime(compiled.inspect_llvm()))
        part.get_function(compiled.native_name).name = name
        whole.link_in(part)
    return bytes(machine.emit_object(whole))


def _without_runtime(text: str) -> str:
    """The module without a need for numba's runtime, which the loading process does not have."""
    return _NEVER_READ.sub(r"\1internal \2 0", _NEVER_CALLED.sub(r"define internal \1 { unreachable }", text))


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(build())
