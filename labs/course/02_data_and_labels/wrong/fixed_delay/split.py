"""Which payments teach and which judge, and from when a label counts."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

JUDGED = timedelta(days=14)
GAP = timedelta(days=7)  # most labels of the last week are not in yet


def parts(rows: pd.DataFrame, today: datetime) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The last two weeks judge; what came a week or more before them teaches, with the labels known when they began."""
    paid, began = rows["event_time"], pd.Timestamp(today - JUDGED)
    judge = (paid >= began) & (paid < pd.Timestamp(today))
    learn = paid < began - GAP
    known = rows["is_fraud"] & (rows["report_time"] <= began)
    return learn.to_numpy(), judge.to_numpy(), known.to_numpy()


def counts_from(labels: pd.DataFrame) -> pd.Series:
    """A label counts a week after the payment."""
    return labels["event_time"] + GAP
