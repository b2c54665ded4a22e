"""The estimate without labels: calibrated first, right under harmless drift, and not believed where it cannot be."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.metrics import Interval
from pipelines.monitoring.detectors import Detection
from pipelines.monitoring.estimate import UNHEARD, Calibrator, Conditions, Estimate, Matured, estimate, fit_calibrator
from pipelines.monitoring.performance import matured_rows
from pipelines.monitoring.reference import WatchPlan, caught_days
from pipelines.monitoring.window_checks import Finding
from tests.payments import labels, served

MATURITY = WatchPlan().maturity
REFERENCE = served(14, 3_000, fraud_share=0.02)
QUIET = served(7, 3_000, seed=1, first_day=14, fraud_share=0.02)
WINDOW = served(7, 3_000, seed=2, first_day=21, fraud_share=0.02)
STEADY = Conditions((), inputs_moved=False, outputs_moved=False, caught_alarm=False)
SHIFTED = replace(STEADY, inputs_moved=True)
NONE = WINDOW.iloc[:0]


def calibrator_of(frame: pd.DataFrame) -> Calibrator:
    known = labels(frame)
    found = fit_calibrator(frame, matured_rows(frame, known, MATURITY), caught_days(frame, known, MATURITY))
    assert found is not None
    return found


CALIBRATOR = calibrator_of(REFERENCE)


def judge(window: pd.DataFrame, conditions: Conditions = STEADY, *, quiet: pd.DataFrame = NONE, matured: Matured = UNHEARD) -> Estimate:
    return estimate(CALIBRATOR, window, REFERENCE, quiet, matured, conditions)


def precision(frame: pd.DataFrame) -> float:
    return float(frame.loc[frame["decision"] != "approve", "fraud"].mean())


def test_on_quiet_payments_it_is_the_precision_that_labels_will_tell() -> None:
    said = judge(WINDOW)
    assert said.valid
    assert said.unchanged
    assert said.precision.value == pytest.approx(precision(WINDOW), rel=0.1)
    assert said.precision.low < precision(WINDOW) < said.precision.high


def test_scores_that_are_wrong_throughout_are_calibrated_first() -> None:
    """The scores of these payments promise a third of what happens, in the reference as in the window."""
    alerted = WINDOW[WINDOW["decision"] != "approve"]
    assert alerted["score"].mean() < 0.5 * precision(WINDOW)
    assert judge(WINDOW).precision.value == pytest.approx(precision(WINDOW), rel=0.1)


def test_more_honest_payments_alerted_lower_the_precision_and_not_what_is_caught() -> None:
    honest = ~WINDOW["fraud"].to_numpy() & (np.random.default_rng(0).random(len(WINDOW)) < 0.02)
    pushed = WINDOW.assign(score=WINDOW["score"].mask(honest, 0.2), decision=WINDOW["decision"].astype(object).mask(honest, "review"))
    said = judge(pushed, SHIFTED, quiet=QUIET)
    assert said.as_scored > 1.2 * precision(pushed)
    assert said.precision.value == pytest.approx(precision(pushed), rel=0.15)


def test_scores_that_promise_less_after_payments_moved_are_taken_at_their_word() -> None:
    """Nobody's honest payments look like frauds then: nothing has to be put right."""
    frauds = (WINDOW["fraud"] & (WINDOW["decision"] != "approve")).to_numpy()
    fewer = WINDOW[~(frauds & (np.random.default_rng(0).random(len(WINDOW)) < 0.5))]
    assert judge(fewer, SHIFTED, quiet=QUIET).precision.value == judge(fewer, quiet=QUIET).precision.value


def test_scores_that_lost_touch_with_the_quiet_days_are_not_heard() -> None:
    honest = ~WINDOW["fraud"].to_numpy() & (np.random.default_rng(0).random(len(WINDOW)) < 0.1)
    flooded = WINDOW.assign(score=WINDOW["score"].mask(honest, 0.3), decision=WINDOW["decision"].astype(object).mask(honest, "review"))
    said = judge(flooded, SHIFTED, quiet=QUIET)
    assert said.as_scored > 2 * precision(flooded)
    assert said.precision.value == pytest.approx(precision(flooded), rel=0.15)


def test_labels_of_quiet_days_freshen_a_model_that_grew_stale() -> None:
    """Half of the frauds the scores promised did not happen in the live days."""
    caught = float((QUIET["fraud"] & (QUIET["decision"] != "approve")).sum())
    stale = judge(WINDOW, matured=Matured(QUIET, caught / 2, NONE, None))
    fresh = judge(WINDOW, matured=Matured(QUIET, caught, NONE, None))
    assert stale.precision.value < 0.9 * fresh.precision.value
    assert fresh.precision.value == pytest.approx(judge(WINDOW).precision.value, rel=0.05)


def finding(kind: str) -> Finding:
    return Finding(kind, "card_count_1d", "Something is off.", 10, 0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        (replace(STEADY, findings=(finding("parity"),)), "features served are not"),
        (replace(STEADY, findings=(finding("infinite"),)), "Something is off"),
        (replace(STEADY, outputs_moved=True), "payments did not"),
        (replace(STEADY, caught_alarm=True), "labels contradict"),
    ],
)
def test_it_says_why_it_is_not_valid(conditions: Conditions, reason: str) -> None:
    said = judge(WINDOW, conditions)
    assert not said.valid
    assert reason in str(said)


def test_alerts_where_the_reference_has_no_payment_make_it_invalid_and_a_few_do_not() -> None:
    alert = (WINDOW["decision"] != "approve").to_numpy()
    chance = np.random.default_rng(0).random(len(WINDOW))
    for share, valid in ((0.01, True), (0.2, False)):
        category = WINDOW["category"].astype(object).mask(alert & (chance < share), "crypto_exchange")
        assert judge(WINDOW.assign(category=category), SHIFTED).valid == valid


def test_labels_that_tell_another_precision_refute_it() -> None:
    told = Interval(0.02, 0.01, 0.03)
    said = judge(WINDOW, matured=Matured(NONE, 0.0, WINDOW, told))
    assert not said.valid
    assert said.measured == told
    assert judge(WINDOW, matured=Matured(NONE, 0.0, WINDOW, Interval(precision(WINDOW), 0.1, 0.4))).valid


def test_labels_that_stopped_refute_nothing() -> None:
    assert judge(WINDOW, replace(STEADY, caught_alarm=True, labels_sound=False)).valid


def test_a_reference_with_too_few_frauds_gives_no_estimate() -> None:
    few = served(14, 200, fraud_share=0.005)
    assert fit_calibrator(few, matured_rows(few, labels(few), MATURITY), caught_days(few, labels(few), MATURITY)) is None


def test_an_alarm_of_caught_frauds_is_heard() -> None:
    from pipelines.monitoring.evidence import AlertRate
    from pipelines.monitoring.monitor import _conditions

    quiet = AlertRate(0.01, 0.01, 1.0, False)
    assert _conditions((), (), quiet, (Detection("caught_frauds", True),)).caught_alarm
    assert not _conditions((), (), quiet, (Detection("caught_frauds", False),)).caught_alarm
    assert not _conditions((), (), quiet, (Detection("label_age", True),)).labels_sound
