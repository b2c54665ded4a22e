"""Yours: which payments may say today how good the model is, and which of them count as frauds."""

import pandas as pd

SETTLED = pd.Timedelta(days=7)


def judged(payments, today):
    """A payment judges once it had its seven days, and a fraud counts if it was reported within them: the same for every week."""
    old = payments["event_time"] <= pd.Timestamp(today) - SETTLED
    return old, payments["report_time"] - payments["event_time"] <= SETTLED
