"""A history at rest: one file, written whole or not at all, refused when it is damaged or of other features.

Only `data/history.py` calls it. The file is a NumPy archive without pickles; its checksums find damaged bytes.
"""

import hashlib
import os
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.errors import BadInput, DiskFull
from data.features import FEATURE_SCHEMA_HASH
from data.history_layout import BY_SLOT, POOLS, State, empty_state, run_capacity, with_room
from data.partial import partial_of

FORMAT: Final = 3
_ROOM: Final = 1024  # letters of ids to come
_NEXT_STEP: Final = "Delete the file; the history is rebuilt from the prediction log or by `build_features`."


def write(path: Path, state: State) -> None:
    """Write the state. Raises DiskFull; an earlier file then stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    arrays: dict[str, Any] = {"format": np.array(FORMAT), "schema": np.array(FEATURE_SCHEMA_HASH)}
    arrays |= {f"{owner}_names": _letters(state, owner) for owner in BY_SLOT}
    arrays |= {f"{owner}_ends": getattr(state, f"{owner}_ends")[: _count(state, owner)] for owner in BY_SLOT}
    arrays |= _compact(state, *(np.arange(_count(state, owner)) for owner in BY_SLOT))
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DiskFull(
            f"{path.name} could not be written ({error.strerror}).",
            next_step="Free some space or point LAB_HOME at another disk, then run the same command again.",
            where=str(path),
        ) from error


def read(path: Path) -> State:
    """The state, but for the indexes of the ids, which are empty. Raises BadInput."""
    try:
        with path.open("rb") as bytes_, np.load(bytes_, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"{path.name} is not a readable history.", next_step=_NEXT_STEP, where=str(path)) from error
    if arrays.pop("format", None) != FORMAT or arrays.pop("schema", None) != FEATURE_SCHEMA_HASH:
        raise BadInput(f"{path.name} was written for other features.", next_step=_NEXT_STEP, where=str(path))
    return _expand(arrays)


def digest(state: State) -> str:
    """SHA-256 of what is remembered, in the order of ids."""
    card_ids, terminal_ids = _ids(state, "card"), _ids(state, "terminal")
    by_card, by_terminal = np.argsort(card_ids), np.argsort(terminal_ids)
    arrays = _compact(state, by_card, by_terminal)
    arrays["cards_entries"]["terminal"] = np.argsort(by_terminal)[arrays["cards_entries"]["terminal"]]
    arrays |= {"card_ids": card_ids[by_card], "terminal_ids": terminal_ids[by_terminal]}
    whole = hashlib.sha256(FEATURE_SCHEMA_HASH.encode())
    for name, array in sorted(arrays.items()):
        whole.update(name.encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def _count(state: State, owner: str) -> int:
    return int(state.control[0][f"{owner}s"])


def _letters(state: State, owner: str) -> NDArray[np.uint8]:
    count, ends = _count(state, owner), getattr(state, f"{owner}_ends")
    letters: NDArray[np.uint8] = getattr(state, f"{owner}_letters")
    return letters[: ends[count - 1] if count else 0]


def _ids(state: State, owner: str) -> NDArray[np.bytes_]:
    """The ids by slot."""
    letters, ends = _letters(state, owner).tobytes(), getattr(state, f"{owner}_ends")[: _count(state, owner)].tolist()
    return np.array([letters[begin:end] for begin, end in pairwise([0, *ends])], dtype=np.bytes_) if ends else np.empty(0, "S1")


def _compact(state: State, cards: NDArray[np.int64], terminals: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The runs of these slots in this order, and their entries without gaps."""
    arrays: dict[str, NDArray[Any]] = {}
    for pool, (_, owners) in POOLS.items():
        for owner in owners:
            runs = getattr(state, owner)[cards if owner.startswith("card") else terminals]
            size = runs["size"].astype(np.int64)
            before = np.cumsum(size) - size
            where = np.repeat(runs["start"] + runs["head"] - before, size) + np.arange(size.sum())
            runs["start"], runs["head"], runs["capacity"] = before, 0, size
            arrays[owner], arrays[f"{owner}_entries"] = runs, getattr(state, pool)[where]
    return arrays


def _expand(arrays: dict[str, NDArray[Any]]) -> State:
    """A state with room in every run, from what `write` made of it. A terminal's marks are found again at its next payment.

    Without that room the first payments after a start would move nearly every run, and copy the pools that fill up with them.
    """
    counts = {owner: len(arrays[f"{owner}_ends"]) for owner in BY_SLOT}
    state = empty_state(*(count + count // 8 + 1 for count in counts.values()))
    for owner, count in counts.items():
        getattr(state, f"{owner}_ends")[:count] = arrays[f"{owner}_ends"]
        state.control[f"{owner}s"] = count
        state = state._replace(**{f"{owner}_letters": np.append(arrays[f"{owner}_names"], np.empty(_ROOM, np.uint8))})
    for pool, (used, owners) in POOLS.items():
        for owner in owners:
            runs, entries = arrays[owner], arrays[f"{owner}_entries"]
            runs["capacity"] = run_capacity(runs["size"])
            state = with_room(state, pool, 2 * int(runs["capacity"].sum()))
            before, taken = runs["start"].copy(), int(state.control[used][0])
            runs["start"] = taken + np.cumsum(runs["capacity"]) - runs["capacity"]
            getattr(state, pool)[np.repeat(runs["start"] - before, runs["size"]) + np.arange(len(entries))] = entries
            getattr(state, owner)[: len(runs)] = runs
            state.control[used] += runs["capacity"].sum()
    state.marks[: counts["terminal"]] = arrays["terminals"]["dropped"][:, None]
    return state
