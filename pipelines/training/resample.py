"""Which training rows a model is fitted on, and how much each counts. Called by training; test rows are never touched.

- `thin_genuine` drops genuine rows at random and weights the others up: the fraud share, and so the probabilities,
  stay true, and a fit costs a fraction. What limits a fraud model is the number of frauds.
- `rebalance` changes the fraud share on purpose: class weights, under-sampling, SMOTE. They are options whose effect
  `pipelines/training/imbalance.py` measures, not folklore.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.features import CATEGORICAL_FEATURES, FEATURE_INDEX
from pipelines.training.request import Resampling
from pipelines.training.table import TrainingTable

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
UNDER_SAMPLED_SHARE = 0.10  # of frauds, after under-sampling: the middle of what is tried in practice
SMOTE_SHARE = 0.10  # frauds per genuine payment, after SMOTE


@dataclass(frozen=True)
class Rows:
    """Rows to fit on: features (n, FEATURE_COUNT), labels and weights (n,)."""

    features: Floats
    is_fraud: Flags
    weights: Floats


def thin_genuine(table: TrainingTable, at_most: int, seed: int) -> Rows:
    """Every fraud, and about `at_most` genuine rows, weighted up to the number there were."""
    genuine = int((~table.is_fraud).sum())
    share = min(1.0, at_most / max(1, genuine))
    kept = table.is_fraud | (np.random.default_rng(seed).random(len(table)) < share)
    weights = table.weight[kept] * np.where(table.is_fraud[kept], 1.0, 1.0 / share)
    return Rows(table.features[kept], table.is_fraud[kept], weights)


def rebalance(rows: Rows, method: Resampling, seed: int) -> Rows:
    """The same rows with another fraud share; `none` leaves them as they are."""
    if method == "class_weights":
        fraud, genuine = rows.weights[rows.is_fraud].sum(), rows.weights[~rows.is_fraud].sum()
        return Rows(rows.features, rows.is_fraud, np.where(rows.is_fraud, rows.weights * genuine / fraud, rows.weights))
    if method == "under_sampling":
        return _under_sample(rows, seed)
    if method == "smote":
        return _smote(rows, seed)
    return rows


def _under_sample(rows: Rows, seed: int) -> Rows:
    frauds, genuine = np.flatnonzero(rows.is_fraud), np.flatnonzero(~rows.is_fraud)
    wanted = min(len(genuine), int(len(frauds) * (1 - UNDER_SAMPLED_SHARE) / UNDER_SAMPLED_SHARE))
    kept = np.sort(np.concatenate([frauds, np.random.default_rng(seed).choice(genuine, wanted, replace=False)]))
    return Rows(rows.features[kept], rows.is_fraud[kept], np.ones(len(kept)))


def _smote(rows: Rows, seed: int) -> Rows:
    """Synthetic frauds between neighbouring ones (SMOTE-NC; Chawla et al. 2002, section 6.1). It cannot take missing
    values, so medians stand in for them: one of its costs."""
    from imblearn.over_sampling import SMOTENC

    if rows.is_fraud.sum() >= SMOTE_SHARE * (~rows.is_fraud).sum():
        return Rows(rows.features, rows.is_fraud, np.ones(len(rows.is_fraud)))  # there are that many already
    missing = np.isnan(rows.features)
    medians = np.where(missing.all(axis=0), 0.0, np.nanmedian(np.where(missing.all(axis=0), 0.0, rows.features), axis=0))
    codes = [FEATURE_INDEX[name] for name in CATEGORICAL_FEATURES]
    sampler = SMOTENC(codes, sampling_strategy=SMOTE_SHARE, random_state=seed)
    features, labels = sampler.fit_resample(np.where(missing, medians, rows.features), rows.is_fraud)
    return Rows(np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=bool), np.ones(len(labels)))
