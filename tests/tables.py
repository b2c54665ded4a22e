"""Training tables for tests: payments whose features carry a known signal, without a world or a file."""

from datetime import UTC, datetime

import numpy as np

from data.features import DAY_S, FEATURE_COUNT, FEATURE_INDEX
from pipelines.training.table import TrainingTable

START = datetime(2026, 1, 5, tzinfo=UTC)


def signal_table(rows: int = 6_000, *, days: int = 40, seed: int = 0, fraud_share: float = 0.05) -> TrainingTable:
    """Fraud that is louder in two features and in one level of the category, noise in the others."""
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(rows) < fraud_share
    features = rng.normal(size=(rows, FEATURE_COUNT))
    features[:, FEATURE_INDEX["amount"]] = rng.lognormal(3, 1, rows) * np.where(is_fraud, 2.0, 1.0)
    features[:, FEATURE_INDEX["card_count_1h"]] += 2.0 * is_fraud
    features[:, FEATURE_INDEX["channel"]] = rng.integers(0, 3, rows)
    features[:, FEATURE_INDEX["category"]] = np.where(is_fraud & (rng.random(rows) < 0.5), 11, rng.integers(0, 16, rows))
    features[rng.random(features.shape) < 0.05] = np.nan
    return TrainingTable(
        features=features,
        is_fraud=is_fraud,
        amount=rng.lognormal(3, 1, rows),
        card=rng.integers(0, rows // 4, rows),
        event_s=np.sort(int(START.timestamp()) + rng.integers(0, days * DAY_S, rows)),
        weight=np.ones(rows),
    )
