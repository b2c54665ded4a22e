"""A rollout over the real prediction log and ledger on disk: what is read back is what was served, and decides the same."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from data.features import FEATURE_INDEX
from data.ledger import Ledger
from data.prediction_log import PredictionLog
from data.schema import CHANNELS
from data.serving_plan import ServingPlan
from pipelines.rollout.controller import run_rollout
from pipelines.rollout.evidence import APPROVE, DECLINE, REVIEW, LogEvidence, Served, to_served
from tests.logged_service import PLAN, POLICIES, LoggedService, record, two_versions
from tests.simulated_service import START, Model, SimulatedService


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    log = PredictionLog(tmp_path / "predictions.db")
    yield log
    log.close()


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
