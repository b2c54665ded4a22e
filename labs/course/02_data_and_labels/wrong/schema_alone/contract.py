"""The product's own schema, and nothing about time."""

from datetime import datetime

import pandas as pd

from pipelines.training.validate import check_transactions


def problems(batch: pd.DataFrame, now: datetime) -> list[str]:
    """Yesterday's file keeps every rule of a schema."""
    return [str(finding) for finding in check_transactions(batch)]
