"""A realistic run of the demo, made without running it: for the tests of the evidence report and to look at its page."""

import hashlib
from datetime import date, timedelta

import numpy as np

from labs.report.facts import (
    Curve,
    DemoFacts,
    DriftFacts,
    Estimate,
    LatencyFacts,
    LedgerLine,
    Marker,
    ModelFacts,
    RolloutFacts,
    RolloutStep,
    Series,
    Shift,
    SourceFacts,
    Step,
    TrainingFacts,
)


def _points(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)


def _model(name: str, version: str | None, ap: float, auc: float, saved: float) -> ModelFacts:
    recall = np.linspace(0, 1, 120)
    precision = np.clip((1 - recall**2.5) * min(1.0, ap * 1.6) + 0.005, 0.004, 1)
    return ModelFacts(
        name=name,
        version=version,
        average_precision=Estimate(ap, ap - 0.031, ap + 0.029),
        roc_auc=Estimate(auc, auc - 0.012, auc + 0.011),
        card_precision_at_100=Estimate(ap * 0.42, ap * 0.39, ap * 0.45),
        card_precision_ceiling=0.412,
        recall_at_capacity=Estimate(min(0.95, ap * 1.2), ap * 1.1, min(0.97, ap * 1.3)),
        brier=Estimate(0.0052 - ap * 0.003, 0.0050 - ap * 0.003, 0.0055 - ap * 0.003),
        saved_per_thousand=Estimate(saved, saved * 0.91, saved * 1.08),
        precision_recall=Curve(_points(recall), _points(precision)),
        run_id="3f0c9a6e5b1d4c0f9f3e8a7d6c5b4a39" if version else None,
    )


def _training(rng: np.random.Generator) -> TrainingFacts:
    alerts = np.linspace(0.2, 30, 90)
    saved = 420 * (1 - np.exp(-alerts / 2.8)) - 3.1 * alerts
    predicted = np.geomspace(0.0004, 0.85, 12)
    return TrainingFacts(
        models=(
            _model("rules", None, 0.118, 0.742, 141.0),
            _model("logistic regression", None, 0.341, 0.902, 262.0),
            _model("LightGBM", "1", 0.486, 0.951, 349.0),
        ),
        train_days="2026-01-05 to 2026-02-11",
        test_days="2026-02-26 to 2026-03-05",
        test_rows=63_412,
        test_frauds=311,
        gate=(
            "Average precision 0.486 beats logistic regression's 0.341 by 0.145 (95 % interval 0.112 to 0.179).",
            "On its own training rows it ranks better than logistic regression: 0.93 against 0.36.",
            "There is no champion yet.",
        ),
        calibration_before=Curve(_points(predicted), _points(np.clip(predicted * 1.9 / (1 + predicted), 0, 1))),
        calibration_after=Curve(_points(predicted), _points(np.clip(predicted * (1 + rng.normal(0, 0.07, 12)), 0, 1))),
        savings=Curve(_points(alerts), _points(saved)),
        review_at=0.083,
        decline_at=0.75,
        alerts_per_thousand=8.6,
        saved_per_thousand=374.0,
        capacity_per_thousand=10.0,
    )


def _latency(rng: np.random.Generator) -> LatencyFacts:
    edges = np.concatenate([np.linspace(1, 8, 36), np.linspace(8.5, 24, 32)])
    sample = rng.lognormal(1.05, 0.32, 4000) + 0.6
    counts, _ = np.histogram(sample, edges)
    p50, p95, p99 = np.percentile(sample, [50, 95, 99])
    return LatencyFacts(
        requests=4000,
        failures=0,
        requests_per_s=412.0,
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        slo_p95_ms=10.0,
        slo_p99_ms=20.0,
        slo_error_ratio=0.001,
        met=True,
        edges_ms=_points(edges),
        counts=tuple(int(count) for count in counts),
    )


def _drift(rng: np.random.Generator) -> DriftFacts:
    days = [date(2026, 2, 23) + timedelta(days=i) for i in range(28)]
    ramp = np.clip((np.arange(28) - 13) / 3, 0, 1)

    def series(name: str, quiet: float, loud: float, noise: float, threshold: float | None = None, known: int = 28) -> Series:
        values = quiet + (loud - quiet) * ramp + rng.normal(0, noise, 28)
        return Series(name, tuple(round(float(v), 4) if i < known else None for i, v in enumerate(values)), threshold)

    return DriftFacts(
        scenario="price_rise",
        mechanism="Every amount grows by half, for shoppers and fraudsters alike.",
        started="2026-03-08",
        decision="retrain",
        since="2026-03-08",
        confidence="p < 0.0001 for 4 of 14 columns at a family-wise error of 1 % per window; onset 2026-03-08, ± 1 day.",
        damage="Recall at capacity fell from 0.58 to 0.41 (95 % interval of the loss 0.10 to 0.24): about 96 EUR per thousand payments.",
        action="Retrain on labels that matured since 2026-03-08: lab train --since 2026-03-08",
        shifts=(
            Shift("amount", "Kolmogorov–Smirnov", 0.213, 0.021, True, "2026-03-08"),
            Shift("card_sum_7d", "Kolmogorov–Smirnov", 0.147, 0.021, True, "2026-03-10"),
            Shift("score", "Kolmogorov–Smirnov", 0.094, 0.021, True, "2026-03-08"),
            Shift("alert rate", "binomial", 0.0153, 0.0112, True, "2026-03-08"),
            Shift("category", "chi-square", 0.006, 0.018, False, None),
        ),
        days=tuple(day.isoformat() for day in days),
        distances=(
            series("amount", 0.012, 0.213, 0.004, 0.05),
            series("card_sum_7d", 0.014, 0.147, 0.005),
            series("score", 0.010, 0.094, 0.004),
            series("category", 0.008, 0.008, 0.002),
        ),
        alert_rate=series("alert rate", 0.0092, 0.0153, 0.0005, 0.0112),
        recall=series("recall of matured labels", 0.58, 0.41, 0.03, None, known=22),
        markers=(Marker("2026-03-08", "drift begins"), Marker("2026-03-12", "verdict"), Marker("2026-03-19", "retrained")),
        detail="evidence/drift.html",
    )


def _rollout() -> RolloutFacts:
    return RolloutFacts(
        result="promoted",
        champion_before="1",
        champion_after="2",
        served_before="1",
        served_after="2",
        steps=(
            RolloutStep("2026-03-23T00:00:00Z", "shadow", 0.0, 24_100, "advance", "No error in 24,100 scores; 3.1 % of decisions differ."),
            RolloutStep("2026-03-26T00:00:00Z", "canary", 0.05, 8_050, "advance", "Errors 0 of 412, p99 no slower, alert rate 1.04 times."),
            RolloutStep("2026-03-27T00:00:00Z", "canary", 0.25, 8_120, "inconclusive", "61 matured frauds of 80 needed."),
            RolloutStep("2026-03-28T00:00:00Z", "canary", 0.25, 16_260, "advance", "Saves 81 EUR more per thousand (22 to 140)."),
            RolloutStep("2026-03-30T00:00:00Z", "canary", 0.50, 8_090, "promote", "All guards hold at half of the cards."),
            RolloutStep("2026-03-30T00:00:00Z", "promoted", 1.0, 8_001, "promote", "Version 2 answers every card."),
        ),
        requests=72_621,
        failures=0,
    )


def _ledger() -> tuple[LedgerLine, ...]:
    lines: list[LedgerLine] = []
    previous = "0" * 64
    told = (
        ("2026-03-06T00:00:00Z", "registered", "Version 1: no champion yet, better than both baselines."),
        ("2026-03-22T00:00:00Z", "registered", "Version 2: +0.121 average precision against version 1 on the same rows."),
        ("2026-03-23T00:00:00Z", "rollout_started", "Version 2 in the shadow of version 1."),
        ("2026-03-30T00:00:00Z", "promoted", "Version 2 replaces version 1: saves 81 EUR more per thousand payments."),
    )
    for sequence, (at, kind, text) in enumerate(told):
        digest = hashlib.sha256(f"{previous}{at}{kind}{text}".encode()).hexdigest()
        lines.append(LedgerLine(sequence, at, kind, text, previous, digest))
        previous = digest
    return tuple(lines)


def sample_facts() -> DemoFacts:
    """A demo that went well; equal at every call."""
    rng = np.random.default_rng(7)
    return DemoFacts(
        passed=True,
        verdict=(
            "The lab trained a fraud model that saves 349 EUR per thousand payments (95 % interval 318 to 377), served it within its "
            "latency objective, noticed within four days that prices had risen, retrained on the labels that had matured, and let the "
            "new model take over after it had proved itself on half of the cards. No request failed on the way."
        ),
        event_time="2026-03-30T23:59:58Z",
        seconds=94.2,
        steps=(
            Step("data", "483,201 payments of 60 days, 0.51 % fraud", 6.1, True),
            Step("training", "LightGBM 0.486, logistic regression 0.341, rules 0.118", 24.8, True),
            Step("serving", "4,000 requests, p99 7.0 ms of 20 ms allowed", 13.0, True),
            Step("drift", "amounts moved on 2026-03-08: retrain", 14.9, True),
            Step("retraining", "version 2, +0.121 average precision", 14.2, True),
            Step("rollout", "shadow, 5 %, 25 %, 50 %: promoted", 19.7, True),
        ),
        source=SourceFacts("synthetic world, seed 7", "2026-01-05", "2026-03-05", 483_201, 0.00512, hashlib.sha256(b"days").hexdigest()),
        training=_training(rng),
        latency=_latency(rng),
        drift=_drift(rng),
        retrained=(_model("champion, version 1", "1", 0.352, 0.921, 248.0), _model("challenger, version 2", "2", 0.473, 0.948, 341.0)),
        rollout=_rollout(),
        ledger=_ledger(),
        environment=(
            ("Python", "3.11.7 on Linux"),
            ("Processor", "2 cores, 24 GB"),
            ("LightGBM", "4.7.0"),
            ("MLflow", "3.17.2"),
            ("Code", "56c9ddb"),
            ("Lock", hashlib.sha256(b"lock").hexdigest()[:16]),
            ("Seed", "7"),
        ),
        reproduce=(
            ("make demo", "the same loop from an empty folder"),
            ("lab reproduce 3f0c9a6e5b1d4c0f9f3e8a7d6c5b4a39", "trains the champion again and compares every metric"),
            ("lab report", "draws this page again from the facts"),
        ),
        pages=(("MLflow", "http://127.0.0.1:8601"), ("Prefect", "http://127.0.0.1:8602")),
    )
