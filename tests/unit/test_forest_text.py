"""A model text that is damaged, of another kind, or made to do harm is refused by name; what is accepted stays inside its arrays."""

import re
import time
from collections.abc import Callable

import lightgbm
import numpy as np
import pytest
from numpy.random import Generator

from data import forest_layout, forest_text
from data.errors import BundleRefused
from data.forest import Forest
from data.forest_layout import ForestArrays, arrange
from data.forest_text import read_trees
from tests.bundles import random_features, train_booster

TEXT = train_booster(trees=6).model_to_string().encode()
ROWS = random_features(100, seed=1)
SENTENCE = re.compile(r"model\.lgb: expected .+, found .+\.")
HOSTILE_NUMBERS = (
    b"-1", b"0", b"13", b"14", b"99999999", b"-99999999", b"2147483648", b"1e999", b"nan", b"-inf", b"9" * 5_000, b"0x1f", b"1 1",
    b"", b"=", b"\xff",
)  # fmt: skip


def with_sizes(text: bytes) -> bytes:
    """The text with the tree sizes that it now has: a change that the header does not give away."""
    head, _, rest = text.partition(b"\n\n")
    blocks = rest.partition(b"end of trees\n")[0].split(b"\n\n\n")[:-1]
    sizes = b" ".join(b"%d" % (len(block) + 3) for block in blocks)
    return re.sub(rb"tree_sizes=.*", b"tree_sizes=" + sizes, head) + b"\n\n" + rest


def changed(pattern: str, replacement: str, count: int = 1) -> bytes:
    text, found = re.subn(pattern.encode(), replacement.encode(), TEXT, count=count, flags=re.MULTILINE)
    assert found >= 1 and text != TEXT, f"{pattern} is not in the text"
    return with_sizes(text)


def trained(**parameters: object) -> bytes:
    x = ROWS[:, :4]
    y = np.arange(100) % 3 if "num_class" in parameters else np.arange(100) % 2
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, **parameters}
    return lightgbm.train(settings, lightgbm.Dataset(x, y.astype(float), params=settings), num_boost_round=2).model_to_string().encode()


OTHER_KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "linear leaves": (lambda: trained(objective="binary", linear_tree=True), "constant leaves"),
    "several classes": (lambda: trained(objective="multiclass", num_class=3), "num_class=1"),
    "an average": (lambda: trained(objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.5), "a sum of trees"),
    "a regression": (lambda: trained(objective="regression"), "the objective binary"),
    "an unknown objective": (lambda: changed("^objective=.*\n", ""), "the objective binary"),
    "a later form of the text": (lambda: changed("^version=v4", "version=v5"), "version=v4"),
}
DAMAGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "a model text"),
    "a pickle": (lambda: b"\x80\x04\x95" + bytes(100), "a model text"),
    "cut off": (lambda: TEXT[: len(TEXT) // 2], "a model text"),
    "no trees": (lambda: with_sizes(re.sub(rb"(?s)\n\nTree=0.*end of trees", b"\n\nend of trees", TEXT)), "trees"),
    "a tree missing": (lambda: with_sizes(re.sub(rb"(?s)Tree=2.*?\n\n\n", b"", TEXT)), "numbered from 0"),
    "sizes of others": (lambda: TEXT.replace(b"tree_sizes=", b"tree_sizes=1", 1), "the sizes that the header says"),
    "no leaves": (lambda: changed("^num_leaves=.*", "num_leaves=0"), "leaves"),
    "more leaves than memory": (lambda: changed("^num_leaves=.*", "num_leaves=2000000000"), "leaves"),
    "leaves beyond any integer": (lambda: changed("^num_leaves=.*", "num_leaves=" + "9" * 30), "numbers of num_leaves"),
    "one number too few": (lambda: changed("^threshold=\\S+ ", "threshold="), "numbers of threshold"),
    "two blanks": (lambda: changed("^(threshold=\\S+) \\S+ ", "\\1  "), "numbers of threshold"),
    "a line missing": (lambda: changed("^leaf_value=.*\n", ""), "numbers of leaf_value"),
    "a line without a sign": (lambda: changed("^shrinkage=", "shrinkage:"), "key=value"),
    "a key twice": (lambda: changed("^shrinkage=", "leaf_value=1\nshrinkage="), "key=value"),
    "a word": (lambda: changed("^split_feature=\\S+", "split_feature=amount"), "numbers of split_feature"),
    "a feature too far": (lambda: changed("^split_feature=\\S+", "split_feature=52"), "features"),
    "a negative feature": (lambda: changed("^split_feature=\\S+", "split_feature=-1"), "features"),
    "a child outside": (lambda: changed("^left_child=\\S+", "left_child=99999999"), "children"),
    "a leaf outside": (lambda: changed("^right_child=\\S+", "right_child=-99999999"), "children"),
    "its own child": (lambda: changed("^left_child=\\S+", "left_child=0"), "children"),
    "a circle": (lambda: changed("^left_child=.*", "left_child=" + " ".join(["0"] * 14)), "children"),
    "two parents": (lambda: changed("^(left_child=.*)\n(right_child=).*", "\\1\n\\2" + " ".join(["-1"] * 14)), "one parent"),
    "a leaf that is not a number": (lambda: changed("^leaf_value=\\S+", "leaf_value=nan"), "finite leaf values"),
    "an infinite leaf": (lambda: changed("^leaf_value=\\S+", "leaf_value=1e999"), "finite leaf values"),
    "no threshold": (lambda: changed("^threshold=\\S+", "threshold=nan"), "thresholds"),
    "an unknown decision": (lambda: changed("^decision_type=\\S+", "decision_type=12"), "decisions"),
    "a negative decision": (lambda: changed("^decision_type=\\S+", "decision_type=-2"), "decisions"),
    "a set that is not there": (lambda: changed("^cat_boundaries=0 (.*)", "cat_boundaries=7 \\1"), "sets of categories"),
    "an endless set": (lambda: changed("^cat_boundaries=0 .*", "cat_boundaries=0 " + "9" * 9), "numbers of cat_boundaries"),
    "more sets than nodes": (lambda: changed("^num_cat=[1-9].*", "num_cat=15"), "as many sets"),
    "sets for nobody": (lambda: changed("^num_cat=[1-9].*", "num_cat=0"), "a set for every categorical node"),
    "half a word": (lambda: changed("^cat_threshold=\\S+", "cat_threshold=4294967296"), "words of 32 bits"),
    "features without end": (lambda: changed("^max_feature_idx=51", "max_feature_idx=2000000000"), "features"),
}


@pytest.mark.parametrize("name", [*OTHER_KINDS, *DAMAGE])
def test_what_is_not_evaluated_exactly_is_refused_by_name(name: str) -> None:
    make, expected = (OTHER_KINDS | DAMAGE)[name]
    with pytest.raises(BundleRefused, match=expected) as refused:
        Forest(make())
    assert SENTENCE.fullmatch(refused.value.message) and refused.value.where == "model.lgb"


def test_the_text_as_it_is_is_accepted() -> None:
    assert with_sizes(TEXT) == TEXT
    assert Forest(TEXT).tree_count == 6


def test_a_huge_text_is_refused_before_it_is_taken_apart() -> None:
    begin = time.process_time()
    for text in (
        bytes(forest_text.MAX_BYTES + 1),
        b"tree\n\n\n" + b"\n" * 20_000_000 + b"end of trees\n",
        b"tree\n" * 10_000_000 + b"\n\n\nend of trees\n",
    ):
        with pytest.raises(BundleRefused):
            read_trees(text)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(("limit", "reason"), [("MAX_SET_WORDS", "sets of categories"), ("MAX_COLUMNS", "tests")])
def test_trees_that_take_too_much_room_are_refused(limit: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read_trees(TEXT)
    arrange(table)
    monkeypatch.setattr(forest_layout, limit, 3)
    with pytest.raises(BundleRefused, match=reason):
        arrange(table)


def _flip(text: bytearray, rng: Generator) -> None:
    for at in rng.integers(len(text), size=rng.integers(1, 4)):
        text[at] ^= 1 << int(rng.integers(8))


def _cut(text: bytearray, rng: Generator) -> None:
    begin, length = int(rng.integers(len(text))), int(rng.integers(1, 200))
    del text[begin : begin + length]


def _zero(text: bytearray, rng: Generator) -> None:
    begin = int(rng.integers(len(text)))
    text[begin : begin + 64] = bytes(64)


def _splice(text: bytearray, rng: Generator) -> None:
    begin, source = rng.integers(len(text), size=2).tolist()
    text[begin : begin + 80] = text[source : source + 80]


def _replace_number(text: bytearray, rng: Generator) -> None:
    body = bytes(text[: text.index(b"end of trees")])
    numbers = list(re.finditer(rb"(?<=[= ])[-+.e0-9]+", body))
    chosen = numbers[int(rng.integers(len(numbers)))]
    text[chosen.start() : chosen.end()] = HOSTILE_NUMBERS[int(rng.integers(len(HOSTILE_NUMBERS)))]


def _change_digit(text: bytearray, rng: Generator) -> None:
    lines = list(re.finditer(rb"(?m)^(leaf_value|threshold|split_feature|decision_type)=.*$", bytes(text)))
    chosen = lines[int(rng.integers(len(lines)))]
    digits = [at for at in range(*chosen.span()) if bytes(text[at : at + 1]).isdigit()]
    text[digits[int(rng.integers(len(digits)))]] = ord("0") + int(rng.integers(10))


def _swap_lines(text: bytearray, rng: Generator) -> None:
    lines = bytes(text).split(b"\n")
    one, other = rng.integers(len(lines), size=2).tolist()
    lines[one], lines[other] = lines[other], lines[one]
    text[:] = b"\n".join(lines)


MUTATIONS = (_flip, _cut, _zero, _splice, _replace_number, _replace_number, _change_digit, _swap_lines)


def assert_inside(arrays: ForestArrays, feature_count: int) -> None:
    """Every index that compiled code follows, which checks none, lies inside its array, and every walk ends."""
    nodes, width = arrays.nodes, len(arrays.prepared) // forest_layout.PITCH
    leaves = nodes["column"] == 0
    own = np.arange(len(nodes))
    assert arrays.roots.max() < len(nodes) and not len(arrays.roots) % forest_layout.LANES and len(arrays.cursors) == forest_layout.LANES
    assert (nodes["child"][leaves] == own[leaves]).all() and (nodes["child"][~leaves] > own[~leaves]).all()
    assert (nodes["child"][~leaves] + 1 < len(nodes)).all() and (nodes["column"] < width).all()
    assert ((arrays.columns["feature"] >= 0) & (arrays.columns["feature"] < feature_count)).all()
    for sets in arrays.categories:
        assert 0 <= sets["feature"] < feature_count and sets["column"] + sets["count"] <= width
        assert sets["begin"] >= 0 and sets["begin"] + sets["words"] * sets["count"] <= len(arrays.words)
    assert ((arrays.tests["column"] > 0) & (arrays.tests["column"] < width)).all()
    for tree in arrays.trees:
        assert 0 <= tree["begin"] <= tree["end"] <= len(arrays.tests) and tree["leaf"] + tree["end"] - tree["begin"] < len(
            arrays.leaf_values
        )


def test_three_hundred_mutations_are_refused_or_scored_and_none_does_anything_else() -> None:
    rng = np.random.default_rng(20)
    refused = changed_margins = 0
    expected = Forest(TEXT).margins(ROWS)
    for i in range(300):
        text = bytearray(TEXT)
        MUTATIONS[i % len(MUTATIONS)](text, rng)
        mutant = with_sizes(bytes(text)) if i % 2 else bytes(text)
        try:
            forest = Forest(mutant)
        except BundleRefused as error:
            assert SENTENCE.fullmatch(error.message), error.message
            refused += 1
            continue
        assert_inside(forest._arrays, forest.feature_count)
        if forest.feature_count == ROWS.shape[1]:
            margins = forest.margins(ROWS)
            assert np.isfinite(margins).all() and margins.tolist() == [forest.margin(row) for row in ROWS]
            changed_margins += not np.array_equal(margins, expected)
    assert refused > 150 and changed_margins > 10, f"{refused} refused, {changed_margins} changed: the mutations prove nothing"
