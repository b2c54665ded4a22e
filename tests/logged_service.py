"""The simulated service with a real prediction log on disk: what a rollout reads back is what was served."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from data.costs import Policy
from data.features import FEATURE_COUNT
from data.prediction_log import PredictionLog
from data.prediction_store import PredictionRecord, payment_facts
from data.schema import Decision, Label, Transaction
from pipelines.rollout.evidence import APPROVE, DECLINE, REVIEW, Served
from pipelines.rollout.plan import RolloutPlan
from tests.fakes import FakeRegistry
from tests.simulated_service import Model, SimulatedService

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
        payment=payment_facts(transaction),
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


def two_versions() -> FakeRegistry:
    registry = FakeRegistry()
    registry.ensure()
    for alias in ("champion", "challenger"):
        registry.set_alias(alias, registry.create_version("run", "nowhere", {}))
    return registry
