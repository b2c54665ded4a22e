"""Payments made up for tests of drift: plain frames, no world, a few thousand rows in milliseconds."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from data.schema import LABEL_COLUMNS, TRANSACTION_COLUMNS

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
CATEGORIES = ["grocery", "fuel", "restaurant", "travel", "digital_goods"]


def transactions(days: int, per_day: int, *, seed: int = 0, first_day: int = 0) -> pd.DataFrame:
    """Payments with a daily rhythm, lognormal amounts and a place unless online, in TRANSACTION_COLUMNS."""
    rng = np.random.default_rng((seed, first_day))
    n = days * per_day
    hour = np.clip(rng.normal(14, 4, n), 0, 23.99)
    day = np.repeat(np.arange(days), per_day)
    seconds = np.sort((day * 24 + hour) * 3600)
    online = rng.random(n) < 0.3
    frame = pd.DataFrame(
        {
            "transaction_id": [f"tx_{first_day}_{i:06d}" for i in range(n)],
            "event_time": pd.to_datetime(START) + pd.to_timedelta(first_day, unit="D") + pd.to_timedelta(seconds, unit="s"),
            "card_id": [f"card_{i:04d}" for i in rng.integers(0, 2000, n)],
            "terminal_id": [f"term_{i:03d}" for i in rng.integers(0, 300, n)],
            "amount_minor": np.maximum(1, np.rint(100 * rng.lognormal(3, 0.8, n))).astype(np.int64),
            "currency": "EUR",
            "channel": np.where(online, "online", "chip"),
            "category": rng.choice(CATEGORIES, n, p=[0.4, 0.2, 0.2, 0.1, 0.1]),
            "latitude": np.where(online, np.nan, 50 + rng.normal(0, 1, n)),
            "longitude": np.where(online, np.nan, 8 + rng.normal(0, 1, n)),
            "device_id": np.where(online, "device_1", None),
        }
    )
    return frame.astype({name: dtype for name, (dtype, _) in TRANSACTION_COLUMNS.items()})


def served(days: int, per_day: int, *, seed: int = 0, first_day: int = 0, fraud_share: float = 0.01, skill: float = 3.0) -> pd.DataFrame:
    """Rows of a prediction log with a hidden column `fraud`; `skill` is how far the scores of frauds stand out."""
    return answered(transactions(days, per_day, seed=seed, first_day=first_day), seed=seed, fraud_share=fraud_share, skill=skill)


def answered(frame: pd.DataFrame, *, seed: int = 0, fraud_share: float = 0.01, skill: float = 3.0) -> pd.DataFrame:
    """Features, scores and decisions for these payments."""
    rng = np.random.default_rng((seed, len(frame), 1))
    n = len(frame)
    fraud = rng.random(n) < fraud_share
    margin = rng.normal(-5, 1, n) + skill * fraud
    amount = frame["amount_minor"].to_numpy() / 100
    time = frame["event_time"].dt
    features = {
        "amount": amount,
        "hour": (time.hour + time.minute / 60).to_numpy(),
        "card_count_1h": rng.poisson(0.2, n).astype(np.float64),
        "card_count_1d": rng.poisson(1.0, n).astype(np.float64),
        "seconds_since_card": rng.exponential(50_000, n),
        "card_distance_km_1d": rng.exponential(10, n),
        "amount_to_card_mean": amount / 25,
        "amount_to_terminal_mean": amount / 27,
        "terminal_count_1d": rng.poisson(7, n).astype(np.float64),
        "score": 1 / (1 + np.exp(-margin)),
        "decision": pd.Categorical(np.where(margin > -2.6, "review", "approve"), ["approve", "review", "decline"]),
        "champion_version": pd.Categorical(["1"] * n),
        "fraud": fraud,
    }
    return frame.assign(**features)


def labels(frame: pd.DataFrame, *, delay_days: float = 3.0) -> pd.DataFrame:
    """A report for each fraud, so many days after it."""
    fraud = frame[frame["fraud"]]
    rows = {
        "transaction_id": fraud["transaction_id"].to_numpy(),
        "event_time": fraud["event_time"].to_numpy(),
        "report_time": (fraud["event_time"] + timedelta(days=delay_days)).to_numpy(),
        "is_fraud": True,
        "source": "chargeback",
    }
    dtypes = {name: dtype for name, (dtype, _) in LABEL_COLUMNS.items()}
    out = pd.DataFrame(rows)
    for name in ("event_time", "report_time"):
        out[name] = pd.DatetimeIndex(out[name]).tz_localize("UTC") if out[name].dt.tz is None else out[name]
    return out.astype(dtypes)
