"""What the prediction log holds, read from outside the process, and what it must agree with."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.bundle import Model
from data.history import build_features
from data.prediction_frames import window_frame, window_matrix
from data.schema import LABEL_COLUMNS
from tests.records import START

END = START.replace(year=START.year + 10)


def faults(log: Path, acknowledged: dict[str, bytes]) -> dict[str, int]:
    """How often each thing went wrong that must never go wrong; the process must have ended."""
    stored = StoredAnswers(log)
    return {
        "lost": stored.missing(acknowledged),
        "twice": stored.doubled,
        "stored otherwise": stored.differing(acknowledged),
        "features off": stored.wrong_features(),
        "log damaged": int(not is_sound(log)),
    }


def told(counts: dict[str, int]) -> str:
    """The faults that there were, for a figure; empty when there were none."""
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


class StoredAnswers:
    """One reading of the log: its rows in order of arrival, and the features that the models saw."""

    def __init__(self, log: Path) -> None:
        self.frame: pd.DataFrame = window_frame(log, START, END)
        self.matrix: NDArray[np.float64] = window_matrix(log, START, END)
        self.ids = set(self.frame["transaction_id"])

    @property
    def doubled(self) -> int:
        """Rows beyond the first of their id."""
        return len(self.frame) - len(self.ids)

    def missing(self, acknowledged: dict[str, bytes]) -> int:
        """Acknowledged answers that are not stored."""
        return len(acknowledged.keys() - self.ids)

    def differing(self, acknowledged: dict[str, bytes]) -> int:
        """Acknowledged answers that are stored otherwise than they were given."""
        columns = ["transaction_id", "score", "decision", "model_version", "arm"]
        rows = {row[0]: row for row in self.frame[columns].astype(dict.fromkeys(columns, object)).itertuples(index=False, name=None)}
        given = (tuple(json.loads(body)[column] for column in columns) for body in acknowledged.values())
        return sum(row[0] in rows and rows[row[0]] != row for row in given)

    def not_of_their_version(self, bundles: Path) -> int:
        """Scores that the model of the version they name does not give on the features they were given for, to the last bit."""
        wrong = 0
        for version in self.frame["model_version"].unique():
            rows = (self.frame["model_version"] == version).to_numpy()
            wrong += int((Model.load(bundles / version, version).score_many(self.matrix[rows]) != self.frame["score"][rows]).sum())
        return wrong

    def wrong_features(self) -> int:
        """Rows whose features are not those of the payments before them: a payment was forgotten, or counted twice."""
        nothing = pd.DataFrame({name: pd.Series(dtype=kind) for name, (kind, _) in LABEL_COLUMNS.items()})
        expected, _ = build_features(self.frame, nothing)
        same = (expected == self.matrix) | (np.isnan(expected) & np.isnan(self.matrix))
        return int((~same.all(axis=1)).sum())


def is_sound(log: Path) -> bool:
    """SQLite's own check of every page and index."""
    with closing(sqlite3.connect(log)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
