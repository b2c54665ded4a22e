"""Our evaluator of LightGBM models gives what LightGBM gives, to the last bit, whatever the model was trained on and is shown."""

import math
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from data.forest import Forest
from data.forest_layout import BLOCK
from data.settings import REPOSITORY
from tests.bundles import random_features, train_booster

Matrix = NDArray[np.float64]
FEATURES, CATEGORICAL = 10, (0, 1)  # few levels, and hundreds: sets of one word, and of many
BARELY_ZERO = float(np.float32(1e-35))  # LightGBM takes what is this small for 0
ODD = (
    0.0, -0.0, math.nan, math.inf, -math.inf, 1e300, -1e300, sys.float_info.max, 5e-324, 1e-36, -1e-36,
    BARELY_ZERO, -BARELY_ZERO, math.nextafter(BARELY_ZERO, 1), -math.nextafter(BARELY_ZERO, 1),
)  # fmt: skip
ODD_CATEGORIES = (
    -math.inf,
    -1.0,
    -0.999,
    -0.5,
    0.5,
    7.999,
    31.0,
    32.0,
    63.9,
    64.0,
    399.0,
    400.0,
    1e5,
    2.0**31 - 1,
    2.0**31,
    2.0**32 + 3,
    1e18,
)

SMALL = {"num_leaves": 31, "min_data_in_leaf": 3, "min_data_per_group": 1, "cat_smooth": 1, "max_cat_threshold": 64}
SETTINGS: dict[str, Mapping[str, Any]] = {
    "as it comes": {},
    "small leaves": SMALL,
    "missing values as zeros": SMALL | {"use_missing": False},
    "zeros as missing": SMALL | {"zero_as_missing": True},
    "neither": SMALL | {"zero_as_missing": True, "use_missing": False},
    "few bins": SMALL | {"max_bin": 3},
    "many bins": SMALL | {"max_bin": 2_000, "min_data_in_bin": 1},
    "as many leaves as a block takes": SMALL | {"num_leaves": 64, "min_data_in_leaf": 1},
    "one leaf more": SMALL | {"num_leaves": 65, "min_data_in_leaf": 1},
    "deep and lopsided": SMALL | {"num_leaves": 300, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0.0},
    "stumps": {"num_leaves": 2},
    "one category against the others": SMALL | {"max_cat_to_onehot": 1_000},
    "no starting score": SMALL | {"boost_from_average": False},
    "dropped trees": SMALL | {"boosting": "dart", "drop_rate": 0.5},
    "sampled rows": SMALL | {"bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5, "extra_trees": True},
    "weights": SMALL | {"is_unbalance": True, "sigmoid": 0.7, "lambda_l1": 0.1},
    "monotone": SMALL | {"monotone_constraints": [0] * (FEATURES - 1) + [1], "monotone_constraints_method": "advanced"},
    "rounded gradients": SMALL | {"use_quantized_grad": True},
}


class Trained(NamedTuple):
    booster: lightgbm.Booster
    text: bytes
    x: Matrix


def rows_of_every_kind(rng: np.random.Generator, rows: int) -> Matrix:
    """Scales from 1e-30 to 1e30, many zeros, missing values, columns that are constant, empty or either; categories in the first two."""
    x = rng.normal(size=(rows, FEATURES)) * 10.0 ** rng.integers(-30, 30, FEATURES)
    x[rng.random(x.shape) < 0.2] = np.nan
    x[rng.random(x.shape) < 0.2] = 0.0
    x[:, 2], x[:, 9] = 1.0, np.nan
    x[:, 3] = np.where(rng.random(rows) < 0.3, np.nan, 1e3)
    x[:, 4] = rng.integers(-3, 3, rows)  # negative and positive, and often 0: which way is 0 missing?
    x[:, 0], x[:, 1] = rng.integers(0, 12, rows), rng.integers(0, 400, rows)
    x[rng.random(rows) < 0.1, 1] = np.nan
    return x


def train(settings: Mapping[str, Any], seed: int, *, rounds: int = 12, rows: int = 1_500) -> Trained:
    rng = np.random.default_rng(seed)
    x = rows_of_every_kind(rng, rows)
    sign = np.nan_to_num(np.sign(x[:, 5:])).sum(axis=1) + (x[:, 0] % 3 == 1) - (x[:, 1] % 7 < 2) + (x[:, 4] == 0) + 2 * np.isnan(x[:, 3])
    y = sign + rng.normal(size=rows) > 1
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": seed, "deterministic": True, **settings}
    data = lightgbm.Dataset(x, y.astype(float), categorical_feature=list(CATEGORICAL), params=parameters)
    booster = lightgbm.train(parameters, data, num_boost_round=rounds)
    return Trained(booster, booster.model_to_string().encode(), x)


def hostile_rows(trained: Trained, rng: np.random.Generator, rows: int) -> Matrix:
    """Rows like those of training; others at, just below and just above the model's thresholds; others of what nobody trains on."""
    x = rows_of_every_kind(rng, rows)
    frame = trained.booster.trees_to_dataframe()
    if "decision_type" in frame:
        splits = frame[frame["decision_type"] == "<="]
        borders = splits["threshold"].astype(float).to_numpy()
        for feature, at in splits.groupby("split_feature").indices.items():
            column = int(str(feature).removeprefix("Column_"))
            near = np.nextafter(borders[at], rng.choice([-np.inf, np.inf], len(at)))
            x[: rows // 2, column] = rng.choice(np.concatenate([borders[at], near]), rows // 2)
    odd = rng.random(x.shape) < 0.1
    x[odd] = rng.choice(ODD, int(odd.sum()))
    for column in CATEGORICAL:
        odd = rng.random(rows) < 0.2
        x[odd, column] = rng.choice(ODD_CATEGORIES, int(odd.sum()))
    return x


def assert_same_bits(found: Matrix, expected: Matrix) -> None:
    differing = np.flatnonzero(found.view(np.int64) != expected.view(np.int64))
    assert not len(differing), f"{len(differing)} rows differ, row {differing[0]}: {found[differing[0]]!r}, not {expected[differing[0]]!r}"


@pytest.mark.parametrize("name", SETTINGS)
def test_margins_equal_lightgbms_to_the_last_bit(name: str) -> None:
    for seed in (1, 2):
        trained = train(SETTINGS[name], seed)
        forest = Forest(trained.text)
        rows = hostile_rows(trained, np.random.default_rng(seed), 1_500)
        expected = trained.booster.predict(rows, raw_score=True, num_threads=1)
        assert len(np.unique(expected)) > 10, "every row ends in the same leaves"
        assert_same_bits(forest.margins(rows), expected)
        assert_same_bits(np.array([forest.margin(row) for row in rows]), expected)


def test_the_settings_make_every_kind_of_decision() -> None:
    texts = [train(SETTINGS[name], 1).text for name in ("small leaves", "missing values as zeros", "zeros as missing", "deep and lopsided")]
    lines = [line for text in texts for line in text.decode().splitlines()]
    decisions = {int(number) for line in lines if line.startswith("decision_type=") for number in line.split("=")[1].split()}
    assert decisions >= {0b0010, 0b0100, 0b0110, 0b1000, 0b1010} and decisions & {0b0001, 0b1001}, (
        "a way of treating missing values is not there"
    )
    assert any(line.startswith("threshold=") and "inf" in line for line in lines), "no split of missing values from all others"
    sets = [line.split("=")[1].split() for line in lines if line.startswith("cat_boundaries=")]
    assert max(int(ends[i + 1]) - int(ends[i]) for ends in sets for i in range(len(ends) - 1)) > 8, "no set of many words"


def test_nodes_of_one_feature_may_treat_missing_values_in_different_ways() -> None:
    rng = np.random.default_rng(11)
    trained = train(SMALL | {"num_leaves": 60}, 11)
    numerical = ("0", "2", "4", "6", "8", "10")  # nothing is missing, zeros are, NaN is; each to the right and to the left

    def mixed(line: re.Match[str]) -> str:
        numbers = [number if int(number) & 1 else str(rng.choice(numerical)) for number in line[1].split()]
        return f"decision_type={' '.join(numbers)}"

    text = re.sub(r"^decision_type=(.*)$", mixed, trained.text.decode(), flags=re.MULTILINE)
    booster = lightgbm.Booster(model_str=re.sub(r"tree_sizes=.*\n", "", text))  # LightGBM can do without, and writes them anew
    rows = hostile_rows(trained, rng, 1_500)
    expected = booster.predict(rows, raw_score=True, num_threads=1)
    assert not np.array_equal(expected, trained.booster.predict(rows, raw_score=True, num_threads=1))
    assert_same_bits(Forest(booster.model_to_string().encode()).margins(rows), expected)


def test_however_many_rows_come_together_each_gets_its_own_margin() -> None:
    trained = train(SMALL, 3)
    forest = Forest(trained.text)
    rows = hostile_rows(trained, np.random.default_rng(3), 3 * BLOCK)
    expected = trained.booster.predict(rows, raw_score=True, num_threads=1)
    for count in (0, 1, 2, BLOCK // 3, BLOCK // 3 + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 3 * BLOCK):
        assert_same_bits(forest.margins(rows[:count]), expected[:count])
        assert_same_bits(forest.margins(rows[::-1][:count]), expected[::-1][:count])  # rows that do not lie one after another


@pytest.mark.parametrize("trees", [1, 9, 10, 11, 20, 21])
def test_any_number_of_trees_is_summed_whole(trees: int) -> None:
    trained = train(SMALL, 4, rounds=trees)
    forest = Forest(trained.text)
    assert forest.tree_count == trees
    assert_same_bits(forest.margins(trained.x), trained.booster.predict(trained.x, raw_score=True, num_threads=1))


def test_a_model_of_single_leaves_gives_their_sum_to_every_row() -> None:
    x = np.random.default_rng(5).normal(size=(200, 3))
    data = lightgbm.Dataset(x, np.arange(200) % 4 == 0, params={"verbose": -1})
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "min_data_in_leaf": 150, "num_threads": 1}, data, num_boost_round=3)
    assert "num_leaves=1\n" in booster.model_to_string()
    forest = Forest(booster.model_to_string().encode())
    assert_same_bits(forest.margins(x), booster.predict(x, raw_score=True))
    assert forest.margin(x[0]) == booster.predict(x[:1], raw_score=True)[0] != 0.0


def test_a_model_that_stopped_early_is_scored_as_it_was_saved() -> None:
    rng = np.random.default_rng(6)
    x = rows_of_every_kind(rng, 1_200)
    y = (np.nan_to_num(x[:, 5]) > 0) ^ (rng.random(1_200) < 0.3)
    data = lightgbm.Dataset(x[:800], y[:800].astype(float), categorical_feature=list(CATEGORICAL))
    stop = lightgbm.early_stopping(3, verbose=False)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, **SMALL}
    booster = lightgbm.train(
        parameters, data, num_boost_round=200, valid_sets=[data.create_valid(x[800:], y[800:].astype(float))], callbacks=[stop]
    )
    assert booster.current_iteration() < 200
    forest = Forest(booster.model_to_string().encode())
    assert forest.tree_count == booster.best_iteration
    assert_same_bits(forest.margins(x), booster.predict(x, raw_score=True, num_threads=1))


def test_the_products_own_features_are_scored_as_the_package_does() -> None:
    booster = train_booster(trees=60)
    rows = random_features(5_000, seed=9)
    assert np.isnan(rows).any() and (rows[:, 4] > 9).any()
    forest = Forest(booster.model_to_string().encode())
    assert_same_bits(forest.margins(rows), booster.predict(rows, raw_score=True, num_threads=1))


def test_one_forest_per_thread_gives_right_answers_in_all_of_them() -> None:
    trained = train(SMALL, 7)
    expected = Forest(trained.text).margins(trained.x)
    forests = [Forest(trained.text) for _ in range(4)]
    found: dict[int, list[Matrix]] = {}

    def work(i: int) -> None:
        found[i] = [forests[i].margins(trained.x) for _ in range(20)] + [np.array([forests[i].margin(row) for row in trained.x])]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        for margins in found[i]:
            assert_same_bits(margins, expected)


def test_rows_of_another_width_are_refused() -> None:
    forest = Forest(train({}, 8, rounds=2).text)
    for row in (np.zeros(FEATURES + 1), np.zeros(1), np.zeros((1, FEATURES))):
        with pytest.raises(ValueError, match="features"):
            forest.margin(row)
    for matrix in (np.zeros((3, FEATURES - 1)), np.zeros(FEATURES)):
        with pytest.raises(ValueError, match="features"):
            forest.margins(matrix)


def test_scoring_loads_neither_lightgbm_nor_numba(tmp_path: Path) -> None:
    (tmp_path / "model.lgb").write_bytes(train({}, 9, rounds=2).text)
    code = (
        "import ctypes, sys; loaded = []; sys.addaudithook(lambda event, a: event == 'ctypes.dlopen' and loaded.append(str(a[0])));"
        "from pathlib import Path; import numpy as np; from data.forest import Forest;"
        f"f = Forest(Path({str(tmp_path / 'model.lgb')!r}).read_bytes()); f.margin(np.zeros(f.feature_count));"
        "assert not {'lightgbm', 'numba', 'sklearn'} & set(sys.modules) and not [name for name in loaded if 'lightgbm' in name]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
