"""How quickly do reports of fraud come in?"""

from datetime import datetime

import pandas as pd


def reported_within(labels: pd.DataFrame, today: datetime, days: float) -> float:
    """Of all reports known today."""
    frauds = labels[labels["is_fraud"]]
    delay = (frauds["report_time"] - frauds["event_time"]).dt.total_seconds() / 86_400
    return float((delay <= days).mean())
