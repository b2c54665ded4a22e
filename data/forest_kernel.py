"""The compiled evaluation of a forest: one row down many trees at a time, or many rows through all tests of a tree.

Only `data/forest.py` calls it, by way of `data/compiled.py`. The arrays and the one form of all tests are in
`data/forest_layout.py`. Nothing is allocated here, and a margin is summed as LightGBM does: from 0.0, tree after tree.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from data.forest_layout import BLOCK, LANES, PITCH

ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold: what is this near to 0 is 0
_ALL_OPEN = np.uint64(2**64 - 1)
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_inner = njit(forceinline=True, **_OPTIONS)
_function = njit(**_OPTIONS)


@intrinsic
def _trailing_zeros(_, word):  # type: ignore[no-untyped-def]  # noqa: ARG001  numba counts the arguments
    """How many bits below the lowest one that is set; one must be."""

    def generate(_, builder, __, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@_inner
def _prepare(forest, row, prepared, place, stride):  # type: ignore[no-untyped-def]
    """Write every column of one row to prepared[place], prepared[place + stride] and so on."""
    prepared[place] = -np.inf
    at = place + stride
    for i in range(len(forest.columns)):
        column = forest.columns[i]
        x = row[np.uintp(column.feature)]
        if abs(x) <= ZERO:
            x = column.when_zero
        prepared[at] = x if x == x else column.when_missing
        at += stride
    for i in range(len(forest.categories)):
        sets = forest.categories[i]
        x = row[np.uintp(sets.feature)]
        inside = -1.0 < x < 32.0 * sets.words  # LightGBM cuts the fraction off; NaN is outside
        category = np.uintp(x) if inside and x > 0.0 else np.uintp(0)
        begin = np.uintp(sets.begin) + (category >> np.uintp(5)) * np.uintp(sets.count)
        bit = np.uint32(category & np.uintp(31))
        for k in range(sets.count):
            member = (forest.words[begin + np.uintp(k)] >> bit) & np.uint32(1)
            prepared[at] = 1.0 - member if inside else 1.0
            at += stride


@_function
def margin(forest, row):  # type: ignore[no-untyped-def]
    """The margin of one row, (feature_count,): LANES trees are walked in turn, so that none waits for its memory alone."""
    prepared, nodes, cursors = forest.prepared, forest.nodes, forest.cursors
    _prepare(forest, row, prepared, np.uintp(0), np.uintp(1))
    total = 0.0
    for first in range(0, len(forest.roots), LANES):
        for lane in range(LANES):
            cursors[lane] = forest.roots[np.uintp(first + lane)]
        walking = np.uint32(1)
        while walking:
            walking = np.uint32(0)
            for lane in range(LANES):
                node = nodes[np.uintp(cursors[lane])]
                right = not prepared[np.uintp(node.column)] <= node.threshold
                cursors[lane] = node.child + right
                walking |= nodes[np.uintp(cursors[lane])].column
        for lane in range(LANES):
            total += nodes[np.uintp(cursors[lane])].threshold
    return total


@_function
def margins_of_block(forest, rows, first, count, margins):  # type: ignore[no-untyped-def]
    """The margins of rows[first : first + count], at most BLOCK. All trees must be small enough for `forest.tests`."""
    prepared, open_leaves, sums = forest.prepared, forest.open_leaves, forest.sums
    for row in range(count):
        _prepare(forest, rows[np.uintp(first + row)], prepared, np.uintp(row), np.uintp(PITCH))
    for row in range(BLOCK):
        sums[row] = 0.0
    for i in range(len(forest.trees)):
        tree = forest.trees[i]
        for row in range(BLOCK):
            open_leaves[row] = _ALL_OPEN
        for k in range(tree.begin, tree.end):
            test = forest.tests[np.uintp(k)]
            threshold, stay_open, column = test.threshold, test.stay_open, np.uintp(test.column) * np.uintp(PITCH)
            for row in range(BLOCK):
                left = prepared[column + np.uintp(row)] <= threshold
                open_leaves[row] &= _ALL_OPEN if left else stay_open
        for row in range(BLOCK):
            sums[row] += forest.leaf_values[np.uintp(tree.leaf) + _trailing_zeros(open_leaves[row])]
    for row in range(count):
        margins[np.uintp(first + row)] = sums[row]


@_function
def margins(forest, rows, in_blocks, margins):  # type: ignore[no-untyped-def]
    """The margins of all rows, (n, feature_count): the first `in_blocks` of them block by block, the others one by one."""
    for first in range(0, in_blocks, BLOCK):
        margins_of_block(forest, rows, first, min(BLOCK, in_blocks - first), margins)
    for row in range(in_blocks, len(rows)):
        margins[np.uintp(row)] = margin(forest, rows[np.uintp(row)])
