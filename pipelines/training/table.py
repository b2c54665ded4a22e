"""The training table: one row per payment with a settled or pending outcome, wherever the payment comes from.

Two sources feed it: days of a dataset (features computed here, point in time) and the prediction log (features as they
were served, so that nothing can differ between training and serving). Training, evaluation and the labs read it.

A row is labelled fraud when a report was known by the cut, and genuine otherwise: `pipelines/training/split.py` keeps away from
rows that are too young for that. Declined payments have no outcome and are left out; where some were let through at random,
those stand for the others (`pipelines/selective.py`). Rows of known fault windows are left out too.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.dataset import Dataset
from data.errors import EmptyWindow
from data.fault_windows import covered
from data.features import DAY_S
from data.history import History, build_features
from data.log_database import LogPlace
from data.prediction_frames import labels_frame, window
from pipelines.selective import outcome_weights
from pipelines.training.request import Excluded, LogSource
from pipelines.training.split import Span

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class TrainingTable:
    """Rows in order of event time."""

    features: Floats  # (n, FEATURE_COUNT)
    is_fraud: Flags  # (n,) reported as fraud by the cut
    amount: Floats  # (n,) EUR
    card: Integers  # (n,) stable hash of the card token: payments of one card belong together
    event_s: Integers  # (n,) seconds since 1970
    weight: Floats  # (n,) payments that the row's outcome stands for: 1, unless others of its kind were declined

    def __len__(self) -> int:
        return len(self.event_s)

    @property
    def day(self) -> Integers:
        return self.event_s // DAY_S

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every value: the identity of the training data, whatever files it came from."""
        whole = hashlib.sha256()
        for array in (self.features, self.is_fraud, self.amount, self.card, self.event_s, self.weight):
            whole.update(np.ascontiguousarray(array).data)
        return whole.hexdigest()

    def part(self, span: Span) -> "TrainingTable":
        """The rows inside `span`."""
        return self.rows(span.mask(self.event_s))

    def rows(self, chosen: Flags | Integers) -> "TrainingTable":
        return TrainingTable(
            self.features[chosen],
            self.is_fraud[chosen],
            self.amount[chosen],
            self.card[chosen],
            self.event_s[chosen],
            self.weight[chosen],
        )


@dataclass(frozen=True)
class ServedRows:
    """The prediction log as rows to learn from, what of it was left out, and what the checks need to see of the rest."""

    table: TrainingTable
    excluded: tuple[Excluded, ...]
    frame: pd.DataFrame  # as `window_frame`, row by row that of the table
    labels: pd.DataFrame  # LABEL_COLUMNS, known by the cut


def dataset_table(dataset: Dataset, *, keep_from: datetime, until: datetime, cut: datetime) -> tuple[TrainingTable, History]:
    """Rows of a dataset with event times in [keep_from, until), and the history as of `until`.

    Features see everything from the dataset's first day on. Raises EmptyWindow when there is no such day.
    """
    start = dataset.days()[0] if dataset.days() else keep_from.date()
    transactions = dataset.read("transactions", start, until.date())
    labels = dataset.labels_known_by(cut, start, until.date())
    # The history that leaves here must not hold a report from after `until`; labels of rows may use all up to the cut.
    features, history = build_features(transactions, labels[labels["report_time"] <= pd.Timestamp(until)])
    return _table(transactions, features, labels, keep_from), history


def served_rows(place: LogPlace, log: LogSource, cut: datetime) -> ServedRows:
    """Rows of the prediction log at `place` in [log.start, cut) that were let through, with the features they were scored on.

    Rows of the log's fault windows are left out. Raises EmptyWindow when no row remains.
    """
    frame, features = window(place, log.start, cut)
    spoilt, declined = covered(frame["event_time"], log.faults), (frame["decision"] == "decline").to_numpy()
    weights = outcome_weights(frame, frame["held_out"].to_numpy())
    kept = np.flatnonzero(~spoilt & ~declined)
    excluded = (
        Excluded("in a known fault window", int(spoilt.sum())),
        Excluded("declined, so that nobody knows what they were", int((declined & ~spoilt).sum())),
    )
    if len(kept) == 0:
        raise EmptyWindow(
            f"The prediction log holds no payment to learn from between {log.start:%Y-%m-%d} and {cut:%Y-%m-%d}; "
            f"{'; '.join(map(str, excluded))}.",
            next_step="Send traffic first (`lab demo` does), or choose another window.",
            where="prediction log",
        )
    in_time = kept[np.argsort(frame["event_time"].to_numpy()[kept], kind="stable")]
    rows, labels = frame.iloc[in_time], labels_frame(place, cut)
    stands_for = np.ones(len(in_time)) if weights is None else weights[in_time]
    return ServedRows(_table(rows, features[in_time], labels, log.start, stands_for), excluded, rows, labels)


def stack(first: TrainingTable, second: TrainingTable) -> TrainingTable:
    """The rows of one table, then those of a later one."""
    return TrainingTable(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.is_fraud, second.is_fraud]),
        np.concatenate([first.amount, second.amount]),
        np.concatenate([first.card, second.card]),
        np.concatenate([first.event_s, second.event_s]),
        np.concatenate([first.weight, second.weight]),
    )


def _table(
    frame: pd.DataFrame, features: Floats, labels: pd.DataFrame, keep_from: datetime, weights: Floats | None = None
) -> TrainingTable:
    frauds = labels.loc[labels["is_fraud"], "transaction_id"]
    kept = (frame["event_time"] >= pd.Timestamp(keep_from)).to_numpy()
    rows = frame[kept]
    return TrainingTable(
        features[kept],
        rows["transaction_id"].isin(frauds).to_numpy(dtype=bool),
        rows["amount_minor"].to_numpy(dtype=np.float64) / 100.0,
        _hashes(rows["card_id"]),
        rows["event_time"].dt.as_unit("s").astype("int64").to_numpy(dtype=np.int64),
        np.ones(len(rows)) if weights is None else weights[kept],
    )


def _hashes(tokens: "pd.Series[Any]") -> Integers:
    """One stable 64-bit number per token, hashed once per distinct token."""
    column = tokens.astype("category")
    table = pd.util.hash_array(column.cat.categories.to_numpy(dtype=object)).astype(np.int64)
    return table[column.cat.codes.to_numpy()]
