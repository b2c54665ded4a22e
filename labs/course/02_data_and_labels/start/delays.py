"""Yours: how quickly do reports of fraud come in?"""

from datetime import datetime

import pandas as pd


def reported_within(labels: pd.DataFrame, today: datetime, days: float) -> float:
    """Of all frauds that will ever be reported, the share whose report comes within so many days of the payment.

    `labels` has event_time, report_time and is_fraud of every label that is known `today`; none from after it.
    """
    raise NotImplementedError("Write `reported_within` in delays.py.")
