"""Real bundles for tests: a tiny LightGBM model on random features, saved as MLflow saves it, sealed by our own code."""

from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

from data.bundle import MODEL, Calibration, seal_bundle, write_scoring_files
from data.costs import Policy
from data.features import CATEGORICAL_FEATURES, FEATURE_COUNT, FEATURE_INDEX, FEATURES

POLICY = Policy(review_at=0.3, decline_at=0.75)
CALIBRATION = Calibration(slope=0.9, intercept=-0.1)


def random_features(rows: int, seed: int) -> NDArray[np.float64]:
    """(rows, FEATURE_COUNT) of plausible scale, with NaN and, in the categorical columns, codes that no model saw."""
    rng = np.random.default_rng(seed)
    matrix = rng.lognormal(1.0, 2.0, size=(rows, FEATURE_COUNT))
    matrix[rng.random(matrix.shape) < 0.15] = np.nan
    for name in CATEGORICAL_FEATURES:
        matrix[:, FEATURE_INDEX[name]] = rng.integers(-1, 30, size=rows)
    return matrix


def train_booster(seed: int = 1, rows: int = 2_000, trees: int = 20) -> lightgbm.Booster:
    """A booster that depends on the amount, a category and noise."""
    x = random_features(rows, seed)
    x[:, FEATURE_INDEX["category"]] = np.random.default_rng(seed).integers(0, 10, size=rows)  # 10.. stay unseen
    y = (np.nan_to_num(x[:, FEATURE_INDEX["amount"]]) > 5) ^ (x[:, FEATURE_INDEX["category"]] > 6)
    data = lightgbm.Dataset(x, y.astype(float), feature_name=list(FEATURES), categorical_feature=list(CATEGORICAL_FEATURES))
    parameters = {"objective": "binary", "num_leaves": 15, "seed": seed, "num_threads": 1, "verbose": -1, "deterministic": True}
    return lightgbm.train(parameters, data, num_boost_round=trees)


def make_bundle(
    folder: Path, key_folder: Path, *, seed: int = 1, sequence: int = 1, policy: Policy = POLICY, trees: int = 20
) -> lightgbm.Booster:
    """Write and seal a whole bundle into `folder`; returns the booster it was made of."""
    booster = train_booster(seed, trees=trees)
    write_bundle(folder, key_folder, booster, random_features(20, seed + 1), sequence=sequence, policy=policy, run_id=f"run-{seed}")
    return booster


def write_bundle(
    folder: Path,
    key_folder: Path,
    booster: lightgbm.Booster,
    golden: NDArray[np.float64],
    *,
    sequence: int,
    policy: Policy,
    run_id: str,
    calibration: Calibration = CALIBRATION,
) -> None:
    """Write and seal a bundle of this booster; `golden` are its frozen rows, (n, FEATURE_COUNT)."""
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / MODEL)
    (folder / "MLmodel").write_text("flavors:\n  lightgbm:\n    data: model.lgb\n")
    scores = calibration.probabilities(booster.predict(golden, raw_score=True))
    write_scoring_files(folder, calibration=calibration, policy=policy, golden=golden, golden_scores=scores)
    seal_bundle(folder, key_folder=key_folder, sequence=sequence, facts={"run_id": run_id})
