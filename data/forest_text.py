"""LightGBM's model text, read into plain arrays, or refused: the only reader of it that a scoring process needs.

The text comes from outside, so nothing in it is believed: counts are checked before numbers are read, children before
they are followed, and whatever `data/forest.py` would not evaluate exactly is refused by name. Only that file reads here.

The form is that of LightGBM 4 (`Tree::ToString` and `GBDT::SaveModelToString` of its sources): a header of key=value
lines, `tree_sizes` among them; a blank line; blocks of key=value lines that begin with `Tree=<i>` and end with two blank
lines; `end of trees`; then what training leaves for its own readers.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.errors import BundleRefused

MAX_BYTES: Final = 2**27
MAX_TREES: Final = 20_000
MAX_LEAVES: Final = 2**20  # of all trees: twice 2,000 trees of 255 leaves, which are 56 MB of text
MAX_FEATURES: Final = 10_000
MAX_CATEGORY: Final = 2**16
MAX_KEYS: Final = 32  # LightGBM writes 12 in the header, 16 in a tree
CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of a node's decision; above them stands what counts as missing
MISSING_SHIFT, MISSING_NONE, MISSING_ZERO, MISSING_NAN = 2, 0, 1, 2
HEAD_BYTES: Final = 2**17  # more than the header of a model takes: fifty features, and the sizes of 20,000 trees
_NUMBER: Final = rb"(-?\d{1,20}(?:\.\d{1,20})?(?:e[+-]\d{1,3})?)"
_RANGE: Final = re.compile(rb"\[" + _NUMBER + b":" + _NUMBER + rb"\]")
_END: Final = b"\n\n\n"  # of a tree
_Integers = NDArray[np.int64]
_Block = dict[bytes, bytes]


class TreeTable(NamedTuple):
    """All nodes and leaves of all trees. Tree i has nodes first_node[i] to first_node[i + 1], its root first, and so many leaves."""

    feature_count: int
    first_node: _Integers  # (trees + 1,)
    first_leaf: _Integers  # (trees + 1,)
    feature: _Integers  # (nodes,)
    threshold: NDArray[np.float64]  # (nodes,)
    decision: _Integers  # (nodes,), bits as above
    children: _Integers  # (2, nodes), to the left and to the right: a later node, or nodes + leaf
    leaf_value: NDArray[np.float64]  # (leaves,)
    category_sets: tuple[tuple[int, ...], ...]  # per categorical node, in order: what goes left, as 32-bit words of a bit set

    def tree_of_node(self) -> _Integers:
        """Each node's tree, shape (nodes,)."""
        return np.repeat(np.arange(len(self.first_node) - 1), np.diff(self.first_node))


def read_trees(text: bytes) -> TreeTable:
    """Read a whole model. Raises BundleRefused."""
    header, blocks = _sections(text)
    feature_count = _check_header(header)
    leaves = _column(blocks, "num_leaves", [1] * len(blocks), int)
    _require(bool((leaves >= 1).all()) and int(leaves.sum()) <= MAX_LEAVES, f"1 to {MAX_LEAVES:,} leaves", "none, or more")
    _require(all(block.get(b"is_linear", b"0") == b"0" for block in blocks), "constant leaves", "linear ones")
    table = TreeTable(
        feature_count,
        _offsets(leaves - 1),
        _offsets(leaves),
        _column(blocks, "split_feature", leaves - 1, int),
        _column(blocks, "threshold", leaves - 1, float),
        _column(blocks, "decision_type", leaves - 1, int),
        np.stack([_column(blocks, name, leaves - 1, int) for name in ("left_child", "right_child")]),
        _column(blocks, "leaf_value", leaves, float),
        (),
    )
    _check_nodes(table)
    return table._replace(children=_children(table), category_sets=tuple(_category_sets(blocks, table)))


def read_ranges(text: bytes) -> NDArray[np.float64]:
    """The least and the largest value of each feature among the training rows, (2, features).

    LightGBM leaves them in the header. Infinite where it says nothing, as of categories: they tell people, and no score depends on them.
    """
    header = dict(line.partition(b"=")[::2] for line in text.partition(b"\n\n")[0].split(b"\n"))
    told = [_RANGE.fullmatch(word) for word in header.get(b"feature_infos", b"").split()]
    bounds = [(float(found[1]), float(found[2])) if found else (-np.inf, np.inf) for found in told]
    return np.array(bounds, dtype=np.float64).reshape(-1, 2).T


def _sections(text: bytes) -> tuple[_Block, list[_Block]]:
    """The header's keys, and every tree's."""
    _require(len(text) <= MAX_BYTES, f"at most {MAX_BYTES:,} bytes", "more")
    head, _, rest = text.partition(b"\n\n")
    body, end, _ = rest.partition(b"end of trees\n")
    _require(end != b"" and head.startswith(b"tree\n"), "a model text from `tree` to `end of trees`", "another beginning or end")
    _require(0 < body.count(_END) <= MAX_TREES, f"1 to {MAX_TREES:,} trees", "none, or more")
    *blocks, rest = body.split(_END)
    _require(rest == b"", "two blank lines after the last tree", "something else")
    header, trees = dict(line.partition(b"=")[::2] for line in _lines(head)), [_keys(block) for block in blocks]
    _require(all(tree.get(b"Tree") == b"%d" % i for i, tree in enumerate(trees)), "trees numbered from 0", "another order")
    sizes = b" ".join(b"%d" % len(block + _END) for block in blocks)
    _require(header.get(b"tree_sizes") == sizes, "trees of the sizes that the header says", "others")
    return header, trees


def _lines(block: bytes) -> list[bytes]:
    _require(block.count(b"\n") < MAX_KEYS, f"at most {MAX_KEYS} lines in the header and in a tree", "more")
    return block.split(b"\n")


def _keys(tree: bytes) -> _Block:
    """A tree's keys. LightGBM would go on to the next line for a sign that is missing in this one, so nothing may be missing."""
    pairs = [line.partition(b"=") for line in _lines(tree)]
    keys = {key: value for key, sign, value in pairs if sign}
    _require(len(keys) == len(pairs), "lines of key=value, each key once", "another line")
    return keys


def _check_header(header: _Block) -> int:
    """Refuse what is not one sum of trees per row. Returns the number of features."""
    for key, expected in ((b"version", b"v4"), (b"num_class", b"1"), (b"num_tree_per_iteration", b"1")):
        _require(header.get(key) == expected, f"{key.decode()}={expected.decode()}", "another value")
    _require(header.get(b"objective", b"").split(b" ")[0] == b"binary", "the objective binary", "another")
    _require(b"average_output" not in header, "a sum of trees", "an average of them")
    last = int(_column([header], "max_feature_idx", [1], int)[0])
    _require(0 <= last < MAX_FEATURES, f"1 to {MAX_FEATURES:,} features", "another number")
    return last + 1


def _column(blocks: list[_Block], name: str, counts: Iterable[int], kind: Callable[[bytes], Any]) -> NDArray[Any]:
    """One field of all trees: `counts[i]` numbers, with a blank between them, of tree i."""
    lines = []
    for block, count in zip(blocks, counts, strict=True):
        line = block.get(name.encode(), b"")
        found = line.count(b" ") + 1 if line else 0
        _require(found == count, f"{count} numbers of {name}", f"{found}")
        lines += [line] if line else []
    numbers = b" ".join(lines).split(b" ") if lines else []
    try:  # Python reads a decimal as LightGBM does: to the nearest double
        return np.array(list(map(kind, numbers)), np.float64 if kind is float else np.int64)
    except (ValueError, OverflowError):
        raise refusal(f"numbers of {name}", "something else") from None


def _check_nodes(table: TreeTable) -> None:
    feature, decision = table.feature, table.decision
    _require(bool(((feature >= 0) & (feature < table.feature_count)).all()), "splits on the model's features", "another feature")
    known = (decision >= 0) & (decision >> MISSING_SHIFT <= MISSING_NAN)
    _require(bool(known.all()), "decisions of a known kind", "another kind")
    _require(not np.isnan(table.threshold).any(), "thresholds", "one that is not a number")
    _require(bool(np.isfinite(table.leaf_value).all()), "finite leaf values", "one that is not")


def _children(table: TreeTable) -> _Integers:
    """Children numbered through the forest. In the text they are a node of their tree, or ~leaf.

    A child follows its parent, and every node but a root, and every leaf, has one parent: so these are trees.
    """
    tree = table.tree_of_node()
    nodes, leaves = np.diff(table.first_node)[tree], np.diff(table.first_leaf)[tree]
    own, child = np.arange(len(tree)) - table.first_node[tree], table.children
    known = np.where(child < 0, ~child < leaves, (child > own) & (child < nodes))
    _require(bool(known.all()), "children after their parent and inside its tree", "another")
    child = np.where(child < 0, len(tree) + table.first_leaf[tree] + ~child, table.first_node[tree] + child)
    parents = np.bincount(child.ravel(), minlength=len(tree) + len(table.leaf_value))
    parents[roots(table)] += 1  # which need none
    _require(bool((parents == 1).all()), "one parent for every node and leaf", "none, or more")
    return child


def roots(table: TreeTable) -> _Integers:
    """Where each tree begins: its first node or, of a tree without nodes, nodes + its leaf."""
    return np.where(np.diff(table.first_node) > 0, table.first_node[:-1], len(table.feature) + table.first_leaf[:-1])


def _offsets(counts: _Integers) -> _Integers:
    """How many come before each, and at the end how many there are; shape (n + 1,)."""
    return np.concatenate([[0], np.cumsum(counts)])


def _category_sets(blocks: list[_Block], table: TreeTable) -> Iterator[tuple[int, ...]]:
    """The set of each categorical node, whose threshold says which of its tree's sets that is."""
    counts = _column(blocks, "num_cat", [1] * len(blocks), int)
    _require(bool(((counts >= 0) & (counts <= np.diff(table.first_node))).all()), "as many sets of categories as nodes, or fewer", "others")
    some = [block for block, count in zip(blocks, counts, strict=True) if count]
    bounds = _column(some, "cat_boundaries", counts[counts > 0] + 1, int)
    last = np.cumsum(counts[counts > 0] + 1) - 1  # of each tree's bounds
    sizes = np.delete(np.diff(bounds), last[:-1])
    whole = bool((bounds[last - counts[counts > 0]] == 0).all() and ((sizes >= 1) & (sizes <= MAX_CATEGORY // 32)).all())
    _require(whole, f"sets of categories below {MAX_CATEGORY:,}", "others")
    words = _column(some, "cat_threshold", bounds[last], int)
    _require(bool(((words >= 0) & (words < 2**32)).all()), "words of 32 bits", "others")

    categorical = table.decision & CATEGORICAL != 0
    number, tree = table.threshold[categorical], table.tree_of_node()[categorical]
    _require(
        bool(((number >= 0) & (number < counts[tree]) & (number == np.floor(number))).all()), "a set for every categorical node", "none"
    )
    begins, words_of = _offsets(sizes).tolist(), words.tolist()
    for chosen in (_offsets(counts)[tree] + number.astype(np.int64)).tolist():
        yield tuple(words_of[begins[chosen] : begins[chosen + 1]])


def _require(condition: bool, expected: str, found: str) -> None:
    if not condition:
        raise refusal(expected, found)


def refusal(expected: str, found: str) -> BundleRefused:
    """Why a model text is not evaluated."""
    return BundleRefused.differs("model.lgb", expected, found)
