"""Which payments teach and which judge, and from when a label counts."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

JUDGED = timedelta(days=14)


def parts(rows: pd.DataFrame, today: datetime) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The last two weeks judge; everything before them teaches."""
    paid, began = rows["event_time"], pd.Timestamp(today - JUDGED)
    judge = (paid >= began) & (paid < pd.Timestamp(today))
    learn = paid < began
    known = rows["is_fraud"] & (rows["report_time"] <= began)
    return learn.to_numpy(), judge.to_numpy(), known.to_numpy()


def counts_from(labels: pd.DataFrame) -> pd.Series:
    """A label counts when it was reported."""
    return labels["report_time"]
