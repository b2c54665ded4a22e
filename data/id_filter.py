"""Remembers ids in two bytes each, well enough to say "never seen" with certainty: a Bloom filter that grows.

A filter says "maybe" of every id it was given and, by chance, of a few in a thousand others (Bloom, CACM 13(7), 1970); when
it is full, a second one of twice the size goes on beside it (Almeida et al., Information Processing Letters 101(6), 2007).
`data/prediction_log.py` uses it: nearly every payment is new, and asking the disk whether it is costs more than scoring it.
"""

import logging
import sqlite3
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final

import numpy as np

from data.compiled import entry_point

FIRST_CAPACITY: Final = 65_536  # ids
_log = logging.getLogger(__name__)
_BITS_PER_ID: Final = 16  # with 4 probes: 0.24 % false "maybe" in a full filter


class IdFilter:
    """Ids that were added. Any thread may use it."""

    def __init__(self) -> None:
        self._room = 0  # ids that the last layer still takes
        self._layers: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []
        self._adding = threading.Lock()
        self._probe = entry_point("probe_filter", holding_lock=True)

    def add(self, ids: Sequence[str]) -> list[str]:
        """Remember these. Returns those that may have been added before, or that come twice."""
        if not ids:
            return []
        with self._adding:
            if self._room < len(ids):
                self._room = max(FIRST_CAPACITY << len(self._layers), 1 << (len(ids) - 1).bit_length())
                self._layers.append(np.zeros(self._room * _BITS_PER_ID // 8, np.uint8))
            self._room -= len(ids)
            return self._ask(ids, adds=True)

    def maybe(self, ids: Sequence[str]) -> list[str]:
        """Those that may have been added; all others never were."""
        return self._ask(ids, adds=False)

    def _ask(self, ids: Sequence[str], *, adds: bool) -> list[str]:
        """Those that were added before; the last layer takes all of them when `adds`."""
        encoded = [name.encode() for name in ids]
        ends = array("q", accumulate(map(len, encoded), initial=0))
        found = array("b", bytes(len(ids)))
        letters, (where, _), (answers, count) = b"".join(encoded), ends.buffer_info(), found.buffer_info()
        for bits in self._layers:
            self._probe(bits.ctypes.data, len(bits), letters, where, count, answers, adds and bits is self._layers[-1])
        return [name for name, hit in zip(ids, found, strict=True) if hit] if any(found) else []


class SeenIds:
    """The ids of a whole log in memory, for the one process that adds to it."""

    def __init__(self, stored: Callable[[], Iterator[list[str]]]) -> None:
        """`stored` gives the ids that the log held before; it is asked on a thread, once there is something to compare with them."""
        self._stored = stored
        self._filter = IdFilter()
        self._complete = threading.Event()
        self._loader: threading.Thread | None = None
        self._closing = False

    def maybe(self, ids: Sequence[str]) -> Sequence[str]:
        """Those that the log may hold: all, as long as not everything is known."""
        return self._filter.maybe(ids) if self._complete.is_set() else ids

    def remember(self, ids: Sequence[str]) -> set[str]:
        """These are about to be stored; returns those among them that may be stored already, or that come twice."""
        if self._loader is None:
            self._loader = threading.Thread(target=self._load, name="prediction log ids", daemon=True)
            self._loader.start()
        complete = self._complete.is_set()
        found = self._filter.add(ids)
        return set(found if complete else ids)

    def close(self) -> None:
        """Stop loading."""
        self._closing = True
        if self._loader is not None:
            self._loader.join()

    def _load(self) -> None:
        try:
            for some in self._stored():
                if self._closing:
                    return
                self._filter.add(some)
        except sqlite3.Error as error:  # every question then goes to the file, which is slower and will say the same
            _log.warning("the ids of the prediction log could not be read: %s", error)
            return
        self._complete.set()
