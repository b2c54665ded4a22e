"""Challengers that are sealed correctly and are bad all the same."""

import re
from pathlib import Path

import lightgbm
import numpy as np

from data.bundle import Calibration
from data.features import CATEGORICAL_FEATURES, FEATURE_INDEX, FEATURES
from tests.bundles import CALIBRATION, POLICY, random_features, write_bundle

HUGE_AMOUNT_MINOR = 900_000_000  # no frozen row is near it
_AMOUNT = FEATURE_INDEX["amount"]
_PARAMETERS = {"objective": "binary", "num_threads": 1, "verbose": -1, "min_data_in_leaf": 5}


def not_a_number(folder: Path, key_folder: Path) -> None:
    """Its score of a huge payment is not a number; of its frozen rows, and of all others, it is one."""
    x = random_features(1_000, 4)
    x[::4, _AMOUNT] = HUGE_AMOUNT_MINOR / 100
    data = lightgbm.Dataset(x, (x[:, _AMOUNT] > 1e6).astype(float), feature_name=list(FEATURES))
    text = lightgbm.train(_PARAMETERS | {"num_leaves": 2}, data, num_boost_round=3).model_to_string()
    text = re.sub(r"tree_sizes=.*\n", "", text)  # LightGBM can do without, and one of them changes
    text, changed = re.subn(r"(leaf_value=\S+) \S+", r"\1 1.7e308", text, count=2)
    assert changed == 2
    # The margin of two such leaves is infinite, and a slope of 0 times that is not a number.
    _seal(folder, key_folder, lightgbm.Booster(model_str=text), Calibration(slope=0.0, intercept=-2.0))


def slow(folder: Path, key_folder: Path) -> None:
    """Ten times the trees of the champion, and so ten times its time."""
    x = random_features(400, 4)
    y = (np.nan_to_num(x[:, _AMOUNT]) > 5).astype(float)
    data = lightgbm.Dataset(x, y, feature_name=list(FEATURES), categorical_feature=list(CATEGORICAL_FEATURES))
    booster = lightgbm.train(_PARAMETERS | {"num_leaves": 31, "learning_rate": 0.001}, data, num_boost_round=3_000)
    assert booster.num_trees() == 3_000
    _seal(folder, key_folder, booster)


def other_columns(folder: Path, key_folder: Path) -> None:
    """Trained on two features fewer than the service computes."""
    x = random_features(400, 4)[:, :-2]
    data = lightgbm.Dataset(x, (np.nan_to_num(x[:, _AMOUNT]) > 5).astype(float), feature_name=list(FEATURES[:-2]))
    booster = lightgbm.train(_PARAMETERS, data, num_boost_round=5)
    write_bundle(folder, key_folder, booster, x[:20], sequence=4, policy=POLICY, run_id="run-4")


def _seal(folder: Path, key_folder: Path, booster: lightgbm.Booster, calibration: Calibration = CALIBRATION) -> None:
    golden = random_features(20, 5)
    write_bundle(folder, key_folder, booster, golden, sequence=4, policy=POLICY, run_id="run-4", calibration=calibration)
