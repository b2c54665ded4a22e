"""Which column is at fault, and which rows hold the change."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.monitoring.monitor import WindowResult, watch
from pipelines.monitoring.reference import WatchPlan, freeze_reference
from tests.payments import START, labels, served

PLAN = WatchPlan()
REFERENCE = served(14, 700)
WINDOW = served(7, 700, seed=1, first_day=14)


def judge(**columns: Any) -> WindowResult:
    reference = freeze_reference(REFERENCE, labels(REFERENCE), PLAN)
    window = WINDOW.assign(**columns)
    return watch(window, reference, labels(window), now=START + timedelta(days=21), plan=PLAN)


def test_a_quiet_window_has_no_cause() -> None:
    result = judge()
    assert result.causes == ()
    assert result.verdict.root_cause is None


def test_a_message_comes_before_the_features_made_of_it_however_far_they_moved() -> None:
    amount = WINDOW["amount"] * 1.3
    result = judge(amount=amount, amount_to_card_mean=amount * 4, score=WINDOW["score"] * 3)
    assert [c.column for c in result.causes] == ["amount", "amount_to_card_mean", "score"]
    assert [c.tier for c in result.causes] == ["message", "feature", "score"]


def test_of_two_messages_the_one_that_explains_the_other_comes_first() -> None:
    """Amounts online are other amounts: with more online payments they move too."""
    rng = np.random.default_rng(3)

    def paid(frame: pd.DataFrame) -> "pd.Series[float]":
        return pd.Series(np.where(frame["channel"] == "online", 60.0, 20.0) * rng.lognormal(0, 0.7, len(frame)), index=frame.index)

    before = REFERENCE.assign(amount=paid(REFERENCE))
    pushed = WINDOW[(WINDOW["channel"] == "online") | (rng.random(len(WINDOW)) < 0.5)]
    window = pushed.assign(amount=paid(pushed))
    reference = freeze_reference(before, labels(before), PLAN)
    result = watch(window, reference, labels(window), now=START + timedelta(days=21), plan=PLAN)
    assert {"channel", "amount"} <= {c.column for c in result.causes}
    assert result.causes[0].column == "channel"


def test_the_effect_is_the_share_of_payments_that_changed() -> None:
    rng = np.random.default_rng(0)
    hit, about_100 = rng.random(len(WINDOW)) < 0.2, rng.uniform(90, 110, len(WINDOW))
    result = judge(amount=WINDOW["amount"].mask(hit, about_100))
    cause = result.causes[0]
    assert (cause.column, cause.tier) == ("amount", "message")
    assert cause.effect == pytest.approx(0.2, abs=0.04)


def test_a_fault_at_a_few_terminals_is_traced_to_them() -> None:
    at_fault = [f"term_{i:03d}" for i in range(12)]
    result = judge(amount=WINDOW["amount"] * np.where(WINDOW["terminal_id"].isin(at_fault), 100, 1))
    cause = result.causes[0]
    assert (cause.column, cause.tier) == ("amount", "fault")
    assert cause.segment is not None
    assert cause.segment.dimension == "terminal"
    assert set(cause.segment.levels) <= set(at_fault)
    assert cause.segment.share == pytest.approx(0.04, abs=0.02)
    assert cause.segment.holds > 0.8
    assert cause.segment.lift > 10
    assert "terminal term_0" in str(result.verdict.root_cause)


def test_a_change_within_one_channel_is_traced_to_it() -> None:
    result = judge(amount=WINDOW["amount"].where(WINDOW["channel"] == "chip", WINDOW["amount"] * 3))
    segment = result.causes[0].segment
    assert segment is not None
    assert (segment.dimension, segment.levels) == ("channel", ("online",))


def test_a_change_of_random_rows_lies_nowhere_in_particular() -> None:
    hit = np.random.default_rng(0).random(len(WINDOW)) < 0.2
    result = judge(amount=WINDOW["amount"].mask(hit, 100.0))
    assert result.causes[0].segment is None


def test_a_cause_says_since_when() -> None:
    result = judge(amount=WINDOW["amount"] * 1.5)
    assert result.causes[0].onset is not None
    assert f"since {result.causes[0].onset.day}" in str(result.causes[0])
