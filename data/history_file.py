"""A history at rest: one file, written whole or not at all, refused when it is damaged or of other features.

Only `data/history.py` calls it. The file is a NumPy archive without pickles; its checksums find damaged bytes.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.errors import BadInput, DiskFull
from data.features import FEATURE_SCHEMA_HASH
from data.history_layout import POOLS, State, empty_state, grown

FORMAT: Final = 2
_NEXT_STEP: Final = "Delete the file; the history is rebuilt from the prediction log or by `build_features`."


def write(path: Path, state: State, cards: Sequence[str], terminals: Sequence[str]) -> None:
    """Write the state and the ids by slot. Raises DiskFull; an earlier file then stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    arrays: dict[str, Any] = {"format": np.array(FORMAT), "schema": np.array(FEATURE_SCHEMA_HASH)}
    arrays |= {"card_ids": _bytes(cards), "terminal_ids": _bytes(terminals)}
    arrays |= _compact(state, np.arange(len(cards)), np.arange(len(terminals)))
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


def read(path: Path) -> tuple[State, list[str], list[str]]:
    """The state, the card ids and the terminal ids by slot. Raises BadInput."""
    try:
        with path.open("rb") as bytes_, np.load(bytes_, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"{path.name} is not a readable history.", next_step=_NEXT_STEP, where=str(path)) from error
    if arrays.pop("format", None) != FORMAT or arrays.pop("schema", None) != FEATURE_SCHEMA_HASH:
        raise BadInput(f"{path.name} was written for other features.", next_step=_NEXT_STEP, where=str(path))
    cards, terminals = ([name.decode() for name in arrays[ids].tolist()] for ids in ("card_ids", "terminal_ids"))
    return _expand(arrays, len(cards), len(terminals)), cards, terminals


def digest(state: State, cards: Sequence[str], terminals: Sequence[str]) -> str:
    """SHA-256 of what is remembered, in the order of ids."""
    card_ids, terminal_ids = _bytes(cards), _bytes(terminals)
    by_card, by_terminal = np.argsort(card_ids), np.argsort(terminal_ids)
    arrays = _compact(state, by_card, by_terminal)
    arrays["cards_entries"]["terminal"] = np.argsort(by_terminal)[arrays["cards_entries"]["terminal"]]
    arrays |= {"card_ids": card_ids[by_card], "terminal_ids": terminal_ids[by_terminal]}
    whole = hashlib.sha256(FEATURE_SCHEMA_HASH.encode())
    for name, array in sorted(arrays.items()):
        whole.update(name.encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def _bytes(ids: Sequence[str]) -> NDArray[np.bytes_]:
    return np.array([name.encode() for name in ids], dtype=np.bytes_) if ids else np.empty(0, "S1")


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


def _expand(arrays: dict[str, NDArray[Any]], cards: int, terminals: int) -> State:
    """A state with a little room, from what `_compact` made of it. A terminal's marks are found again at its next payment."""
    state = empty_state(cards + cards // 8 + 1, terminals + terminals // 8 + 1)
    for pool, (used, owners) in POOLS.items():
        for owner in owners:
            runs, entries, taken = arrays[owner], arrays[f"{owner}_entries"], int(state.control[used][0])
            runs["start"] += taken
            if taken + len(entries) > len(getattr(state, pool)):
                state = state._replace(**{pool: grown(getattr(state, pool), (taken + len(entries)) * 3 // 2, fill_zero=False)})
            getattr(state, pool)[taken : taken + len(entries)] = entries
            getattr(state, owner)[: len(runs)] = runs
            state.control[used] += len(entries)
    state.marks[:terminals] = arrays["terminals"]["dropped"][:, None]
    return state
