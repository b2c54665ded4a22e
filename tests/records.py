"""Transactions and prediction records for tests, each fully determined by its number."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from data.features import FEATURE_COUNT
from data.prediction_store import PaymentFacts, PredictionRecord, payment_facts
from data.schema import Label, Transaction

START = datetime(2026, 3, 2, tzinfo=UTC)


def transaction(number: int, **changes: Any) -> Transaction:
    """The payment of minute `number` after START."""
    facts: dict[str, Any] = {
        "transaction_id": f"tx_{number:06d}",
        "event_time": START + timedelta(minutes=number, milliseconds=number % 1000),
        "card_id": f"card_{number % 7}",
        "terminal_id": f"term_{number % 5}",
        "amount_minor": 1_000 + number,
        "channel": ("chip", "contactless", "online")[number % 3],
        "category": ("grocery", "fuel")[number % 2],
        "latitude": None if number % 3 == 2 else 52.5 + number / 1000,
        "longitude": None if number % 3 == 2 else 13.4,
        "device_id": f"dev_{number % 7}" if number % 3 == 2 else None,
    }
    return Transaction(**(facts | changes))


def facts(transaction_id: str, card_id: str = "card_1") -> PaymentFacts:
    """Those of a payment of which only these matter."""
    return payment_facts(transaction(1, transaction_id=transaction_id, card_id=card_id))


def record(number: int, payment: Transaction | None = None, **changes: Any) -> PredictionRecord:
    """An answer to `transaction(number)`, with a NaN among its features."""
    features = np.arange(FEATURE_COUNT, dtype=np.float64) + number / 3
    features[number % FEATURE_COUNT] = np.nan
    facts: dict[str, Any] = {
        "payment": payment_facts(payment or transaction(number)),
        "features": features,
        "score": (number % 100) / 100,
        "decision": "review" if number % 4 == 0 else "approve",
        "reasons": ("new_device", "amount_over_habit") if number % 4 == 0 else (),
        "arm": "champion",
        "model_version": "3",
        "champion_version": "3",
        "champion_score": (number % 100) / 100,
        "latency_us": 50 + number,
    }
    return PredictionRecord(**(facts | changes))


def fraud_label(number: int, days: int = 6, is_fraud: bool = True) -> Label:
    """A label for `transaction(number)`, `days` after START."""
    return Label(transaction_id=f"tx_{number:06d}", report_time=START + timedelta(days=days), is_fraud=is_fraud, source="chargeback")
