"""How a forest lies in memory: plain arrays, described once for the compiled kernel and for the code around it.

Every test of every tree is brought to one form, `prepared[column] <= threshold` goes left, so that no walk has to know what
a missing value is. A column is a feature prepared for one way of treating missing values, or the answer, 0 or 1,
whether a category is in one set. Few columns serve all nodes: 9,000 nodes of 300 trees share 75 and 184 of them.

The same tests are kept twice, as each use is fast. One row walks down `nodes`, where a leaf is its own child: no walk asks
where it ends, so many can go side by side. Blocks of rows ask all `tests` of a tree, each for all rows at once; a test that a
row fails closes the leaves to its left, and the first open leaf is the row's own (QuickScorer: Lucchese et al., SIGIR 2015).
"""

from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.forest_text import CATEGORICAL, DEFAULT_LEFT, MISSING_NONE, MISSING_SHIFT, MISSING_ZERO, TreeTable, refusal, roots

LANES: Final = 10  # trees that one row walks at a time: 8 to 16 take the same time, 4 half as much again
BLOCK: Final = 64  # rows asked at a time: 128 take a tenth less each, but more when there are few; LLVM unrolls 32, four times slower
PITCH: Final = BLOCK + 8  # numbers from one column of a block to the next: not a power of two, as those fall on few cache sets
MAX_BLOCK_LEAVES: Final = 64  # of a tree: its open leaves are the bits of a word
MAX_COLUMNS: Final = 2**16
MAX_SET_WORDS: Final = 2**22
ALIGNMENT: Final = 64  # bytes: a vector across two cache lines makes blocks a third slower

NODE = np.dtype([("threshold", "f8"), ("child", "u4"), ("column", "u4")])  # of a leaf: its value, itself, column 0
COLUMN = np.dtype([("when_missing", "f8"), ("when_zero", "f8"), ("feature", "i8")])
# Sets of categories of one feature: word i of all `count` sets, then word i + 1 of all; the sets' columns follow one another.
CATEGORIES = np.dtype([("feature", "i8"), ("column", "i8"), ("count", "i8"), ("words", "i8"), ("begin", "i8")])
TEST = np.dtype([("threshold", "f8"), ("stay_open", "u8"), ("column", "i8")])
TREE = np.dtype([("begin", "i8"), ("end", "i8"), ("leaf", "i8")])  # of its tests; its first leaf


class ForestArrays(NamedTuple):
    """A forest, and the room to score with it."""

    roots: NDArray[np.uint32]  # (trees, to a multiple of LANES with trees that add nothing,)
    nodes: NDArray[np.void]
    columns: NDArray[np.void]  # prepared columns from 1 on; column 0 is below every threshold
    categories: NDArray[np.void]
    words: NDArray[np.uint32]
    trees: NDArray[np.void]  # none when a tree has too many leaves for blocks
    tests: NDArray[np.void]
    leaf_values: NDArray[np.float64]  # of each tree from left to right
    prepared: NDArray[np.float64]  # (columns x PITCH,): room
    open_leaves: NDArray[np.uint64]  # (BLOCK,): room
    sums: NDArray[np.float64]  # (BLOCK,): room
    cursors: NDArray[np.uint32]  # (LANES,): room


def arrange(table: TreeTable) -> ForestArrays:
    """Lay the trees out for the kernel. Raises BundleRefused when columns or sets of categories would take too much room."""
    columns, categories, words, column, threshold = _columns(table)
    width = 1 + len(columns) + int(categories["count"].sum())
    if width > MAX_COLUMNS:
        raise refusal(f"tests of at most {MAX_COLUMNS:,} kinds", "more")
    blocks = bool((np.diff(table.first_leaf) <= MAX_BLOCK_LEAVES).all())
    trees, tests, leaf_values = _tests(table, column, threshold) if blocks else (_none(TREE), _none(TEST), _none(np.float64))
    return ForestArrays(
        *_nodes(table, column, threshold), columns, categories, words, trees, tests, leaf_values,
        _aligned(width * PITCH, np.float64), _aligned(BLOCK, np.uint64), _aligned(BLOCK, np.float64), np.zeros(LANES, np.uint32),
    )  # fmt: skip


def _columns(table: TreeTable) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint32], NDArray[np.int64], NDArray[np.float64]]:
    """The columns, numeric ones first, and each node's column and threshold."""
    categorical = table.decision & CATEGORICAL != 0
    missing, default_left = table.decision >> MISSING_SHIFT, table.decision & DEFAULT_LEFT != 0
    # Without missing values a NaN is 0. Else what is missing must go left, as -inf does, or right, as NaN does at any threshold.
    default = np.where(default_left, -np.inf, np.nan)
    way = np.zeros(len(missing), COLUMN)
    way["feature"] = table.feature
    way["when_missing"] = np.where(missing == MISSING_NONE, 0.0, default)
    way["when_zero"] = np.where(missing == MISSING_ZERO, default, 0.0)
    key = (table.feature << 3) + np.where(missing == MISSING_NONE, 0, (missing << 1) + default_left)
    _, first, number = np.unique(key[~categorical], return_index=True, return_inverse=True)
    columns = way[~categorical][first]
    column, threshold = np.zeros(len(key), np.int64), table.threshold.copy()
    column[~categorical] = 1 + number
    tests = list(zip(table.feature[categorical].tolist(), table.category_sets, strict=True))
    number_of = {test: i for i, test in enumerate(sorted(set(tests)), start=1 + len(columns))}
    column[categorical], threshold[categorical] = [number_of[test] for test in tests], 0.5  # 0 in the set, else 1
    return columns, *_categories(list(number_of), 1 + len(columns)), column, threshold


def _categories(tests: list[tuple[int, tuple[int, ...]]], column: int) -> tuple[NDArray[Any], NDArray[np.uint32]]:
    """The sets of (feature, set), sorted, feature by feature; the first has this column."""
    categories, words = [], [np.zeros(0, np.uint32)]
    for feature, group in groupby(tests, key=lambda test: test[0]):
        sets = [test[1] for test in group]
        width, begin = max(map(len, sets)), sum(map(len, words))
        if begin + width * len(sets) > MAX_SET_WORDS:
            raise refusal(f"sets of categories in at most {MAX_SET_WORDS:,} words", "more")
        categories.append((feature, column, len(sets), width, begin))
        words.append(np.array([one + (0,) * (width - len(one)) for one in sets], np.uint32).T.ravel())
        column += len(sets)
    return np.array(categories, CATEGORIES), np.concatenate(words)


def _nodes(table: TreeTable, column: NDArray[np.int64], threshold: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """Each tree's root, then the children of its node 0, of its node 1 and so on, in pairs: LightGBM's order has the busiest first."""
    count, tree = len(column), table.tree_of_node()
    begin = table.first_node + table.first_leaf  # of each tree
    pair = begin[tree] + 1 + 2 * (np.arange(count) - table.first_node[tree])
    place = np.zeros(begin[-1], np.int64)  # of the nodes, then of the leaves
    place[roots(table)] = begin[:-1]
    place[table.children] = pair, pair + 1
    nodes = np.zeros(begin[-1] + 1, NODE)  # the last is a leaf of value 0
    nodes["threshold"][place] = np.concatenate([threshold, table.leaf_value])
    nodes["column"][place[:count]] = column
    nodes["child"] = np.arange(len(nodes))
    nodes["child"][place[:count]] = pair
    padding = np.full(-len(begin[:-1]) % LANES, begin[-1])
    return np.concatenate([begin[:-1], padding]).astype(np.uint32), nodes


def _tests(
    table: TreeTable, column: NDArray[np.int64], threshold: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """The tests of each tree by column, so that a column is read once, and its leaves from left to right."""
    count = len(column)
    size, first = _leaves_below(table)
    one = np.uint64(1)
    closes = ((one << size[table.children[0]]) - one) << first[:count]
    tests = np.zeros(count, TEST)
    tests["threshold"], tests["stay_open"], tests["column"] = threshold, ~closes, column
    leaf_values = np.zeros(len(table.leaf_value))
    leaf_values[np.repeat(table.first_leaf[:-1], np.diff(table.first_leaf)) + first[count:].astype(np.int64)] = table.leaf_value
    trees = np.zeros(len(table.first_node) - 1, TREE)
    trees["begin"], trees["end"], trees["leaf"] = table.first_node[:-1], table.first_node[1:], table.first_leaf[:-1]
    return trees, tests[np.lexsort((column, table.tree_of_node()))], leaf_values


def _leaves_below(table: TreeTable) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """How many leaves each node or leaf has below it, and how many leaves its tree has to the left of those."""
    left, right = table.children
    nodes_of = np.diff(table.first_node)
    # Node i of every tree that has one, side by side: children come after their parents, and in reverse before them.
    ranks = [table.first_node[:-1][nodes_of > i] + i for i in range(int(nodes_of.max()))]
    size = np.ones(table.first_node[-1] + table.first_leaf[-1], np.uint64)
    for nodes in reversed(ranks):
        size[nodes] = size[left[nodes]] + size[right[nodes]]
    first = np.zeros(len(size), np.uint64)
    for nodes in ranks:
        first[left[nodes]] = first[nodes]
        first[right[nodes]] = first[nodes] + size[left[nodes]]
    return size, first


def _none(dtype: Any) -> NDArray[Any]:
    return np.zeros(0, dtype)


def _aligned(length: int, dtype: Any) -> NDArray[Any]:
    """Zeros at an address that is a multiple of ALIGNMENT."""
    room = np.zeros(length * np.dtype(dtype).itemsize + ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % ALIGNMENT
    return room[begin : begin + length * np.dtype(dtype).itemsize].view(dtype)
