"""Remembers ids in two bytes each, well enough to say "never seen" with certainty: a Bloom filter that grows.

A filter says "maybe" of every id it was given and, by chance, of a few in a thousand others (Bloom, CACM 13(7), 1970); when
it is full, a second one of twice the size goes on beside it (Almeida et al., Information Processing Letters 101(6), 2007).
`data/prediction_log.py` uses it: nearly every payment is new, and asking the disk whether it is costs more than scoring it.
"""

import threading
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import numpy as np

from data.compiled import entry_point

FIRST_CAPACITY: Final = 65_536  # ids
_BITS_PER_ID: Final = 16  # with 4 probes: 0.24 % false "maybe" in a full filter


class IdFilter:
    """Ids that were added. Any thread may use it."""

    def __init__(self) -> None:
        self._room = 0  # ids that the last layer still takes
        self._layers: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []
        self._adding = threading.Lock()
        self._probe = entry_point("probe_filter", holding_lock=True)

    def add(self, ids: Sequence[str]) -> None:
        """Remember these."""
        if not ids:
            return
        with self._adding:
            if self._room < len(ids):
                self._room = max(FIRST_CAPACITY << len(self._layers), 1 << (len(ids) - 1).bit_length())
                self._layers.append(np.zeros(self._room * _BITS_PER_ID // 8, np.uint8))
            self._room -= len(ids)
            self._ask(self._layers[-1:], ids, adds=True)

    def maybe(self, ids: Sequence[str]) -> list[str]:
        """Those that may have been added; all others never were."""
        found = self._ask(self._layers, ids, adds=False)
        return [name for name, hit in zip(ids, found, strict=True) if hit] if any(found) else []

    def _ask(self, layers: "Sequence[np.ndarray[tuple[int], np.dtype[np.uint8]]]", ids: Sequence[str], *, adds: bool) -> bytearray:
        encoded = [name.encode() for name in ids]
        ends = array("q", accumulate(map(len, encoded), initial=0))
        found = array("b", bytes(len(ids)))
        letters, (where, _), (answers, count) = b"".join(encoded), ends.buffer_info(), found.buffer_info()
        for bits in layers:
            self._probe(bits.ctypes.data, len(bits), letters, where, count, answers, adds)
        return bytearray(found)
