"""The publishing step: the runs in MLflow, the sealed bundle, the registered version. Called by training.

Effects come in an order that a kill cannot spoil: runs and files first, then the version, then the alias.
"""

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import StepFailed
from data.forest import Forest
from pipelines.training.assess import Assessment
from pipelines.training.boost import load_booster, margins
from pipelines.training.fit import MODELS, Fitted
from pipelines.training.plots import save_plots
from pipelines.training.provenance import Provenance
from pipelines.training.register import INPUTS_TAG, SEQUENCE_TAG, Registered, VersionStore, next_sequence, register
from pipelines.training.request import Excluded, ModelEvaluation, ModelName, PartFacts, TrainingOutcome, TrainingRequest
from pipelines.training.split import Split
from pipelines.training.table import TrainingTable
from pipelines.training.track import BUNDLE, BundleParts, TrackedRun, Tracker, as_params, write_bundle

Floats = NDArray[np.float64]
GOLDEN_ROWS = 20  # frozen rows with known scores: enough to notice a damaged tree, little to score before every start


@dataclass(frozen=True)
class Training:
    """All that a finished training knows before anybody hears of it."""

    request: TrainingRequest
    split: Split
    parts: dict[str, TrainingTable]
    data_digest: str
    inputs_digest: str
    provenance: Provenance
    fitted: Fitted
    assessment: Assessment
    excluded: tuple[Excluded, ...] = ()


def publish(training: Training, tracker: Tracker, store: VersionStore, key_folder: Path) -> TrainingOutcome:
    """Track it; register it if the gate let it pass. The outcome's durations are left empty."""
    tracker.close_interrupted()
    gate = training.assessment.gate
    tags = _tags(training)
    sequence = next_sequence(store)
    with tracker.run(f"training {training.request.cut:%Y-%m-%d}", {**tags, "gate": "passed" if gate.passed else "refused"}) as parent:
        run_ids = {name: _track_model(tracker, training, name, tags, parent.run_id) for name in MODELS[:-1]}
        with tracker.run("lightgbm", tags, parent=parent.run_id) as run:
            run_ids["lightgbm"] = run.run_id
            digest = _log_model(run, training, sequence, key_folder)
            source = run.artifact_uri(BUNDLE)
        outcome = _outcome(training, run_ids, parent.run_id, digest)
        _log_summary(parent, training, outcome)
    if not gate.passed:
        return outcome
    made: Registered = register(store, run_ids["lightgbm"], source, {**tags, "bundle_digest": digest, SEQUENCE_TAG: str(sequence)})
    return replace(outcome, version=made.version, alias=made.alias, created=made.created)


def _tags(training: Training) -> dict[str, str]:
    return {
        INPUTS_TAG: training.inputs_digest,
        "data_digest": training.data_digest,
        "code_revision": training.provenance.code_revision,
        "trained_until": training.request.cut.isoformat(),
        "reason": training.request.reason,
    }


def _track_model(tracker: Tracker, training: Training, name: ModelName, tags: dict[str, str], parent: str) -> str:
    with tracker.run(name, tags, parent=parent) as run:
        run.log({"model": name}, _metrics(training.assessment.evaluations[name]), {})
    return run.run_id


def _log_model(run: TrackedRun, training: Training, sequence: int, key_folder: Path) -> str:
    """The LightGBM run: parameters, metrics and the sealed bundle; returns the bundle's digest."""
    assessment = training.assessment
    params = {"model": "lightgbm", **as_params("lightgbm", training.fitted.parameters), "resampling": training.request.recipe.resampling}
    run.log(params, _metrics(assessment.evaluations["lightgbm"]), {})
    check_evaluator(training.fitted.booster_text, training.parts["test"].features, training.fitted.margins["lightgbm"]["test"])
    golden = training.parts["test"].features[_golden_rows(training)]
    booster = load_booster(training.fitted.booster_text)
    parts = BundleParts(
        training.fitted.booster_text,
        assessment.calibration,
        assessment.choice.policy,
        golden,
        assessment.calibration.probabilities(margins(booster, golden)),
        sequence,
        _bundle_facts(training, run.run_id),
    )
    with tempfile.TemporaryDirectory() as folder:
        digest = write_bundle(Path(folder) / BUNDLE, parts, key_folder)
        run.log_folder(Path(folder) / BUNDLE, BUNDLE)
    return digest


def check_evaluator(booster_text: str, features: Floats, margins: Floats) -> None:
    """Serving has its own evaluator of the trees: of every row, (n, FEATURE_COUNT), it must give LightGBM's margin. Raises StepFailed."""
    differing = int((Forest(booster_text.encode()).margins(features) != margins).sum())
    if differing:
        raise StepFailed(
            f"Serving would give {differing:,} of {len(features):,} test rows another margin than LightGBM does.",
            next_step="Nothing was registered. Look at `python -m tests.bench forest`, and for a new version of LightGBM.",
            where="data/forest.py",
        )


def _golden_rows(training: Training) -> Any:
    """The riskiest half and a seeded half of the others: rows from both ends of the score."""
    order = np.argsort(-training.fitted.margins["lightgbm"]["test"], kind="stable")
    others = np.random.default_rng(training.request.recipe.seed).choice(order[GOLDEN_ROWS // 2 :], GOLDEN_ROWS // 2, replace=False)
    return np.concatenate([order[: GOLDEN_ROWS // 2], others])


def _bundle_facts(training: Training, run_id: str) -> dict[str, Any]:
    return {
        **_tags(training),
        "run_id": run_id,
        "lock_digest": training.provenance.lock_digest,
        "metrics": _metrics(training.assessment.evaluations["lightgbm"]),
        "gate": list(training.assessment.gate.reasons),
    }


def _log_summary(run: TrackedRun, training: Training, outcome: TrainingOutcome) -> None:
    """The parent run: what was asked, what came out, with what, in words and pictures."""
    request, assessment = training.request, training.assessment
    params = {
        **as_params("split", request.split),
        **as_params("recipe", request.recipe),
        "costs": asdict(request.costs),
        "alert_capacity_per_thousand": request.alert_capacity_per_thousand,
        "source": request.source.kind,
        "threads": training.provenance.threads,
    }
    params.pop("recipe.parameters", None)
    extra = {f"training_ap_{name}": value for name, value in training.fitted.training_ap.items()}
    sizes = {f"{what}_{name}": float(getattr(part, what)) for name, part in outcome.parts.items() for what in ("rows", "frauds")}
    run.log(
        params, {**_metrics(assessment.evaluations["lightgbm"]), **extra, **sizes}, {"gate_reasons": "; ".join(assessment.gate.reasons)}
    )
    run.log_json("training.json", training_facts(training))
    run.log_json("outcome.json", outcome.to_json())
    with tempfile.TemporaryDirectory() as folder:
        save_plots(Path(folder), outcome.models, outcome.calibration, outcome.thresholds, outcome.importances)
        run.log_folder(Path(folder), "plots")


def training_facts(training: Training) -> dict[str, Any]:
    """What a reproduction needs and compares (`pipelines/training/reproduce.py`)."""
    return {
        "request": training.request.to_json(),
        "provenance": asdict(training.provenance),
        "data_digest": training.data_digest,
        "metrics": {name: _metrics(evaluation) for name, evaluation in training.assessment.evaluations.items()},
    }


def _metrics(evaluation: ModelEvaluation) -> dict[str, float]:
    values = {name: interval.value for name, interval in evaluation.metrics.items()}
    bounds = {f"{name}_{end}": getattr(interval, end) for name, interval in evaluation.metrics.items() for end in ("low", "high")}
    return {**values, **bounds, "card_precision_ceiling": evaluation.card_precision_ceiling}


def _outcome(training: Training, run_ids: dict[ModelName, str], parent: str, digest: str) -> TrainingOutcome:
    assessment = training.assessment
    return TrainingOutcome(
        run_id=parent,
        gate=assessment.gate,
        version=None,
        alias=None,
        created=False,
        models=tuple(replace(assessment.evaluations[name], run_id=run_ids[name]) for name in MODELS),
        calibration=assessment.calibration_facts,
        thresholds=assessment.thresholds,
        importances=training.fitted.importances,
        parameters=training.fitted.parameters,
        split=training.split,
        parts={name: PartFacts(len(part), int(part.is_fraud.sum())) for name, part in training.parts.items()},
        data_digest=training.data_digest,
        code_revision=training.provenance.code_revision,
        bundle_digest=digest,
        durations_s={},
        champion=assessment.champion,
        excluded=training.excluded,
    )
