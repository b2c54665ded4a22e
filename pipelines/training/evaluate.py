"""Measure models on the test rows: every metric with a cluster-bootstrap interval over cards. Pure; called by training.

All models are measured on the same rows, and differences on the same resamples, so that the luck of the draw cancels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.bundle import Calibration
from data.costs import DecisionCosts
from pipelines.metrics import (
    CostCurve,
    Interval,
    average_precision,
    bootstrap_interval,
    brier,
    card_precision,
    card_precision_at_k,
    money_saved_per_thousand,
    paired_difference,
    recall_at_capacity,
    reliability,
    roc_auc,
)
from pipelines.training.gate import Comparison
from pipelines.training.request import CalibrationFacts, Curve, ModelEvaluation, ModelName
from pipelines.training.table import TrainingTable
from pipelines.training.threshold import ThresholdChoice

Floats = NDArray[np.float64]
METRICS: Final = ("average_precision", "roc_auc", "card_precision_at_100", "recall_at_capacity", "brier", "saved_per_thousand")
CALIBRATION_BINS: Final = 8  # a week of the world has some two hundred frauds: twenty-five in each
CURVE_POINTS: Final = 300  # enough for any plot; a curve of every row would weigh megabytes


def stood_for(metric: Callable[..., float]) -> Callable[..., float]:
    """`metric` with one array more, the last: the payments that each row stands for, beside how often it is drawn."""

    def weighed(*arrays: ArrayLike, weights: Floats | None = None) -> float:
        *rows, base = arrays
        return metric(*rows, weights=base if weights is None else weights * np.asarray(base))

    return weighed


@dataclass(frozen=True)
class Scored:
    """A model's answers on the test rows: margins to rank by, calibrated probabilities, and the alerts of its own policy."""

    margin: Floats
    probability: Floats
    alert: NDArray[np.bool_]


@dataclass(frozen=True)
class Evaluator:
    """The test rows and how they are measured."""

    test: TrainingTable
    costs: DecisionCosts
    capacity_per_thousand: float
    resamples: int
    seed: int

    def evaluate(self, name: ModelName, scored: Scored) -> ModelEvaluation:
        """All METRICS of one model. Card precision alone counts rows as they are: a card's payments cannot stand for others."""
        test, card = self.test, self._cards()
        interval = partial(bootstrap_interval, groups=card, seed=self.seed, n=self.resamples)
        y, margin, base = test.is_fraud, scored.margin, test.weight
        metrics = {
            "average_precision": interval(stood_for(average_precision), y, margin, base),
            "roc_auc": interval(stood_for(roc_auc), y, margin, base),
            "card_precision_at_100": interval(card_precision, y, margin, card, test.day),
            "recall_at_capacity": interval(
                stood_for(partial(recall_at_capacity, per_thousand=self.capacity_per_thousand)), y, margin, base
            ),
            "brier": interval(stood_for(brier), y, scored.probability, base),
            "saved_per_thousand": interval(
                stood_for(partial(money_saved_per_thousand, costs=self.costs)), y, scored.alert, test.amount, base
            ),
        }
        ceiling = card_precision_at_k(y, margin, card, test.day).ceiling
        return ModelEvaluation(name, metrics, ceiling, precision_recall_curve(y, margin))

    def compare(self, opponent: str, first: Scored, second: Scored) -> Comparison:
        """`first` less `second`, which `opponent` names."""
        difference: Callable[..., Interval] = partial(paired_difference, groups=self._cards(), seed=self.seed, n=self.resamples)
        money, test = stood_for(partial(money_saved_per_thousand, costs=self.costs)), self.test
        return Comparison(
            opponent,
            difference(stood_for(average_precision), test.is_fraud, first.margin, second.margin, test.weight),
            difference(money, test.is_fraud, first.alert, second.alert, test.amount, test.weight),
        )

    def _cards(self) -> NDArray[np.int64]:
        return np.unique(self.test.card, return_inverse=True)[1].astype(np.int64)


def precision_recall_curve(is_fraud: NDArray[np.bool_], margin: Floats) -> Curve:
    """Precision over recall at CURVE_POINTS recalls that exist, from the first alert to all."""
    order = np.argsort(-margin, kind="stable")
    caught = np.cumsum(is_fraud[order])
    at_fraud = np.flatnonzero(is_fraud[order])  # precision peaks where the next fraud is caught
    kept = at_fraud[np.unique(np.linspace(0, len(at_fraud) - 1, min(CURVE_POINTS, len(at_fraud))).astype(np.int64))]
    return _curve(caught[kept] / caught[-1], caught[kept] / (kept + 1))


def calibration_facts(is_fraud: NDArray[np.bool_], margin: Floats, calibration: Calibration) -> CalibrationFacts:
    """What calibration changed on the test rows."""
    before, after = 1.0 / (1.0 + np.exp(-margin)), calibration.probabilities(margin)
    lines = [reliability(is_fraud, p, bins=CALIBRATION_BINS, equal_frauds=True) for p in (before, after)]
    return CalibrationFacts(
        calibration.slope,
        calibration.intercept,
        brier(is_fraud, before),
        brier(is_fraud, after),
        *(_curve(line.predicted, line.observed) for line in lines),
    )


def cost_curve_points(choice: ThresholdChoice) -> Curve:
    """Alerts per thousand and EUR saved per thousand, for a plot."""
    curve: CostCurve = choice.curve
    return _curve(curve.alerts_per_thousand, curve.saved_per_thousand)


def _curve(x: Floats, y: Floats) -> Curve:
    return Curve(tuple(float(v) for v in x), tuple(float(v) for v in y))
