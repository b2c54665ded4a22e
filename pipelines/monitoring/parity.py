"""Feature parity: served rows recomputed by the batch path, bit by bit. What the model saw is what its payments say, or it is not.

A mis-join or a window that serving counts otherwise leaves every column looking as it always did; only computing the
features again from the logged payments shows it. Pure functions over frames and arrays; the watcher of a running lab and
the exercises call them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.features import FEATURE_COUNT, FEATURES
from data.history import History, Payed
from data.prediction_store import FraudReport, Payment
from pipelines.monitoring.profile import Floats
from pipelines.monitoring.window_checks import Finding

TOGETHER = 1_000  # payments that the history takes in one call


@dataclass(frozen=True)
class ColumnParity:
    """One feature that differs."""

    column: str
    rows: int
    first: str  # transaction id of the first row that differs, in order of arrival


@dataclass(frozen=True)
class ParityResult:
    """How many served rows were recomputed, how many differ, and in which features, the most rows first."""

    rows: int
    differing: int
    columns: tuple[ColumnParity, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One finding when anything differs, about the feature that differs most often."""
        if not self.columns:
            return ()
        worst, others = self.columns[0], len(self.columns) - 1
        text = (
            f"Feature {worst.column} was served on {worst.rows:,} of {self.rows:,} payments otherwise than its history gives it,"
            f" first on {worst.first}{f'; so were {others} more features' if others else ''}."
        )
        return (Finding("parity", worst.column, text, self.differing, self.differing / self.rows),)


def recompute(events: Iterable[Payment | FraudReport], history: History) -> Floats:
    """The features of a log's payments, in order of arrival, (n, FEATURE_COUNT).

    `history` is what was known before the first of these events, and afterwards what is known after the last.
    """
    rows, waiting = [np.empty((0, FEATURE_COUNT))], list[Payed]()
    for event in events:
        if isinstance(event, FraudReport) or len(waiting) == TOGETHER:
            rows.append(history.advance_many(waiting))
            waiting.clear()
        if isinstance(event, Payment):
            waiting.append(event[1:])
        else:
            history.report(card_id=event.card_id, terminal_id=event.terminal_id, report_time_s=event.report_time_s)
    rows.append(history.advance_many(waiting))
    return np.concatenate(rows)


def compare(ids: "pd.Series[str]", served: Floats, again: Floats) -> ParityResult:
    """Two feature matrices of the same payments, (n, FEATURE_COUNT). Equal is equal in every bit, except that any NaN equals any other."""
    same = (served.view(np.int64) == again.view(np.int64)) | (np.isnan(served) & np.isnan(again))
    counts = (~same).sum(axis=0)
    columns = [ColumnParity(FEATURES[k], int(counts[k]), str(ids.iloc[int((~same[:, k]).argmax())])) for k in np.flatnonzero(counts)]
    return ParityResult(len(served), int((~same.all(axis=1)).sum()), tuple(sorted(columns, key=lambda c: -c.rows)))
