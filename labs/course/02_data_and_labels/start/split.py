"""Yours: which payments teach and which judge, and from when a label counts. As the notebook had it."""

from datetime import datetime

import numpy as np
import pandas as pd


def parts(rows: pd.DataFrame, today: datetime) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flags (n,) of rows to learn from, of rows to judge by, and the labels to learn from.

    `rows` has event_time, is_fraud (as everybody knows by now) and report_time (2100-01-01 where fraud was never reported).
    Some of them are from after `today`: the study uses none of those.
    """
    history = (rows["event_time"] < pd.Timestamp(today)).to_numpy()
    judge = history & (np.random.default_rng(7).random(len(rows)) < 0.25)
    return history & ~judge, judge, rows["is_fraud"].to_numpy()


def counts_from(labels: pd.DataFrame) -> pd.Series:
    """From when each label counts in the features of later payments (frauds at this shop, on this card)."""
    return labels["event_time"]
