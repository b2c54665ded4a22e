"""Yours: which payments may say today how good the model is, and which of them count as frauds."""

from datetime import datetime

import pandas as pd


def judged(payments: pd.DataFrame, today: datetime) -> tuple[pd.Series, pd.Series]:
    """Flags (n,) of the payments that judge, and of those that count as frauds.

    `payments` has event_time and report_time of every payment let through so far (2100-01-01: nobody has reported it yet).
    """
    return payments["event_time"] < pd.Timestamp(today), payments["report_time"] < pd.Timestamp(today)
