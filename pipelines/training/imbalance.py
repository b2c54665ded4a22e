"""What class weights, under-sampling and SMOTE really do, measured against the noise of the seed.

The published finding (Fraud Detection Handbook, chapter 6) is that they raise ROC AUC and lower average precision, and
they spoil the probabilities. `compare_resampling` repeats a fit over seeds, so that an effect can be told from luck.

SMOTE cannot take missing values, so its rows are filled; the rows it is judged on are filled alike. Trees that never saw a
missing value take one for 0, and lose far more by that than by SMOTE (average precision 0.14 in place of 0.23; lab L04).
"""

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from pipelines.metrics import average_precision, brier, expected_calibration_error, roc_auc
from pipelines.training.boost import fit_trees, margins
from pipelines.training.request import Recipe, Resampling
from pipelines.training.resample import rebalance, thin_genuine
from pipelines.training.table import TrainingTable


@dataclass(frozen=True)
class ResamplingEffect:
    """One method on the test rows: mean and standard deviation over seeds. Probabilities are the model's own, uncalibrated."""

    method: Resampling
    average_precision: tuple[float, float]
    roc_auc: tuple[float, float]
    brier: tuple[float, float]
    calibration_error: tuple[float, float]


def compare_resampling(
    train: TrainingTable, validation: TrainingTable, test: TrainingTable, recipe: Recipe, *, seeds: tuple[int, ...], threads: int
) -> tuple[ResamplingEffect, ...]:
    """Fit every method with every seed on the same rows and measure it on the same test rows."""
    return tuple(
        _effect(method, [_measure(train, validation, test, recipe, method, seed, threads) for seed in seeds])
        for method in get_args(Resampling)
    )


def _measure(
    train: TrainingTable, validation: TrainingTable, test: TrainingTable, recipe: Recipe, method: Resampling, seed: int, threads: int
) -> tuple[float, float, float, float]:
    if method == "smote":
        train, validation, test = _filled(train, validation, test)
    rows = rebalance(thin_genuine(train, recipe.genuine_rows, seed), method, seed)
    judge = thin_genuine(validation, recipe.genuine_rows, seed)
    trees = fit_trees(rows, judge, recipe.parameters, stop_after=recipe.early_stopping_rounds, seed=seed, threads=threads)
    margin, y = margins(trees, test.features), test.is_fraud
    p = 1.0 / (1.0 + np.exp(-margin))
    return average_precision(y, margin), roc_auc(y, margin), brier(y, p), expected_calibration_error(y, p)


def _filled(train: TrainingTable, *others: TrainingTable) -> tuple[TrainingTable, ...]:
    """The tables with medians of the training rows where a value is missing; 0 where a feature is always missing."""
    missing = np.isnan(train.features).all(axis=0)
    medians = np.where(missing, 0.0, np.nanmedian(np.where(missing, 0.0, train.features), axis=0))
    return tuple(replace(table, features=np.where(np.isnan(table.features), medians, table.features)) for table in (train, *others))


def _effect(method: Resampling, measured: list[tuple[float, float, float, float]]) -> ResamplingEffect:
    ap, auc, squared, calibration = ((float(np.mean(column)), float(np.std(column))) for column in zip(*measured, strict=True))
    return ResamplingEffect(method, ap, auc, squared, calibration)
