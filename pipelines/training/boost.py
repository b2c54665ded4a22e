"""Fit LightGBM: early stopping on the validation rows, and a small seeded search. On one machine; `dask_fit` takes several.

Deterministic for one seed and one number of threads; both are recorded with the run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.features import CATEGORICAL_FEATURES, FEATURES
from pipelines.metrics import average_precision
from pipelines.training.parameters import LightGBMParameters, candidates
from pipelines.training.request import Recipe
from pipelines.training.resample import Rows, rebalance, thin_genuine
from pipelines.training.table import TrainingTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One setting of the search and what it reached on the validation rows."""

    parameters: LightGBMParameters
    average_precision: float


def fit_trees(train: Rows, judge: Rows, parameters: LightGBMParameters, *, stop_after: int, seed: int, threads: int) -> Any:
    """A Booster cut back to its best round: average precision on `judge`, no gain for `stop_after` rounds."""
    import lightgbm

    settings = parameters.to_lightgbm(seed=seed, threads=threads)
    names: dict[str, Any] = {"feature_name": list(FEATURES), "categorical_feature": list(CATEGORICAL_FEATURES)}
    rows = lightgbm.Dataset(train.features, train.is_fraud, weight=train.weights, params=settings, **names)
    held_out = rows.create_valid(judge.features, judge.is_fraud, weight=judge.weights)
    stop = lightgbm.early_stopping(stop_after, first_metric_only=True, verbose=False)
    booster = lightgbm.train(settings, rows, num_boost_round=parameters.rounds, valid_sets=[held_out], callbacks=[stop])
    # Text and back: what is judged is, to the last bit, what the bundle will hold.
    return load_booster(booster.model_to_string(num_iteration=booster.best_iteration))


def load_booster(text: str) -> Any:
    """A Booster from its text."""
    import lightgbm

    return lightgbm.Booster(model_str=text)


def search(train: TrainingTable, validation: TrainingTable, recipe: Recipe, *, threads: int) -> tuple[Trial, ...]:
    """Try each candidate on few genuine rows; the best on the whole validation part first."""
    rows = thin_genuine(train, recipe.search_genuine_rows, recipe.seed)
    judge = thin_genuine(validation, recipe.search_genuine_rows, recipe.seed)
    trials = []
    for parameters in candidates(recipe.candidates, recipe.seed, recipe.parameters):
        trees = fit_trees(rows, judge, parameters, stop_after=recipe.early_stopping_rounds, seed=recipe.seed, threads=threads)
        trials.append(Trial(parameters, average_precision(validation.is_fraud, margins(trees, validation.features))))
    return tuple(sorted(trials, key=lambda trial: -trial.average_precision))


def fit_best(
    train: TrainingTable, validation: TrainingTable, parameters: LightGBMParameters, recipe: Recipe, fit: Callable[..., Any]
) -> Any:
    """The model of the recipe with the settings the search chose. `fit`: `fit_trees` here, or on workers, told who fits."""
    rows = rebalance(thin_genuine(train, recipe.genuine_rows, recipe.seed), recipe.resampling, recipe.seed)
    judge = thin_genuine(validation, recipe.genuine_rows, recipe.seed)
    return fit(rows, judge, parameters, stop_after=recipe.early_stopping_rounds, seed=recipe.seed)


def margins(booster: Any, features: Floats) -> Floats:
    """Raw scores (log-odds before calibration), shape (n,)."""
    return np.asarray(booster.predict(features, raw_score=True), dtype=np.float64)


def gain_shares(booster: Any) -> tuple[tuple[str, float], ...]:
    """Each feature's share of the total gain of all splits, the largest first."""
    gain = np.asarray(booster.feature_importance("gain"), dtype=np.float64)
    shares = gain / max(gain.sum(), 1e-12)
    return tuple((FEATURES[i], float(shares[i])) for i in np.argsort(-shares, kind="stable"))
