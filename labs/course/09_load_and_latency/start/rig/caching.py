"""A cache of the terminal's features in front of the model, tried on the week that was served: `python -m rig.caching`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.bundle import Model
from data.features import FEATURES
from data.settings import Settings
from pipelines.metrics import average_precision
from rig.smaller import served_week
from rig.week import champion, served

TTLS_S = (60, 600, 3_600, 6 * 3_600, 86_400)
# Counts, means, reports and risk of the terminal: what would be looked up by its id.
CACHED = [i for i, name in enumerate(FEATURES) if name.startswith("terminal_") or name == "days_since_terminal_report"]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Week:
    """The served payments in order of arrival, (n, ...)."""

    terminal: NDArray[np.int64]  # a number for each terminal
    event_s: NDArray[np.float64]
    matrix: NDArray[np.float64]
    is_fraud: NDArray[np.bool_]
    model: Model  # that served them

    @classmethod
    def of(cls, settings: Settings) -> "Week":
        frame = served(settings)
        matrix, is_fraud = served_week(settings)
        event_s = (frame["event_time"].astype("int64") / 1_000).to_numpy()
        terminal = frame["terminal_id"].astype("category").cat.codes.to_numpy().astype(np.int64)
        return cls(terminal, event_s, matrix, is_fraud, champion(settings))

    def alerts(self, matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        scores = self.model.score_many(matrix)
        return scores, scores >= self.model.policy.review_at


@dataclass(frozen=True)
class Effect:
    """What a cache with one time to live did."""

    hits: float  # share of the payments
    fraud_hits: float  # share of the frauds
    average_precision: float
    caught_before: int  # frauds alerted on without a cache
    lost: int  # of those, not alerted on with it


def effect(week: Week, source: Places) -> Effect:
    """`source`: for each payment the one whose features of the terminal it gets; its own place is a miss."""
    stale = week.matrix.copy()
    stale[:, CACHED] = week.matrix[source][:, CACHED]
    hit = source != np.arange(len(source))
    before, after = week.alerts(week.matrix)[1] & week.is_fraud, week.alerts(stale)
    return Effect(
        hits=float(hit.mean()),
        fraud_hits=float(hit[week.is_fraud].mean()),
        average_precision=average_precision(week.is_fraud, after[0]),
        caught_before=int(before.sum()),
        lost=int((before & ~after[1]).sum()),
    )


if __name__ == "__main__":
    from cache import source

    week = Week.of(Settings.load())
    ask: Callable[..., Any] = source
    try:
        ask(week.terminal[:1], week.event_s[:1], 60.0)
    except NotImplementedError as open_point:
        sys.exit(str(open_point))
    print("  time to live, s   hits   hits among frauds   avg. precision   caught frauds lost")
    for ttl_s in (0, *TTLS_S):
        found = effect(week, np.asarray(ask(week.terminal, week.event_s, ttl_s)))
        lost = f"{found.lost} of {found.caught_before}"
        print(f"{ttl_s:>17,}{found.hits:>7.1%}{found.fraud_hits:>20.1%}{found.average_precision:>17.3f}{lost:>21}")
