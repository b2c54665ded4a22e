"""Detectors of single values, traffic and labels: what each must hear, and what it must not take for a fault."""

import re
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from pipelines.monitoring.column_tests import rate_p_value
from pipelines.monitoring.detectors import fired
from pipelines.monitoring.monitor import WindowResult, watch
from pipelines.monitoring.reference import WatchPlan, freeze_reference
from tests.payments import START, labels, served

PLAN = WatchPlan()
REFERENCE = freeze_reference(served(14, 700), labels(served(14, 700)), PLAN)
WINDOW = served(7, 700, seed=1, first_day=14)
WEEK = timedelta(days=7)


def judge(window: pd.DataFrame, plan: WatchPlan = PLAN) -> WindowResult:
    return watch(window, REFERENCE, labels(window), now=START + 3 * WEEK, plan=plan)


def some(share: float) -> np.ndarray:
    return np.random.default_rng(6).random(len(WINDOW)) < share


def test_a_hundredfold_amount_on_one_row_in_a_hundred_is_out_of_range_though_no_quantile_moves() -> None:
    result = judge(WINDOW.assign(amount=WINDOW["amount"] * np.where(some(0.01), 100, 1)))
    assert fired(result.detections) == {"range"}
    assert result.verdict.decision == "fix_pipeline"


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_prices_that_rise_or_fall_as_a_whole_are_not_out_of_range(factor: float) -> None:
    result = judge(WINDOW.assign(amount=WINDOW["amount"] * factor))
    assert fired(result.detections) == {"inputs", "inputs:amount"}


def test_one_value_that_is_suddenly_on_every_twentieth_row_is_an_error_code() -> None:
    hit = some(0.05) & WINDOW["latitude"].notna().to_numpy()
    result = judge(WINDOW.assign(latitude=WINDOW["latitude"].mask(hit, 0.0), longitude=WINDOW["longitude"].mask(hit, 0.0)))
    assert fired(result.detections) == {"value_spike"}
    said = next(d for d in result.detections if d.detector == "value_spike")
    assert set(said.columns) == {"latitude", "longitude"}


def test_payments_sent_again_under_new_ids_are_told_from_more_payments() -> None:
    again = WINDOW[some(0.1)]
    again = again.assign(transaction_id=again["transaction_id"] + "_r", event_time=again["event_time"] + pd.Timedelta(seconds=40))
    storm = judge(pd.concat([WINDOW, again], ignore_index=True))
    assert [f.kind for f in storm.findings] == ["duplicates"]
    assert "volume" in fired(storm.detections)
    assert fired(judge(served(7, 780, seed=1, first_day=14)).detections) == frozenset()


def twice(window: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([window, window.assign(transaction_id=window["transaction_id"] + "_r")], ignore_index=True)


@pytest.mark.parametrize(
    ("names", "window"),
    [
        (("volume:",), WINDOW[some(0.5)]),
        (("volume:transaction_id", "volume:"), twice(WINDOW)),
        (("range:amount",), WINDOW.assign(amount=WINDOW["amount"] * np.where(some(0.01), 100, 1))),
        (("unseen_level:category",), WINDOW.assign(category=np.where(some(0.05), "new", WINDOW["category"].astype(object)))),
        (("null_rate:device_id",), WINDOW.assign(device_id=WINDOW["device_id"].mask(some(0.3)))),
        (("clock:event_time",), WINDOW.assign(hour=(WINDOW["hour"] + 6) % 24)),
    ],
    ids=lambda case: case[0] if isinstance(case, tuple) else "",
)
def test_what_calibration_calls_noise_is_noise_to_the_test_of_that_name(names: tuple[str, ...], window: pd.DataFrame) -> None:
    detector = names[0].split(":")[0]
    assert detector in fired(judge(window).detections)
    assert detector not in fired(judge(window, replace(PLAN, noise=dict.fromkeys(names, 1e6))).detections)


def test_half_the_traffic_gone_is_a_matter_of_volume_and_no_fault_of_the_rows() -> None:
    result = judge(WINDOW[some(0.5)])
    assert [f.kind for f in result.findings] == ["volume"]
    assert result.verdict.decision == "ignore" and "payments came where" in result.verdict.headline


def test_four_fifths_of_the_traffic_gone_are_a_feed_that_is_down() -> None:
    result = judge(WINDOW[some(0.2)])
    assert [f.kind for f in result.findings] == ["lost_payments"]
    assert result.verdict.decision == "fix_pipeline"


@pytest.mark.parametrize(("factor", "said"), [(100, r"(\d+) times"), (0.01, r"1/(\d+) of")])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_another_unit_on_most_rows_is_no_rise_of_prices(factor: float, said: str, share: float) -> None:
    result = judge(WINDOW.assign(amount=WINDOW["amount"] * np.where(some(share), factor, 1)))
    found = next(f for f in result.findings if f.kind == "unit")
    size = re.search(said, found.message)
    assert size is not None and int(size[1]) == pytest.approx(100, rel=0.1)
    assert found.share == pytest.approx(share, abs=0.03)
    assert result.verdict.decision == "fix_pipeline"


@pytest.mark.parametrize("factor", [0.25, 4])
def test_a_general_rise_of_prices_is_no_unit(factor: float) -> None:
    assert not [f for f in judge(WINDOW.assign(amount=WINDOW["amount"] * factor)).findings if f.kind in ("unit", "range")]


def test_a_log_of_two_days_is_not_taken_for_a_loss_of_traffic() -> None:
    young = served(2, 700, seed=1, first_day=19)
    assert not fired(judge(young).detections)


@pytest.mark.parametrize(("delay", "until", "old"), [(3.0, 14, False), (3.0, 8, True), (30.0, 99, True)])
def test_labels_that_stop_or_come_late_are_heard_before_any_has_matured(delay: float, until: int, old: bool) -> None:
    frame = served(14, 700, seed=1, first_day=14)
    came = labels(frame, delay_days=delay)
    came = came[came["report_time"] < START + timedelta(days=14 + until)]
    result = watch(frame, REFERENCE, came, now=START + 4 * WEEK, plan=PLAN)
    assert ("label_age" in fired(result.detections)) == old


def test_fewer_frauds_caught_are_heard_fraud_by_fraud() -> None:
    before, after = served(7, 1500, seed=1, first_day=14), served(14, 1500, seed=2, first_day=21, skill=0.0)
    frame = pd.concat([before, after], ignore_index=True)
    result = watch(frame, REFERENCE, labels(frame, delay_days=1.0), now=START + 5 * WEEK, plan=PLAN)
    said = next(d for d in result.detections if d.detector == "caught_frauds")
    assert said.alarmed
    assert said.first_alarm is not None
    assert said.observations is not None
    assert said.observations > 50


def test_common_marks_are_compared_by_their_variance_and_rare_ones_exactly() -> None:
    common, rare = rate_p_value(600, 1_000, 5_500, 10_000), rate_p_value(12, 1_000, 40, 10_000)
    assert common == pytest.approx(0.0024, abs=0.0003)
    assert 0.0005 < rare < 0.01
