"""How quickly do reports of fraud come in?"""

from datetime import datetime, timedelta

import pandas as pd

OLD = timedelta(days=35)  # payments whose late reports have come, but for one in fifty


def reported_within(labels: pd.DataFrame, today: datetime, days: float) -> float:
    """Counted on old payments alone: of young ones only the quick reports are known, so that delays look short."""
    old = labels[labels["is_fraud"] & (labels["event_time"] <= pd.Timestamp(today - OLD))]
    delay = (old["report_time"] - old["event_time"]).dt.total_seconds() / 86_400
    return float((delay <= days).mean())
