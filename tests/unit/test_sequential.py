"""Tests that survive peeking: false alarms stay within the promise however often one looks, and real faults are found.

Every simulation looks after every batch and stops at the first alarm, which is what breaks ordinary tests.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.rollout.sequential import (
    CEILING_ODDS,
    EITHER_ODDS,
    HIGHER_ODDS,
    LOWER_ODDS,
    NOTHING,
    MeanTest,
    OddsTest,
    count_needed,
    rejects,
)

RAMP = ((0.01, 4_000), (0.05, 6_000), (0.25, 10_000), (0.5, 20_000))  # share of the canary, requests


def first_alarm(random: np.random.Generator, stable: float, canary: float, alpha: float) -> int | None:
    """Canary requests exposed when the traffic-share test alarms over one ramp, looking at every failure; None when it never does."""
    test, exposed = OddsTest.against(HIGHER_ODDS), 0
    for share, requests in RAMP:
        is_canary = random.random(requests) < share
        failing = np.flatnonzero(random.random(requests) < np.where(is_canary, canary, stable))
        before = np.concatenate([[0], np.cumsum(is_canary)])
        null = 1.2 * share / (1.2 * share + 1 - share)
        for place in failing:
            test = test.add(int(is_canary[place]), int(not is_canary[place]), null)
            if rejects(test.log_e, alpha):
                return exposed + int(before[place + 1])
        exposed += int(before[-1])
    return None


@pytest.mark.parametrize("base", [0.0002, 0.002, 0.02])
def test_equal_error_rates_roll_back_within_the_budget_whatever_the_base_rate(base: float) -> None:
    random = np.random.default_rng(5)
    runs = 150 if base == 0.02 else 600
    false = sum(first_alarm(random, base, base, alpha=0.01) is not None for _ in range(runs))
    assert false <= 0.01 * runs + 3 * math.sqrt(0.01 * 0.99 * runs)


def test_a_naive_test_would_roll_back_a_third_of_good_models() -> None:
    """The reason for all this: the same ramp, a one-sided z-test at 5 % at every look."""
    random, false = np.random.default_rng(5), 0
    for _ in range(200):
        share = np.repeat([s for s, _ in RAMP], [n for _, n in RAMP])
        is_canary, failing = random.random(len(share)) < share, random.random(len(share)) < 0.002
        heads, null = np.cumsum(is_canary & failing), np.cumsum(share * failing)
        spread = np.sqrt(np.cumsum(share * (1 - share) * failing))
        looks = np.arange(99, len(share), 100)
        z = (heads - null)[looks] / np.maximum(spread[looks], 1e-9)
        false += bool((z > 1.645).any())
    assert false / 200 > 0.3


@pytest.mark.parametrize(("rate", "median", "most"), [(1.0, 2, 4), (0.3, 8, 30), (0.05, 70, 220), (0.01, 1_250, 3_300)])
def test_a_failing_canary_is_found_after_few_of_its_requests(rate: float, median: int, most: int) -> None:
    random = np.random.default_rng(61)
    exposed = [first_alarm(random, 0.002, rate, alpha=0.01) for _ in range(100)]
    found = [value for value in exposed if value is not None]
    assert len(found) == 100
    assert np.median(found) <= median
    assert np.quantile(found, 0.95) <= most


def test_a_slow_bleed_is_often_left_undecided_and_that_is_honest() -> None:
    random = np.random.default_rng(7)
    found = sum(first_alarm(random, 0.002, 0.004, alpha=0.01) is not None for _ in range(60))
    assert 6 <= found <= 54


@pytest.mark.parametrize(
    ("share", "sent", "runs", "expected"), [(0.1, 0.1, 400, 0.0), (0.5, 0.5, 400, 0.0), (0.1, 0.13, 60, 1.0), (0.5, 0.56, 60, 1.0)]
)
def test_a_sample_ratio_is_doubted_only_when_it_is_off(share: float, sent: float, runs: int, expected: float) -> None:
    random, alarms = np.random.default_rng(8), 0
    for _ in range(runs):
        test = OddsTest.against(EITHER_ODDS)
        for heads in random.binomial(100, sent, 100).tolist():
            test = test.add(heads, 100 - heads, share)
            if rejects(test.log_e, 0.001):
                alarms += 1
                break
    assert alarms / runs == pytest.approx(expected, abs=0.01)


def test_a_share_of_slow_answers_is_held_against_its_objective() -> None:
    random = np.random.default_rng(9)

    def alarms(true: float, runs: int) -> int:
        found = 0
        for _ in range(runs):
            test = OddsTest.against(HIGHER_ODDS)
            for slow in random.binomial(50, true, 160).tolist():  # 8,000 requests, a look every 50
                test = test.add(slow, 50 - slow, 0.01)
                if rejects(test.log_e, 0.01):
                    found += 1
                    break
        return found

    assert alarms(0.01, 300) <= 300 * 0.01 + 5
    assert alarms(0.03, 50) == 50


def test_too_few_heads_are_found_with_odds_below_one() -> None:
    test = OddsTest.against(LOWER_ODDS)
    assert rejects(test.add(0, 3_000, 0.005).log_e, 0.001)
    assert not rejects(test.add(15, 2_985, 0.005).log_e, 0.001)
    assert not rejects(test.add(300, 2_700, 0.005).log_e, 0.001)


def differences(random: np.random.Generator, effect: float, count: int) -> NDArray[np.float64]:
    """EUR by which two models' losses differ: rare, skewed, bounded by 200, the mean `effect` of a missed fraud's."""
    values = np.zeros(count)
    differ = random.random(count) < 0.01
    sign = np.where(random.random(count) < 0.5 + effect, 1.0, -1.0)
    values[differ] = (sign * np.minimum(random.lognormal(3.5, 1.0, count), 200))[differ]
    return values


def test_a_null_difference_in_money_is_called_worse_within_the_budget() -> None:
    random, alarms, runs = np.random.default_rng(10), 0, 300
    for _ in range(runs):
        test = MeanTest(200.0)
        for part in np.split(differences(random, 0.0, 20_000), 40):
            test = test.add(part)
            if rejects(test.log_e, 0.05):
                alarms += 1
                break
    assert alarms / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_a_clear_difference_in_money_is_found_about_when_it_was_said_to_be() -> None:
    random = np.random.default_rng(11)
    sample = differences(random, 0.3, 400_000)
    predicted = count_needed(float(sample.mean()), float(sample.var()), 200.0, 0.05)
    assert predicted is not None
    needed = []
    for _ in range(40):
        test, seen = MeanTest(200.0), 0
        while not rejects(test.log_e, 0.05):
            test, seen = test.add(differences(random, 0.3, 250)), seen + 250
        needed.append(seen)
    assert 0.3 * predicted < np.median(needed) < 1.5 * predicted


def test_how_evidence_is_cut_into_looks_does_not_change_it() -> None:
    random = np.random.default_rng(12)
    values = differences(random, 0.1, 5_000)
    whole, parts = MeanTest(200.0).add(values), MeanTest(200.0)
    for part in np.split(values, [10, 11, 3_000]):
        parts = parts.add(part)
    assert parts.log_e == pytest.approx(whole.log_e, rel=1e-9)
    one = OddsTest.against(HIGHER_ODDS)
    assert one.add(3, 40, 0.1).add(2, 5, 0.1).log_e == pytest.approx(one.add(5, 45, 0.1).log_e, rel=1e-9)


def test_no_evidence_is_an_e_value_of_one() -> None:
    assert OddsTest.against(HIGHER_ODDS).log_e == MeanTest(1.0).log_e == 0.0
    assert OddsTest.against(HIGHER_ODDS).add(0, 0, 0.5).log_e == 0.0
    assert MeanTest(1.0).add(np.zeros(0)).log_e == 0.0


def test_a_value_below_the_declared_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="bound"):
        MeanTest(10.0).add(np.array([1.0, -10.1]))


def test_the_interval_covers_the_mean_at_every_look() -> None:
    random, missed, runs = np.random.default_rng(13), 0, 200
    for _ in range(runs):
        running = NOTHING
        for part in np.split(random.exponential(2.0, 10_000), 100):
            running = running.add(part)
            low, high = running.interval(0.05, tightest_at=5_000)
            if not low <= 2.0 <= high:
                missed += 1
                break
    assert missed / runs <= 0.05


def test_before_the_first_value_the_interval_is_everything() -> None:
    assert NOTHING.interval(0.05, 100) == (-math.inf, math.inf)
    assert (NOTHING.mean, NOTHING.variance) == (0.0, 0.0)


def test_what_never_decides_has_no_count() -> None:
    assert count_needed(0.0, 1.0, 10.0, 0.05) is None
    assert count_needed(-1.0, 1.0, 10.0, 0.05) is None
    assert count_needed(0.1, 0.0, 10.0, 0.05) is not None


def test_a_rate_under_its_ceiling_by_a_tenth_is_shown_in_fifty_thousand_payments_and_one_at_it_is_not() -> None:
    start = OddsTest.against(CEILING_ODDS)
    assert rejects(start.add(905, 49_095, 0.02).log_e, 0.05)
    assert start.add(1_000, 49_000, 0.02).log_e < 0
