"""The canary comparison is about the product: its vectors give what the judge gives, its rules do what their tools document."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.costs import DecisionCosts
from data.serving_plan import ServingPlan
from pipelines.rollout.evidence import APPROVE, REVIEW
from pipelines.rollout.guardrails import begin, enter
from pipelines.rollout.judge import judge
from pipelines.rollout.money import Money
from pipelines.rollout.sequential import EITHER_ODDS, HIGHER_ODDS, MeanTest, OddsTest, rejects
from tests.bench.canary_alerts import ENDS, _alarm
from tests.bench.canary_fair import Cell, find, measure
from tests.bench.canary_goals import from_elsewhere, judge_exposure, judge_false, judge_replay
from tests.bench.canary_guards import Detection
from tests.bench.canary_money import COSTS, Null, Worth, log_mixture
from tests.bench.canary_page import Measured, render
from tests.bench.canary_ramp import LOOK, Draws, Level, draw
from tests.bench.canary_replay import COURSES, Replayed, courses, from_log
from tests.bench.canary_rules import NEVER, PLAN, RULES, checks, first_true, log_e, mann_whitney, mirrored, ours, z_test
from tests.bench.drift_goals import Goal, Rate
from tests.unit.test_judge import AT, look, served

RAMP = ((0.01, 800), (0.25, 1_200), (0.5, 800))


def rollout(
    random: np.random.Generator, canary: float, stable: float
) -> tuple[Draws, list[tuple[ServingPlan, Sequence[bool], Sequence[bool]]]]:
    """One rollout as counts, and the same as requests: the plan, and on which requests either model fails, of each look."""
    looks, counts = [], []
    for step, (share, requests) in enumerate(RAMP):
        plan = ServingPlan(step + 2, "1", "2", "canary", share, "r")
        for _ in range(requests // LOOK):
            theirs = np.array([plan.arm(f"card_{n}") == "challenger" for n in range(len(looks) * LOOK, (len(looks) + 1) * LOOK)])
            bad, poor = random.random(LOOK) < canary, random.random(LOOK) < stable
            counts.append((share, theirs.sum(), (bad & theirs).sum(), (poor & ~theirs).sum(), (bad & ~poor).sum(), (poor & ~bad).sum()))
            looks.append((plan, bad.tolist(), poor.tolist()))
    share, *rest = (np.array(column) for column in zip(*counts, strict=True))
    return Draws(share, *(column[None, :] for column in rest)), looks


@pytest.mark.parametrize(("canary", "stable"), [(0.05, 0.01), (0.02, 0.02), (0.4, 0.01)])
def test_the_vectors_give_what_the_judge_gives_look_by_look(canary: float, stable: float) -> None:
    draws, looks = rollout(np.random.default_rng(3), canary, stable)
    learned = enter(begin(ServingPlan(1, "1", "2", "shadow", 0.0, "r"), PLAN, DecisionCosts(), AT), looks[0][0], 1, AT)
    said, stopped = [], NEVER
    for place, (plan, bad, poor) in enumerate(looks):
        if plan != learned.serving:
            learned = enter(learned, plan, 2, AT)
        cards = np.array([f"card_{n}" for n in range(place * LOOK, (place + 1) * LOOK)], dtype=object)
        arm = np.array([plan.arm(card) == "challenger" for card in cards])
        rows = served(
            LOOK, plan, card_id=cards, by_challenger=arm & ~np.array(bad),
            challenger_score=np.where(bad, np.nan, 0.004), champion_score=np.where(poor, np.nan, 0.004),
        )  # fmt: skip
        learned, judgement = judge(learned, look(rows), PLAN)
        said.append(judgement.e_values["errors"])
        if judgement.verdict == "roll_back" and stopped == NEVER:
            stopped = place
    assert mirrored(draws)[0] / math.log(10) == pytest.approx(said, abs=6e-4)
    assert ours(draws)[0] == stopped


def test_the_vector_of_any_test_is_that_test() -> None:
    random = np.random.default_rng(4)
    heads, tails, null = random.integers(0, 5, (3, 40)), random.integers(0, 30, (3, 40)), random.uniform(0.05, 0.6, 40)
    for odds in (HIGHER_ODDS, EITHER_ODDS):
        values = log_e(heads, tails, null, odds)
        for run in range(3):
            test = OddsTest.against(odds)
            for k in range(40):
                test = test.add(int(heads[run, k]), int(tails[run, k]), float(null[k]))
                assert values[run, k] == pytest.approx(test.log_e, rel=1e-9, abs=1e-9)


def test_the_mixture_of_money_is_the_judges() -> None:
    random = np.random.default_rng(5)
    fraud = random.random(400) < 0.1
    rows = served(
        400,
        champion_decision=np.where(fraud, REVIEW, APPROVE),
        challenger_decision=np.where(fraud & (random.random(400) < 0.2), REVIEW, APPROVE),
    )
    money = Money.start(PLAN, COSTS).add(rows, fraud, PLAN, COSTS)
    totals = [np.array([money.dearer.log_wealth]), np.array([money.missing.log_wealth])]
    assert log_mixture(totals)[0] == pytest.approx(money.worse)


def even(canary_failed: int, stable_failed: int, minutes: int = 40) -> Draws:
    """Half of the requests each, with so many failures a look."""
    shape = (1, minutes * 10)
    counts = [np.full(shape, count) for count in (50, canary_failed, stable_failed, canary_failed, stable_failed)]
    return Draws(np.full(shape[1], 0.5), *counts)


def test_checks_stop_at_the_end_of_the_minute_that_is_one_too_many() -> None:
    assert checks(0.95, 4)(even(3, 0))[0] == 39  # 94 % in each of four minutes
    assert checks(0.95, 4)(even(2, 0))[0] == NEVER
    assert checks(0.99, 10)(even(1, 0))[0] == 99
    assert checks(0.99, 10)(even(0, 50))[0] == NEVER


def test_the_rank_test_and_the_z_test_find_a_shift_and_no_shift() -> None:
    assert mann_whitney()(even(3, 1))[0] == 99
    assert mann_whitney()(even(1, 1))[0] == NEVER
    assert z_test(1.645)(even(3, 1))[0] < 10
    assert z_test(1.645)(even(1, 1))[0] == NEVER


def test_a_draw_counts_each_request_once() -> None:
    draws = draw(Level(0.02, 0.3), 50, np.random.default_rng(6))
    assert (draws.canary_failed <= draws.canary).all()
    assert draws.canary_alone.mean() == pytest.approx(LOOK * 0.3 * 0.98, rel=0.02)
    assert draws.stable_alone.mean() == pytest.approx(LOOK * 0.02 * 0.7, rel=0.05)
    assert first_true(np.array([[False, True, True], [False] * 3])).tolist() == [1, NEVER]


# --- goals


def cells(median: float) -> list[Cell]:
    return [
        Cell(Level(0.002, canary), rule, Rate(100, 100), (median,) * 100)
        for canary in (1.0, 0.3, 0.05, 0.01)
        for rule in ("ours", "ours, split only")
    ]


def test_exposure_is_reached_at_every_level_or_not_at_all() -> None:
    assert judge_exposure(cells(2)).reached is True
    assert judge_exposure(cells(3)).reached is False
    assert find(cells(2), Level(0.002, 0.3)).told() == "2 (2)"


def test_false_rollbacks_of_few_rollouts_can_miss_the_goal_but_not_reach_it() -> None:
    assert judge_false({0.002: Rate(3, 5_000), 0.02: Rate(2, 5_000)}).reached is True
    assert judge_false({0.002: Rate(0, 500)}).reached is None
    assert judge_false({0.002: Rate(0, 5_000), 0.02: Rate(100, 5_000)}).reached is False


def test_one_judgement_that_differs_is_a_missed_goal() -> None:
    assert [goal.reached for goal in judge_replay(Replayed(2, 40, 39), Replayed(2, 40, 40))] == [False, True]


def test_goals_of_other_benches_are_read_where_they_were_written(tmp_path: Path) -> None:
    assert {goal.verdict for goal in from_elsewhere(tmp_path)} == {"not measured"}
    (tmp_path / "rollout.json").write_text('{"goals": [{"name": "H9", "what": "w", "target": "t", "measured": "m", "reached": true}]}')
    assert Goal("H9", "w", "t", "m", True) in from_elsewhere(tmp_path)


def test_another_process_with_the_log_alone_decides_the_same() -> None:
    again = from_log(1)
    assert again.judgements == again.same > 5


def test_a_rule_that_stops_little_shows_its_share_and_no_median() -> None:
    assert replace(cells(2)[0], stopped=Rate(30, 100)).told() == "30.0%"


def test_the_page_shows_every_rule_goal_and_rollout_and_fetches_nothing() -> None:
    guard = Detection("latency", "2 % <slow>", 0.001, Rate(2, 4), 7.0, 9.0)
    worth = Worth(
        "skewed", (3.0, 1.0, 5.0), 0.4, (Rate(3, 4), 9_000.0), (Rate(0, 4), math.nan), (Rate(1, 4), 8_000.0), (Rate(0, 4), math.nan)
    )
    goals = [Goal("H1", "what <this> is", "≤ 1", "2", False), Goal("H5", "that", "≥ 1", "–", None)]
    page = render(
        Measured("ci", goals, measure(30, 1), {0.002: Rate(0, 9)}, [guard], [guard], [worth], Null(Rate(1, 9), Rate(0, 9)), courses())
    )
    for part in (
        *(rule.name for rule in RULES),
        *COURSES,
        "what &lt;this&gt; is",
        "2 % &lt;slow&gt;",
        "MISSED",
        "not measured",
        "promoted",
        "skewed",
    ):
        assert part in page, part
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


@pytest.mark.parametrize(("excess", "called"), [(0.5, False), (1.25, False), (2.0, True)])
def test_a_replay_of_alerts_says_what_the_product_s_test_says_at_its_looks(excess: float, called: bool) -> None:
    random = np.random.default_rng(4)
    rows = int(ENDS[-1])
    values = (random.random(rows) < 0.01 * excess) - PLAN.alert_ratio * (random.random(rows) < 0.01)
    test, ever = MeanTest(PLAN.alert_ratio), False
    for look_values in np.split(values, ENDS[:-1]):
        test = test.add(look_values)
        ever |= rejects(test.log_e, PLAN.budgets.alerts / 2)
    place = np.flatnonzero(values)
    assert _alarm(MeanTest(PLAN.alert_ratio), place, values[place]) == ever == called
