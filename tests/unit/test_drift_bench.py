"""The report card of drift monitoring: what it adds up, what it calls reached, and a page that fetches nothing."""

import math
from dataclasses import replace

import pytest

from tests.bench.drift_card import Card, judge_card
from tests.bench.drift_goals import Goal, Rate, quantiles
from tests.bench.drift_page import Measured, render
from tests.bench.drift_power import CURVES, SIZES, TARGETS, Point, judge_power
from tests.bench.drift_quiet import Quiet, judge_quiet
from tests.bench.drift_streams import STREAMS, Delays, judge_streams
from tests.outcomes import ALARM, monitor, outcome


def named(goals: list[Goal], name: str) -> Goal:
    return next(goal for goal in goals if goal.name == name)


def test_a_rate_has_the_exact_interval_and_knows_that_nothing_of_few_proves_little() -> None:
    assert Rate(0, 10).high == pytest.approx(0.3085, abs=1e-4)
    assert Rate(5, 10).low == pytest.approx(0.1871, abs=1e-4)
    assert (Rate(0, 10).low, Rate(10, 10).high) == (0.0, 1.0)
    assert Rate(1, 4) + Rate(2, 6) == Rate(3, 10)
    assert math.isnan(quantiles([])[0])
    assert quantiles([1, 2, 3, 10]) == (2.5, 10)


def test_a_detector_that_must_be_silent_and_is_not_costs_g11_and_a_wrong_action_g12() -> None:
    loud = replace(outcome("retrain"), monitors=(replace(monitor("score", ALARM), role="must stay silent"),))
    goals = judge_card(Card((loud,) * 3))
    assert named(goals, "G11").reached is False
    assert "score in 100.0% of 3" in named(goals, "G11").measured
    quiet = [
        replace(outcome("ignore"), scenario=name, expected=replace(loud.expected, decisions=("ignore",)))
        for name in ("none", "channel_push")
    ]
    assert named(judge_card(Card((outcome(), *quiet))), "G12").reached is True
    assert named(judge_card(Card((loud, *quiet))), "G12").reached is False


def test_quiet_windows_before_the_onset_count_once_for_a_seed_however_many_scenarios_share_them() -> None:
    false = replace(monitor("score"), false_alarms=1)
    one = replace(outcome(), monitors=(false,))
    assert Card((one, replace(one, scenario="currency"), replace(one, seed=8))).false_alarms("score") == Rate(2, 2)


def test_few_quiet_windows_can_miss_a_goal_but_not_reach_it() -> None:
    quiet, loud = Quiet(40, 800_000, 0, 0), Quiet(40, 800_000, 2, 2, (("inputs", 2),))
    goals = judge_quiet({(1_000, 500): quiet}, quiet, Quiet(8, 200_000))
    assert [goal.reached for goal in goals] == [None, True, None]
    assert [goal.reached for goal in judge_quiet({(1_000, 500): loud}, loud, quiet)] == [False, False, False]
    assert (quiet + loud).of("inputs") == Rate(2, 80)


def test_power_is_reached_only_when_every_target_is() -> None:
    points = [Point(name, strength, rows, Rate(40, 40)) for name, some in CURVES.items() for strength in some for rows in SIZES]
    assert {(p.scenario, p.strength, p.rows) for p in points} >= {(name, strength, rows) for _, rows, name, strength, _ in TARGETS}
    assert [goal.reached for goal in judge_power(points)] == [True, True]
    blind = [replace(p, seen=Rate(30, 40)) if (p.scenario, p.rows) == ("unit_change", 10_000) else p for p in points]
    assert [goal.reached for goal in judge_power(blind)] == [True, False]


def test_a_stream_that_never_alarms_counts_as_late_and_not_as_missing() -> None:
    fast = [Delays(stream, (10.0, 20.0, 30.0)) for stream in STREAMS]
    assert [goal.reached for goal in judge_streams(fast)] == [True, True]
    deaf = [replace(d, delays=(math.inf,) * 3) if d.stream.name == "alert rate" else d for d in fast]
    assert [goal.reached for goal in judge_streams(deaf)] == [True, False]


def test_the_page_shows_every_goal_and_scenario_and_fetches_nothing() -> None:
    points = [Point(name, strength, rows, Rate(3, 4)) for name, some in CURVES.items() for strength in some for rows in SIZES]
    goals = [Goal("G1", "what <this> is", "≤ 1", "2", False), Goal("G2", "that", "≥ 1", "–", None)]
    card = Card((outcome(), outcome("retrain")))
    quiet, streams = Quiet(8, 1_000), [Delays(STREAMS[0], (1.0,))]
    page = render(Measured("quick", card, goals, {(1_000, 500): quiet}, quiet, quiet, points, streams))
    for part in ("what &lt;this&gt; is", "MISSED", "not measured", "D3 unit change", "Power", "Crying wolf", "prefers-color-scheme: dark"):
        assert part in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
