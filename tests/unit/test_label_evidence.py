"""What matured labels say: when a damage could first be known, and whether the labels themselves can be trusted."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from pipelines.monitoring.monitor import WindowResult, watch
from pipelines.monitoring.performance import MINIMUM_FRAUDS, MaturedRows, knowable_on
from pipelines.monitoring.reference import WatchPlan, freeze_reference
from tests.payments import START, labels, served

PLAN = WatchPlan()
SINCE = date(2026, 3, 2)
FIRST = (SINCE - date(1970, 1, 1)).days


def frauds_on(days: list[int]) -> tuple[MaturedRows, np.ndarray]:
    ones = np.ones(len(days))
    position = np.arange(len(days))
    return MaturedRows(ones, ones, ones, ones, ones, position, position), FIRST + np.array(days, dtype=np.int64)


def test_a_damage_is_knowable_once_enough_frauds_since_the_change_have_matured() -> None:
    days = [-1] * 100 + [k // 10 for k in range(MINIMUM_FRAUDS + 20)]  # ten a day; those of the day before do not count
    assert knowable_on(*frauds_on(days), SINCE, timedelta(days=7), frauds_per_day=10) == date(2026, 3, 12)


def test_where_too_few_are_known_the_day_is_expected_from_their_rate() -> None:
    seen = [0] * 5 + [1] * 5  # ten so far; at five a day the other twenty take four days more
    assert knowable_on(*frauds_on(seen), SINCE, timedelta(days=7), frauds_per_day=5) == date(2026, 3, 15)


REFERENCE = freeze_reference(served(14, 1_500, fraud_share=0.02), labels(served(14, 1_500, fraud_share=0.02)), PLAN)
LIVE = served(21, 1_500, seed=1, first_day=14, fraud_share=0.02)


def look(frame: pd.DataFrame, known: pd.DataFrame) -> WindowResult:
    return watch(frame, REFERENCE, known, now=START + timedelta(days=35), plan=PLAN)


def test_blocked_alerts_are_a_fault_of_the_labels_and_not_of_the_model() -> None:
    alerted = LIVE.loc[LIVE["decision"] != "approve", "transaction_id"]
    known = labels(LIVE)
    result = look(LIVE, known[~known["transaction_id"].isin(alerted)])
    assert result.label_flow is not None
    assert result.label_flow.looks_blocked
    assert result.label_flow.missed == pytest.approx(result.label_flow.expected_missed, rel=0.3)
    assert (result.verdict.decision, result.verdict.rule) == ("hold", "labels fail")


def test_a_model_gone_blind_is_none_of_that() -> None:
    blind = LIVE.assign(decision="approve", score=LIVE["score"].sample(frac=1, random_state=0).to_numpy())
    result = look(blind, labels(blind))
    assert result.label_flow is not None
    assert not result.label_flow.looks_blocked


def test_a_result_says_from_when_on_labels_could_tell() -> None:
    result = look(LIVE, labels(LIVE))
    assert result.damage is not None
    assert result.knowable_on <= result.end.date()
    assert f"Labels could tell from {result.knowable_on} on" in result.verdict.damage
    early = watch(LIVE, REFERENCE, labels(LIVE), now=START + timedelta(days=19), plan=PLAN)
    assert early.damage is None
    assert early.knowable_on > early.end.date()
