"""The noise floor of quiet weeks: measured by days, saved for one champion, believed by the monitor."""

from pathlib import Path

import numpy as np
import pytest

from data.errors import EmptyWindow
from pipelines.monitoring.noise_floor import Calibration, Share, calibrate, noise_for
from pipelines.monitoring.reference import WatchPlan
from pipelines.monitoring.report import calibrated_alarm, thresholds_of
from tests.payments import labels, served

QUIET = served(28, 300)
PLAN = WatchPlan()
OTHERS = {
    "Evidently default": lambda now, before, tests: True,
    "Evidently calibrated": lambda now, before, tests: calibrated_alarm(now, before, thresholds_of(tests)),
}


@pytest.fixture(scope="module")
def found() -> Calibration:
    busy = QUIET["event_time"].dt.day % 2 == 0  # every other day people pay more: noise that payments share
    frame = QUIET.assign(amount=QUIET["amount"] * np.where(busy, 1.3, 1.0))
    return calibrate(frame, labels(QUIET), PLAN, version="7", windows=16, seed=1, evidently=OTHERS, evidently_windows=4)


def test_what_payments_of_a_day_share_is_noise_and_what_they_do_not_is_none(found: Calibration) -> None:
    assert found.noise["inputs:amount"] > 5
    assert found.noise["inputs:channel"] < 2.5


def test_every_monitor_is_judged_on_the_same_quiet_windows_and_reference_drifts(found: Calibration) -> None:
    assert tuple(found.quiet) == (*OTHERS, "portfolio")
    assert found.quiet["Evidently default"] == Share(4, 4)
    assert found.quiet["portfolio"].alarms == 0
    assert found.power["1 % of amounts × 100"]["portfolio"] == Share(4, 4)
    assert found.power["1 % of amounts × 100"]["Evidently calibrated"].alarms < 4


def test_it_is_believed_for_the_champion_it_was_measured_for_and_no_other(found: Calibration, tmp_path: Path) -> None:
    assert noise_for(tmp_path, "7") == {}
    found.save(tmp_path)
    assert noise_for(tmp_path, "7") == found.noise
    assert noise_for(tmp_path, "8") == {}


def test_fewer_than_four_weeks_tell_too_little() -> None:
    short = served(20, 100)
    with pytest.raises(EmptyWindow, match="20 quiet days before the first payment served are too few"):
        calibrate(short, labels(short), PLAN, version="1", windows=16, seed=1, evidently={}, evidently_windows=1)


def test_an_interval_covers_what_was_seen() -> None:
    assert Share(0, 100).interval == pytest.approx((0.0, 0.0362), abs=1e-4)
    low, high = Share(5, 100).interval
    assert low < 0.05 < high


@pytest.mark.parametrize(
    ("share", "broken"), [(Share(1, 20), True), (Share(1, 400), False), (Share(3, 400), True), (Share(0, 20), False), (Share(0, 0), False)]
)
def test_a_budget_is_broken_once_chance_no_longer_explains_the_alarms_however_few_the_windows(share: Share, broken: bool) -> None:
    assert share.breaks(0.001) is broken
