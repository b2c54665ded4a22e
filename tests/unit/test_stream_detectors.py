"""Sequential detectors: one state however a stream is cut, and no more false alarms than promised."""

import numpy as np
import pytest

from pipelines.monitoring.profile import DAY_MS
from pipelines.monitoring.stream_detectors import FEWER_CAUGHT, MORE_ALERTS, EDetector
from pipelines.monitoring.streams import Observations, StreamRate


def coins(n: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(n) < share


@pytest.mark.parametrize("cut", [1, 7, 256, 1000])
def test_a_stream_fed_in_pieces_leaves_the_same_state_to_the_last_bit(cut: int) -> None:
    heads, null = coins(2_000, 0.02, 1), np.random.default_rng(2).uniform(0.005, 0.03, 2_000)
    whole, alarms = EDetector(MORE_ALERTS, 500.0, 1.3).feed(heads, null)
    pieces, found = EDetector(MORE_ALERTS, 500.0, 1.3), []
    for start in range(0, 2_000, cut):
        pieces, part = pieces.feed(heads[start : start + cut], null[start : start + cut])
        found.append(part)
    assert pieces == whole
    assert (np.concatenate(found) == alarms).all()


def test_the_statistic_is_the_shiryaev_roberts_recursion() -> None:
    heads, null = coins(600, 0.3, 3), np.full(600, 0.25)
    sums = np.zeros(len(MORE_ALERTS))
    for head in heads:
        ratio = np.array(MORE_ALERTS)
        sums = (sums + 1) * np.where(head, ratio, 1.0) / (1 + 0.25 * (ratio - 1))
    detector, _ = EDetector(MORE_ALERTS, 1e12).feed(heads, null)
    assert detector.statistic == pytest.approx(sums.mean())


def test_the_mean_run_length_to_a_false_alarm_is_at_least_the_promised_one() -> None:
    promised, runs, length = 200.0, 60, 4_000
    first = []
    for seed in range(runs):
        _, alarms = EDetector(MORE_ALERTS, promised).feed(coins(length, 0.1, seed), np.full(length, 0.1))
        first.append(int(alarms.argmax()) + 1 if alarms.any() else length)
    assert np.mean(first) > promised


def test_recall_that_collapses_is_heard_within_fifty_labelled_frauds() -> None:
    delays = []
    for seed in range(40):
        quiet, after = coins(200, 0.23, seed), coins(200, 0.038, 1_000 + seed)
        _, alarms = EDetector(FEWER_CAUGHT, 5_000.0).feed(np.concatenate([quiet, after]), np.full(400, 0.23))
        delays.append(int(alarms[200:].argmax()) + 1)
    assert np.median(delays) <= 50


def test_a_change_that_is_over_is_forgotten_soon() -> None:
    detector, alarms = EDetector(MORE_ALERTS, 1_000.0).feed(coins(20_000, 0.2, 4), np.full(20_000, 0.02))
    assert alarms[-1]
    detector, alarms = detector.feed(coins(2_000, 0.01, 5), np.full(2_000, 0.02))
    assert not alarms[-500:].any()


def coin_days(n: int, share: float, seed: int) -> Observations:
    """A thousand coins a day."""
    return Observations(np.arange(n) * (DAY_MS // 1000), coins(n, share, seed))


def test_what_is_usual_of_a_stream_is_told_by_nothing_that_comes_later() -> None:
    rate, stream = StreamRate.of(coin_days(14_000, 0.02, 6), hourly=True), coin_days(9_000, 0.03, 7)
    cut = Observations(stream.time[:4_500], stream.heads[:4_500])
    np.testing.assert_array_equal(rate.usual(stream, wander=0.1)[:4_500], rate.usual(cut, wander=0.1))


def test_live_days_teach_what_is_usual_where_the_reference_does_not_know_and_are_forgotten() -> None:
    rate = StreamRate.of(coin_days(2_000, 0.02, 8), hourly=False)
    quiet, raised = coin_days(60_000, 0.02, 9), coin_days(60_000, 0.03, 10)
    after = Observations(np.concatenate([raised.time, quiet.time + 60 * DAY_MS]), np.concatenate([raised.heads, quiet.heads]))
    usual = rate.usual(after, wander=0.1)
    assert usual[59_999] == pytest.approx(0.03, rel=0.15)
    assert usual[-1] == pytest.approx(0.02, rel=0.15)


def test_a_reference_of_two_weeks_gives_no_more_false_alarms_than_promised() -> None:
    promised, runs, length = 1_000.0, 40, 8_000
    first = []
    for seed in range(runs):
        rate = StreamRate.of(coin_days(14_000, 0.05, 100 + seed), hourly=False)
        live = coin_days(length, 0.05, 200 + seed)
        _, alarms = EDetector(MORE_ALERTS, promised).feed(live.heads, rate.usual(live, wander=0.1))
        first.append(int(alarms.argmax()) + 1 if alarms.any() else length)
    assert np.mean(first) > promised
