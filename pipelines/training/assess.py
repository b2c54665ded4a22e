"""The assessment step: calibrate, choose thresholds, measure all models, and ask the gate. Pure but for the champion's files."""

from dataclasses import dataclass, replace

import numpy as np

from data.bundle import Calibration, Model
from pipelines.training.calibrate import fit_platt
from pipelines.training.evaluate import Evaluator, Scored, calibration_facts, cost_curve_points
from pipelines.training.fit import MODELS, Fitted
from pipelines.training.gate import Comparison, GateVerdict, judge_candidate
from pipelines.training.request import CalibrationFacts, ModelEvaluation, ModelName, ThresholdFacts, TrainingRequest
from pipelines.training.table import TrainingTable
from pipelines.training.threshold import ThresholdChoice, choose_threshold


@dataclass(frozen=True)
class Assessment:
    """Everything measured of one training."""

    evaluations: dict[ModelName, ModelEvaluation]
    champion: ModelEvaluation | None  # the registered champion on the same rows
    calibration: Calibration
    calibration_facts: CalibrationFacts
    choice: ThresholdChoice
    thresholds: ThresholdFacts
    comparisons: tuple[Comparison, ...]
    gate: GateVerdict


def assess(fitted: Fitted, parts: dict[str, TrainingTable], request: TrainingRequest, champion: Model | None) -> Assessment:
    """Calibration and thresholds come from the validation rows, every measure from the test rows."""
    judge = Evaluator(
        parts["test"], request.costs, request.alert_capacity_per_thousand, request.recipe.bootstrap_resamples, request.recipe.seed
    )
    settled = {name: _settle(name, fitted, parts, request) for name in MODELS}
    scored = {name: answers for name, (_, _, answers) in settled.items()}
    calibration, choice, candidate = settled["lightgbm"]
    baselines = tuple(judge.compare(name, candidate, scored[name]) for name in MODELS if name != "lightgbm")
    opponent = _answers(champion, judge) if champion else None
    against = judge.compare(f"champion {champion.version}", candidate, opponent) if champion and opponent else None
    gate = judge_candidate(
        training_ap=fitted.training_ap["lightgbm"],
        baseline_training_ap=0.0 if request.recipe.trees_of else fitted.training_ap["logistic"],  # kept trees saw none of these rows
        champion=against,
        baselines=baselines,
        rule=request.gate,
    )
    return Assessment(
        {name: judge.evaluate(name, scored[name]) for name in MODELS},
        judge.evaluate("lightgbm", opponent) if opponent else None,
        calibration,
        calibration_facts(parts["test"].is_fraud, candidate.margin, calibration),
        choice,
        _threshold_facts(choice, request.alert_capacity_per_thousand),
        (*baselines, *((against,) if against else ())),
        gate,
    )


def _settle(
    name: ModelName, fitted: Fitted, parts: dict[str, TrainingTable], request: TrainingRequest
) -> tuple[Calibration, ThresholdChoice, Scored]:
    """Calibrate one model and choose its threshold on the validation rows; then its answers on the test rows."""
    validation, margin = parts["validation"], fitted.margins[name]
    calibration = fit_platt(margin["validation"], validation.is_fraud)
    choice = choose_threshold(
        validation.is_fraud,
        calibration.probabilities(margin["validation"]),
        validation.amount,
        costs=request.costs,
        capacity_per_thousand=request.alert_capacity_per_thousand,
    )
    choice = replace(choice, policy=replace(choice.policy, random_approve_share=request.random_approve_share))
    probability = calibration.probabilities(margin["test"])
    return calibration, choice, Scored(margin["test"], probability, probability >= choice.policy.review_at)


def _answers(champion: Model, judge: Evaluator) -> Scored:
    """The champion on the test rows, with its own policy."""
    probability = champion.score_many(np.ascontiguousarray(judge.test.features))
    return Scored(probability, probability, probability >= champion.policy.review_at)


def _threshold_facts(choice: ThresholdChoice, capacity: float) -> ThresholdFacts:
    return ThresholdFacts(
        choice.policy.review_at,
        choice.policy.decline_at,
        choice.alerts_per_thousand,
        choice.saved_per_thousand,
        capacity,
        cost_curve_points(choice),
    )
