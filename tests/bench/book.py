"""The Fraud Detection Handbook's own features and protocol, recomputed from its raw transactions with numpy.

Source: the book's notebooks (BaselineModeling, ModelSelection). For the benches and tests that compare with its numbers.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DAY_S = 86_400
WINDOWS = (1, 7, 30)
DELAY = 7  # days until a label is known; also the length of training, delay and test in the book
FIRST_DAY = date(2018, 4, 1)  # TX_TIME_DAYS = 0
BOOK_FEATURES = (
    "TX_AMOUNT", "TX_DURING_WEEKEND", "TX_DURING_NIGHT",
    *(f"CUSTOMER_ID_{what}_{w}DAY_WINDOW" for w in WINDOWS for what in ("NB_TX", "AVG_AMOUNT")),
    *(f"TERMINAL_ID_{what}_{w}DAY_WINDOW" for w in WINDOWS for what in ("NB_TX", "RISK")),
)  # fmt: skip

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Raw:
    """Columns of the raw file (n,), ordered by time."""

    transaction_id: Integers
    seconds: Integers  # since FIRST_DAY
    day: Integers
    customer: Integers
    terminal: Integers
    amount: Floats
    fraud: NDArray[np.bool_]
    scenario: Integers


@dataclass(frozen=True)
class Split:
    """Row positions of one fold."""

    name: str
    train: Integers
    test: Integers


def read_raw(file: Path) -> Raw:
    """The book's raw transactions from Parquet."""
    frame = pd.read_parquet(file).sort_values("TX_DATETIME", kind="stable")
    names = ("TRANSACTION_ID", "TX_TIME_SECONDS", "TX_TIME_DAYS", "CUSTOMER_ID", "TERMINAL_ID")
    ids, seconds, day, customer, terminal = (frame[name].to_numpy(np.int64) for name in names)
    amount, fraud = frame["TX_AMOUNT"].to_numpy(np.float64), frame["TX_FRAUD"].to_numpy() == 1
    return Raw(ids, seconds, day, customer, terminal, amount, fraud, frame["TX_FRAUD_SCENARIO"].to_numpy(np.int64))


def book_features(raw: Raw) -> Floats:
    """The book's 15 columns in the order of BOOK_FEATURES, (n, 15). Windows (t - w, t] include the row itself."""
    weekday = (raw.day + FIRST_DAY.weekday()) % 7
    columns = [raw.amount, weekday >= 5, raw.seconds % DAY_S // 3600 <= 6]
    customer, terminal = _Timeline(raw.customer, raw.seconds), _Timeline(raw.terminal, raw.seconds)
    now = customer.rows_up_to(0)
    for w in WINDOWS:
        then = customer.rows_up_to(w * DAY_S)
        count = now - then
        columns += [count, (customer.total(raw.amount, now) - customer.total(raw.amount, then)) / count]
    settled = terminal.rows_up_to(DELAY * DAY_S)
    for w in WINDOWS:
        then = terminal.rows_up_to((DELAY + w) * DAY_S)
        count = settled - then
        frauds = terminal.total(raw.fraud, settled) - terminal.total(raw.fraud, then)
        columns += [count, np.divide(frauds, count, out=np.zeros(len(count)), where=count > 0)]
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def split(raw: Raw, start: date, train_days: int = DELAY) -> Split:
    """The book's fold whose training week starts at `start`: 7 days of training, 7 of delay, 7 of test.

    Customers with a fraud that is known on a test day (in the training week, or up to 8 days before the day) are removed
    from that day. More `train_days` reach further back; the end of training and the test rows stay the book's.
    """
    begin = (start - FIRST_DAY).days
    end = begin + DELAY
    train = np.flatnonzero((raw.day >= end - train_days) & (raw.day < end))
    test = []
    for day in range(end + DELAY, end + 2 * DELAY):
        known = raw.fraud & (raw.day >= begin) & (raw.day <= day - DELAY - 1)
        compromised = np.unique(raw.customer[known])
        test.append(np.flatnonzero((raw.day == day) & ~np.isin(raw.customer, compromised)))
    return Split(start.isoformat(), train, np.concatenate(test))


def folds(last: date) -> list[date]:
    """Four starts of training weeks, a week apart, ending with `last`."""
    return [last - timedelta(weeks=i) for i in range(3, -1, -1)]


class _Timeline:
    """Rows grouped by an id and ordered by time, so that every window is two binary searches and two prefix sums."""

    def __init__(self, ids: Integers, seconds: Integers) -> None:
        self._order = np.lexsort((seconds, ids))
        span = int(seconds.max()) + 100 * DAY_S  # wider than any window: a search never leaves its id
        self._key = ids * span + seconds
        self._sorted = self._key[self._order]

    def rows_up_to(self, age_s: int) -> Integers:
        """Position after the last row of the same id that is at least `age_s` old; ties count as earlier."""
        return np.searchsorted(self._sorted, self._key - age_s, side="right")

    def total(self, values: NDArray[np.generic], up_to: Integers) -> Floats:
        """Prefix sum of `values` in timeline order."""
        return np.concatenate([[0.0], np.cumsum(values[self._order].astype(np.float64))])[up_to]
