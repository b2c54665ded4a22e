"""A rollout over the real prediction log and ledger on disk: what is read back is what was served, and decides the same."""

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data.costs import Policy
from data.features import FEATURE_COUNT, FEATURE_INDEX
from data.ledger import Ledger
from data.prediction_log import PredictionLog, PredictionRecord
from data.schema import CHANNELS, Decision, Label, Transaction
from data.serving_plan import ServingPlan
from pipelines.rollout.controller import run_rollout
from pipelines.rollout.evidence import APPROVE, DECLINE, REVIEW, LogEvidence, Served, to_served
from pipelines.rollout.plan import RolloutPlan
from tests.fakes import FakeRegistry
from tests.simulated_service import START, Model, SimulatedService

DECISIONS: dict[int, Decision] = {APPROVE: "approve", REVIEW: "review", DECLINE: "decline"}
POLICIES = {"1": Policy(0.2, 0.75), "2": Policy(0.2, 0.75)}
DEFAULT = RolloutPlan.load()
PLAN = replace(
    DEFAULT,
    steps=(replace(DEFAULT.steps[0], min_payments=1_000), replace(DEFAULT.steps[3], min_payments=300, max_days=14)),
    maturity_days=2,
    min_matured_payments=500,
    min_matured_frauds=5,
    first_look_minutes=120,
    longest_look_hours=24,
)


class LoggedService(SimulatedService):
    """Writes what it serves, and labels when they are due, into a real prediction log."""

    def __init__(self, log: PredictionLog, registry: FakeRegistry, challenger: Model) -> None:
        super().__init__(registry, Model(), challenger, per_day=1_200, alike=0.2, label_delay_days=0.3)
        self.log = log

    def traffic(self, until: datetime) -> datetime:
        before = self.now
        reached = super().traffic(until)
        rows = SimulatedService.served(self, before, reached)
        self.log.append([record(rows, i) for i in range(len(rows))])
        due = SimulatedService.reports(self, reached)
        times = due.report_time_s
        new = np.flatnonzero((times > before.timestamp()) & (times <= reached.timestamp()))
        self.log.add_labels(
            [Label(transaction_id=due.transaction_id[i], report_time=moment(times[i]), is_fraud=True) for i in new[np.argsort(times[new])]]
        )
        return reached


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


def record(rows: Served, i: int, features: float = np.nan) -> PredictionRecord:
    transaction = Transaction(
        transaction_id=rows.transaction_id[i],
        event_time=moment(rows.event_time_s[i]),
        card_id=rows.card_id[i],
        terminal_id="term_1",
        amount_minor=max(round(rows.amount[i] * 100), 1),
    )
    theirs = bool(rows.by_challenger[i])
    return PredictionRecord(
        transaction=transaction,
        features=np.full(FEATURE_COUNT, features),
        score=float(rows.challenger_score[i] if theirs else rows.champion_score[i]),
        decision=DECISIONS[int(rows.decision[i])],
        reasons=(),
        arm="challenger" if theirs else "champion",
        model_version=rows.challenger_version[i] if theirs else rows.champion_version[i],
        champion_version=rows.champion_version[i],
        champion_score=float(rows.champion_score[i]),
        challenger_version=rows.challenger_version[i] or None,
        challenger_score=float(rows.challenger_score[i]) if rows.challenger_version[i] else None,
        rollout_id=rows.rollout_id[i],
        epoch=int(rows.epoch[i]),
        latency_us=int(rows.latency_ms[i] * 1000),
    )


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    log = PredictionLog(tmp_path / "predictions.db")
    yield log
    log.close()


def two_versions() -> FakeRegistry:
    registry = FakeRegistry()
    registry.ensure()
    for alias in ("champion", "challenger"):
        registry.set_alias(alias, registry.create_version("run", "nowhere", {}))
    return registry


def test_a_rollout_judged_from_the_log_on_disk_promotes_and_reads_back_what_was_served(log: PredictionLog, tmp_path: Path) -> None:
    registry, ledger = two_versions(), Ledger(tmp_path / "ledger.jsonl")
    service = LoggedService(log, registry, Model(recall=0.95))
    evidence = LogEvidence(log.path, POLICIES)
    outcome = run_rollout(
        PLAN,
        registry=registry,
        ledger=ledger,
        evidence=evidence,
        traffic=service.traffic,
        notify=service.notify,
        inspect=service.inspect,
        at=START,
    )
    assert (outcome.result, registry.alias("champion")) == ("promoted", "2")
    assert ledger.verify() == 11

    stored, served = evidence.served(START, service.now), SimulatedService.served(service, START, service.now)
    for column in fields(Served):
        read, written = getattr(stored, column.name), getattr(served, column.name)
        if read.dtype == object:
            assert read.tolist() == written.tolist(), column.name
        else:
            np.testing.assert_allclose(read, written, rtol=1e-12, err_msg=column.name)
    reports, labels = evidence.reports(service.now), SimulatedService.reports(service, service.now)
    assert sorted(reports.transaction_id) == sorted(labels.transaction_id)
    assert evidence.reports(START + timedelta(days=1)).report_time_s.max() <= (START + timedelta(days=1)).timestamp()


def test_what_a_rule_decides_is_the_same_for_both_models(log: PredictionLog) -> None:
    from data.prediction_frames import window_frame, window_matrix

    service = SimulatedService(two_versions(), Model(), Model())
    service.notify(ServingPlan(0, "1"))
    service.traffic(START + timedelta(minutes=5))
    rows = SimulatedService.served(service, START, service.now)
    log.append([record(rows, i) for i in range(len(rows))])
    frame = window_frame(log.path, START, service.now).assign(challenger_version="2", challenger_score=0.3)
    matrix = window_matrix(log.path, START, service.now)
    burst = {"channel": CHANNELS.index("online"), "amount": 2, "terminal_count_1h": 40, "terminal_count_7d": 60, "terminal_count_30d": 90}
    for name, value in burst.items():
        matrix[0, FEATURE_INDEX[name]] = value  # the rule against card testing declines
    read = to_served(frame, matrix, POLICIES)
    assert (read.champion_decision[0], read.challenger_decision[0]) == (DECLINE, DECLINE)
    assert (read.champion_decision[1], read.challenger_decision[1]) == (APPROVE, REVIEW)
