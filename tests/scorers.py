"""Scorers without HTTP and without a bundle, for tests: real histories, real logs, and a model whose score says what it saw."""

from collections.abc import Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.clock import SystemClock
from data.costs import Policy
from data.owed_answers import OwedAnswers
from data.prediction_log import PredictionLog
from data.serving_plan import ServingPlan
from data.valkey_log import ValkeyLog
from services.scoring.debts import Debts
from services.scoring.engine import Engine
from services.scoring.metrics import Metrics
from services.scoring.recovery import Recovery
from services.scoring.shared_engine import SharedEngine
from services.scoring.shared_snapshots import SharedSnapshots
from services.scoring.slots import Serving, Slots


class PlainModel:
    """Scores by the sum of all features; `broken` makes it give no number."""

    version = "1"
    policy = Policy(review_at=0.3, decline_at=0.75)
    broken = False

    def score(self, features: NDArray[np.float64]) -> float:
        return float(self.score_many(features[None])[0])

    def score_many(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.nansum(matrix, axis=1)
        return np.full(len(matrix), np.nan) if self.broken else np.abs(total) / (1 + np.abs(total))


def slots_of(model: PlainModel) -> Slots:
    slots = Slots()
    champion: Any = model
    slots.swap(Serving(ServingPlan(1, "1"), champion, None, "registry", datetime(2026, 1, 5, tzinfo=UTC)))
    return slots


@asynccontextmanager
async def scoring(home: Path, store_url: str = "", model: PlainModel | None = None) -> Iterator[Any]:
    """`.engine` and `.log` over this home; alone without `store_url`, else sharing that store."""
    slots, metrics, clock = slots_of(model or PlainModel()), Metrics(), SystemClock()
    log: Any = ValkeyLog(store_url, timeout_s=2) if store_url else PredictionLog(home / "predictions.db")
    with closing(log):
        if store_url:
            debts = Debts(OwedAnswers(home / "owed.db"), metrics)
            engine: Any = SharedEngine(slots, log, SharedSnapshots(home / "history", log), debts, metrics, clock)
        else:
            engine = Engine(slots, log, Recovery(home / "history", log), metrics, clock)
        try:
            yield SimpleNamespace(engine=engine, log=log, metrics=metrics)
        finally:
            await engine.stop()
