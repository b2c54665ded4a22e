"""From what the loop found to the facts of the evidence report. Pure; nothing is measured here."""

import platform
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from typing import Final

from data.dataset import Dataset
from data.errors import LabError
from data.ledger import Entry
from data.settings import Settings
from labs.demo.loop import Found
from labs.demo.story import Story
from labs.report.facts import (
    Curve,
    DemoFacts,
    DriftFacts,
    Estimate,
    LedgerLine,
    Marker,
    ModelFacts,
    RolloutFacts,
    RolloutStep,
    Series,
    Shift,
    SourceFacts,
    TrainingFacts,
)
from labs.stream import Stream
from pipelines.metrics import Interval
from pipelines.monitoring import timeline
from pipelines.training import request
from pipelines.training.request import ModelEvaluation, TrainingOutcome
from services.programs import programs

_NAMES: Final = {"rules": "rules", "logistic": "logistic regression", "lightgbm": "LightGBM"}
_PACKAGES: Final = ("lightgbm", "scikit-learn", "mlflow", "prefect", "evidently", "fastapi", "locust", "numpy", "pandas")
_SHOWN_DISTANCES: Final = 4  # more lines than that cannot be told apart


def demo_facts(found: Found, story: Story, settings: Settings, stream: Stream, *, failure: LabError | None, kept_up: bool) -> DemoFacts:
    """Everything the report shows; parts that were not reached are None."""
    return DemoFacts(
        passed=failure is None,
        verdict=_verdict(found) if failure is None else f"The loop stopped. {failure}",
        event_time=f"{found.now:%Y-%m-%d %H:%M} UTC" if found.now else "",
        seconds=round(story.seconds, 1),
        steps=tuple(story.steps),
        source=_source(found, stream),
        training=_training(found.training, stream.first) if found.training else None,
        latency=found.load,
        drift=_drift(found) if found.windows else None,
        retrained=_compared(found.retraining, found.served_before) if found.retraining else (),
        rollout=_rollout(found) if found.rollout else None,
        ledger=tuple(_ledger_line(entry) for entry in found.ledger),
        environment=_environment(found, settings),
        reproduce=_commands(found),
        pages=tuple((program.title, program.page) for program in programs(settings).values()) if kept_up else (),
    )


def _verdict(found: Found) -> str:
    assert found.training and found.rollout and found.windows and found.drift_day  # a run that passed has been through all steps
    ap = found.training.model("lightgbm").metrics["average_precision"].value
    last = found.windows[-1]
    return (
        f"LightGBM, version {found.training.version}, went live with an average precision of {ap:.3f}. "
        f"The payments changed on {found.drift_day}; on {last.end:%Y-%m-%d} monitoring said “{last.verdict.decision}”. "
        f"A model retrained on matured labels went through shadow and canary and was {found.rollout.result.replace('_', ' ')}: "
        f"version {found.served_after} answers now. Of {found.requests:,} payments sent, {found.failed} failed."
    )


def _source(found: Found, stream: Stream) -> SourceFacts:
    days = [day for day in stream.dataset.days() if day < stream.live]
    first, last = (str(days[0]), str(days[-1])) if days else ("", "")
    share = found.frauds / found.transactions if found.transactions else 0.0
    digest = _digest(stream.dataset, stream) if days else ""
    return SourceFacts(stream.name, first, last, found.transactions, share, digest)


def _digest(dataset: Dataset, stream: Stream) -> str:
    return dataset.digest(stream.first, stream.live)


def _training(outcome: TrainingOutcome, first: date) -> TrainingFacts:
    train, test, thresholds = outcome.split.train, outcome.split.test, outcome.thresholds
    return TrainingFacts(
        models=tuple(_model(model, outcome) for model in outcome.models),
        train_days=f"{max(train.start.date(), first)} to {train.end:%Y-%m-%d}",
        test_days=f"{test.start:%Y-%m-%d} to {test.end:%Y-%m-%d}",
        test_rows=outcome.parts["test"].rows,
        test_frauds=outcome.parts["test"].frauds,
        gate=outcome.gate.reasons,
        calibration_before=_curve(outcome.calibration.before),
        calibration_after=_curve(outcome.calibration.after),
        savings=_curve(thresholds.cost_curve),
        review_at=thresholds.review_at,
        decline_at=thresholds.decline_at,
        alerts_per_thousand=thresholds.alerts_per_thousand,
        saved_per_thousand=thresholds.saved_per_thousand,
        capacity_per_thousand=thresholds.capacity_per_thousand,
    )


def _compared(outcome: TrainingOutcome, champion: str) -> tuple[ModelFacts, ...]:
    """Champion and challenger on the retraining's test rows, where the champion was measured there."""
    challenger = _model(outcome.model("lightgbm"), outcome, "LightGBM, retrained")
    if outcome.champion is None:
        return (challenger,)
    return (replace(_model(outcome.champion, outcome, "LightGBM, champion"), version=champion), challenger)


def _model(model: ModelEvaluation, outcome: TrainingOutcome, name: str | None = None) -> ModelFacts:
    metrics = {key: _estimate(interval) for key, interval in model.metrics.items()}
    return ModelFacts(
        name=name or _NAMES[model.name],
        version=outcome.version if model.name == "lightgbm" else None,
        average_precision=metrics["average_precision"],
        roc_auc=metrics["roc_auc"],
        card_precision_at_100=metrics["card_precision_at_100"],
        card_precision_ceiling=model.card_precision_ceiling,
        recall_at_capacity=metrics["recall_at_capacity"],
        brier=metrics["brier"],
        saved_per_thousand=metrics["saved_per_thousand"],
        precision_recall=_curve(model.precision_recall),
        run_id=model.run_id or None,
    )


def _drift(found: Found) -> DriftFacts:
    last, injection, series = found.windows[-1], found.injection, found.timeline
    assert injection is not None  # windows are watched after the injection was planned
    moved = {test.column: str(last.onsets[test.column].day) for test in last.tests if test.column in last.onsets}
    return DriftFacts(
        scenario=injection.scenario.name,
        mechanism=injection.scenario.mechanism,
        started=str(injection.start),
        decision=last.verdict.decision,
        since=last.verdict.since,
        confidence=last.verdict.how_sure,
        damage=last.verdict.damage,
        action=last.verdict.next_step,
        shifts=tuple(
            Shift(test.column, test.method, test.value, test.threshold, test.drifted, moved.get(test.column)) for test in last.tests
        ),
        days=tuple(str(day) for day in series.days) if series else (),
        distances=tuple(_series(one) for one in series.distances[:_SHOWN_DISTANCES]) if series else (),
        alert_rate=_series(series.alert_rate) if series else Series("alert rate", ()),
        recall=_series(series.recall) if series else Series("recall", ()),
        markers=_markers(found),
        detail=str(found.evidently.html) if found.evidently and found.evidently.html else None,
    )


def _markers(found: Found) -> tuple[Marker, ...]:
    verdicts = tuple(Marker(f"{window.end:%Y-%m-%d}", window.verdict.decision) for window in found.windows)
    return (Marker(str(found.drift_day), "drift begins"), *verdicts)


def _rollout(found: Found) -> RolloutFacts:
    outcome = found.rollout
    assert outcome is not None  # asked for by the caller
    steps = (RolloutStep(e.at, e.stage, e.share, e.payments, e.verdict, e.reason) for e in outcome.timeline)  # type: ignore[arg-type]
    return RolloutFacts(
        result=outcome.result,
        champion_before=outcome.champion_before,
        champion_after=outcome.champion_after,
        served_before=found.served_before,
        served_after=found.served_after,
        steps=tuple(steps),
        requests=found.requests,
        failures=found.failed,
    )


def _ledger_line(entry: Entry) -> LedgerLine:
    facts = entry.facts
    reasons = facts.get("reasons") or []
    version_ = facts.get("version") or facts.get("champion") or ""
    text = "; ".join([f"version {version_}"] * bool(version_) + [str(reason) for reason in reasons])
    return LedgerLine(entry.sequence, entry.at, entry.kind, text, entry.previous, entry.hash)


def _environment(found: Found, settings: Settings) -> tuple[tuple[str, str], ...]:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    revision = found.training.code_revision if found.training else ""
    return (
        ("Python", platform.python_version()),
        ("Machine", f"{platform.system()} {platform.machine()}"),
        ("Packages", packages),
        ("Seed", str(settings.seed)),
        ("Code revision", revision),
    )


def _commands(found: Found) -> tuple[tuple[str, str], ...]:
    commands = [("make demo", "runs the whole loop again"), ("make up", "starts MLflow, Prefect and the service on what this run left")]
    if found.training:
        commands.append((f"lab reproduce {found.training.run_id}", "retrains the first champion from its run alone and compares"))
    return tuple(commands)


def _estimate(interval: Interval) -> Estimate:
    return Estimate(interval.value, interval.low, interval.high)


def _curve(curve: request.Curve) -> Curve:
    return Curve(curve.x, curve.y)


def _series(series: timeline.Series) -> Series:
    return Series(series.name, series.values, series.threshold)
