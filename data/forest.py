"""A LightGBM model, evaluated by our own compiled code: the same margins to the last bit, several times sooner.

For scoring, one row or many; any code may use it. LightGBM's library is not loaded: reading the text cannot end the process
(`data/forest_text.py`), and what is read is walked by `data/forest_kernel.py`. With 300 trees of 31 leaves a row costs 4 µs, and
1 µs among many, where the library takes 14 and 13 (`python -m tests.bench forest`). A forest belongs to **one thread**,
because it scores in room of its own.
"""

import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.compiled import entry_point
from data.forest_layout import BLOCK, arrange
from data.forest_text import read_trees

_WORTH_A_BLOCK: Final = BLOCK // 3  # a block costs, full or not, what so many single rows cost


class Forest:
    """The trees of one model, ready to score."""

    def __init__(self, text: bytes) -> None:
        """Read LightGBM's model text. Raises BundleRefused when it is damaged, or of a kind that is not evaluated here."""
        sys.audit("data.forest.read", text)  # for whoever watches what reaches the reader (PEP 578)
        table = read_trees(text)
        self.feature_count = table.feature_count
        self.tree_count = len(table.first_node) - 1
        self._arrays = arrange(table)
        self._places = np.array([array.ctypes.data for array in self._arrays], np.uint64)
        self._lengths = np.array([*map(len, self._arrays), self.feature_count], np.int64)
        self._at = self._places.ctypes.data, self._lengths.ctypes.data
        self._margin, self._margins = entry_point("margin", holding_lock=True), entry_point("margins")
        self._row, self._result = np.empty(self.feature_count), np.empty(1)
        self._one = *self._at, self._row.ctypes.data, self._result.ctypes.data

    def margin(self, features: NDArray[np.float64]) -> float:
        """The raw margin (log odds before calibration) of one row, shape (feature_count,). Raises ValueError."""
        if features.shape != self._row.shape:
            raise ValueError(f"expected ({self.feature_count},) features, found {features.shape}")
        self._row[:] = features
        self._margin(*self._one)
        return float(self._result[0])

    def margins(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw margins of shape (n,) for a matrix of shape (n, feature_count). Raises ValueError."""
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.feature_count:
            raise ValueError(f"expected (n, {self.feature_count}) features, found {rows.shape}")
        in_blocks = len(rows) if len(rows) % BLOCK > _WORTH_A_BLOCK else len(rows) - len(rows) % BLOCK
        margins = np.empty(len(rows))
        self._margins(*self._at, rows.ctypes.data, len(rows), in_blocks if len(self._arrays.trees) else 0, margins.ctypes.data)
        return margins
