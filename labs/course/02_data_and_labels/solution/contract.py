"""The contract that a nightly batch of payments must keep before anything uses it."""

from datetime import datetime, timedelta

import pandas as pd

from data.schema import TRANSACTION_COLUMNS

FRESH = timedelta(hours=24)


def problems(batch: pd.DataFrame, now: datetime) -> list[str]:
    """Shape first: nothing can be said of values whose column or type is wrong."""
    return _shape(batch) or [*_values(batch), *_freshness(batch, now), *_identity(batch)]


def _shape(batch: pd.DataFrame) -> list[str]:
    found = [f"{name}: is missing" for name in TRANSACTION_COLUMNS if name not in batch]
    found += [f"{name}: is not in the contract" for name in batch if name not in TRANSACTION_COLUMNS]
    if "amount_minor" in batch and not pd.api.types.is_integer_dtype(batch["amount_minor"]):
        found.append("amount_minor: is not a whole number of cents")
    return found


def _values(batch: pd.DataFrame) -> list[str]:
    found = []
    for name, (_, nullable) in TRANSACTION_COLUMNS.items():
        if not nullable and batch[name].isna().any():
            found.append(f"{name}: {batch[name].isna().sum()} are missing")
    if not batch["amount_minor"].between(1, 1_000_000_000).all():
        found.append("amount_minor: outside 1 to 1,000,000,000")
    return found


def _freshness(batch: pd.DataFrame, now: datetime) -> list[str]:
    times = batch["event_time"]
    outside = ((times < now - FRESH) | (times >= now)).sum()
    return [f"event_time: {outside} are not of the day that ends now"] if outside else []


def _identity(batch: pd.DataFrame) -> list[str]:
    """The same payment twice is one payment; two payments under one id are a fault."""
    clashing = batch.drop_duplicates()["transaction_id"].duplicated().sum()
    return [f"transaction_id: {clashing} name two payments"] if clashing else []
