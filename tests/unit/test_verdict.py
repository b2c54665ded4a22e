from dataclasses import replace
from datetime import date

import pytest

from pipelines.metrics import Interval
from pipelines.monitoring.column_tests import ColumnTest
from pipelines.monitoring.detectors import Detection
from pipelines.monitoring.evidence import AlertRate, Evidence, LabelFlow, RankingLoss
from pipelines.monitoring.onset import Onset
from pipelines.monitoring.performance import Performance
from pipelines.monitoring.verdict import decide
from pipelines.monitoring.window_checks import Finding

STEADY = Interval(0.0, -0.05, 0.05)
LOST = Interval(0.3, 0.2, 0.4)
WON = Interval(-0.3, -0.4, -0.2)
UNHARMED = Performance(STEADY, STEADY, STEADY, STEADY, STEADY, STEADY)
QUIET = Evidence(
    moved=(),
    findings=(),
    onset=None,
    alert_rate=AlertRate(0.010, 0.010, 1.0, False),
    label_flow=LabelFlow(100, 100, 1.0, False),
    damage=UNHARMED,
    ranking=RankingLoss(0.0, 0.5),
    knowable_on=None,
    deployed=False,
    error_budget=0.01,
)
MORE_ALERTS = AlertRate(0.030, 0.010, 1e-9, True)


def moved(column: str, role: str = "message") -> ColumnTest:
    return ColumnTest(column, role, "Kolmogorov–Smirnov distance", 0.1, 0.03, 1e-12, True, 0.2, "higher")  # type: ignore[arg-type]


AMOUNT, SCORE = moved("amount"), moved("score", "score")


def test_on_quiet_data_nothing_is_wrong() -> None:
    verdict = decide(QUIET)
    assert (verdict.decision, verdict.headline, verdict.alarm, verdict.since) == ("ignore", "Nothing is wrong.", False, None)


@pytest.mark.parametrize("kind", ["null_rate", "unit", "clock", "missing_column", "not_numeric", "infinite", "all_null", "parity"])
def test_a_broken_pipeline_is_mended_whatever_else_moved(kind: str) -> None:
    finding = Finding(kind, "amount", "Amounts are broken.", 100, 0.1, 1e-9)  # type: ignore[arg-type]
    lost = replace(UNHARMED, recall_at_false_alerts=LOST)
    evidence = replace(QUIET, findings=(finding,), moved=(AMOUNT, SCORE), damage=lost, ranking=RankingLoss(0.5, 1e-6))
    assert decide(evidence).decision == "fix_pipeline"


FEW = Finding("small_window", "", "2 payments are too few to compare; at least 500 are needed.", 2, 1.0)


@pytest.mark.parametrize("kind", ["all_null", "null_rate", "unit", "clock"])
def test_two_payments_are_too_few_to_call_a_feed_broken_or_anything_else(kind: str) -> None:
    chance = Finding(kind, "device_id", "Column device_id is null on every row.", 2, 1.0, 1e-9)  # type: ignore[arg-type]
    moved_too = replace(QUIET, findings=(FEW, chance), moved=(AMOUNT, SCORE), deployed=True, damage=None, knowable_on=date(2026, 3, 22))
    verdict = decide(moved_too)
    assert verdict.decision == "hold"
    assert "2 payments are too few" in verdict.headline
    assert verdict.next_step.startswith("Send more payments")


def test_a_missing_column_is_certain_on_two_payments() -> None:
    missing = Finding("missing_column", "amount", "Column amount is missing.")
    assert decide(replace(QUIET, findings=(FEW, missing))).decision == "fix_pipeline"


def test_missing_labels_hold_every_decision_that_needs_them() -> None:
    lost = replace(UNHARMED, recall_at_false_alerts=LOST)
    evidence = replace(QUIET, label_flow=LabelFlow(5, 100, 1e-9, True), damage=lost, ranking=RankingLoss(0.5, 1e-6))
    assert decide(evidence).decision == "hold"


def test_a_new_model_whose_scores_move_while_payments_do_not_is_rolled_back() -> None:
    assert decide(replace(QUIET, moved=(SCORE,), deployed=True)).decision == "roll_back"


def test_a_score_that_follows_the_payments_is_no_reason_to_roll_back() -> None:
    assert decide(replace(QUIET, moved=(AMOUNT, SCORE), deployed=True)).decision == "ignore"


def test_changed_payments_without_damage_are_noted_and_ignored() -> None:
    verdict = decide(replace(QUIET, moved=(AMOUNT,)))
    assert (verdict.decision, verdict.alarm) == ("ignore", True)
    assert "as well as before" in verdict.headline


def test_more_alerts_of_the_same_quality_ask_for_capacity() -> None:
    assert decide(replace(QUIET, alert_rate=MORE_ALERTS)).decision == "recalibrate"


def test_more_alerts_of_less_quality_with_the_ranking_intact_ask_for_a_threshold() -> None:
    evidence = replace(QUIET, moved=(AMOUNT, SCORE), alert_rate=MORE_ALERTS, damage=replace(UNHARMED, alert_precision=LOST))
    assert decide(evidence).decision == "recalibrate"


FEWER_FOUND = replace(UNHARMED, recall_at_false_alerts=LOST, recall_at_capacity=LOST)
RANKING_LOST = replace(QUIET, damage=FEWER_FOUND, ranking=RankingLoss(0.5, 1e-6))


@pytest.mark.parametrize(("columns", "alarmed"), [((), True), ((AMOUNT, SCORE), False)])
def test_a_model_that_lost_its_ranking_is_trained_anew_whether_payments_moved_or_not(
    columns: tuple[ColumnTest, ...], alarmed: bool
) -> None:
    verdict = decide(replace(RANKING_LOST, moved=columns, detections=(Detection("caught_frauds", alarmed),)))
    assert verdict.decision == "retrain"
    assert "-0.30" in verdict.damage


@pytest.mark.parametrize("columns", [(), (AMOUNT,)])
def test_a_loss_that_only_a_few_frauds_speak_for_waits_for_more(columns: tuple[ColumnTest, ...]) -> None:
    verdict = decide(replace(RANKING_LOST, moved=columns))
    assert (verdict.decision, verdict.rule) == ("hold", "recall in doubt")
    assert "may still be luck" in verdict.headline


@pytest.mark.parametrize("columns", [(), (AMOUNT,)])
def test_a_loss_such_as_quiet_weeks_of_few_frauds_bring_is_told_and_not_acted_upon(columns: tuple[ColumnTest, ...]) -> None:
    verdict = decide(replace(RANKING_LOST, moved=columns, ranking=RankingLoss(0.5, 5e-4)))
    assert verdict.decision == "ignore"
    assert "50% fewer" in verdict.headline


def test_a_loss_too_small_to_matter_does_not_start_a_training() -> None:
    lost = replace(UNHARMED, recall_at_false_alerts=Interval(0.02, 0.01, 0.03))
    assert decide(replace(QUIET, damage=lost, ranking=RankingLoss(0.04, 1e-6))).decision == "ignore"


def test_a_large_loss_that_may_be_luck_does_not_start_a_training_either() -> None:
    lost = replace(UNHARMED, recall_at_false_alerts=LOST)
    assert decide(replace(QUIET, damage=lost, ranking=RankingLoss(0.26, 0.02))).decision == "ignore"


def test_a_loss_that_may_be_luck_is_held_where_scores_moved_too() -> None:
    evidence = replace(QUIET, moved=(AMOUNT, SCORE), ranking=RankingLoss(0.48, 0.02))
    assert decide(evidence).decision == "hold"
    assert decide(replace(evidence, ranking=RankingLoss(0.18, 0.13))).decision == "ignore"


def test_a_gain_is_no_loss() -> None:
    gained = replace(UNHARMED, recall_at_false_alerts=WON)
    assert decide(replace(QUIET, damage=gained, ranking=RankingLoss(-0.5, 1.0))).decision == "ignore"


def test_moved_scores_wait_for_the_labels_of_their_time() -> None:
    verdict = decide(replace(QUIET, moved=(AMOUNT, SCORE), damage=None, knowable_on=date(2026, 3, 22)))
    assert verdict.decision == "hold"
    assert "2026-03-22" in verdict.next_step


def test_moved_payments_alone_do_not_wait() -> None:
    assert decide(replace(QUIET, moved=(AMOUNT,), damage=None, knowable_on=date(2026, 3, 22))).decision == "ignore"


def test_an_unseen_level_is_ignored_now_and_planned_for() -> None:
    unseen = Finding("unseen_level", "category", "Column category holds 1 level never seen before.", 100, 0.01, 1e-9)
    verdict = decide(replace(QUIET, findings=(unseen,)))
    assert (verdict.decision, verdict.alarm) == ("ignore", True)
    assert "plan a training" in verdict.headline


def test_a_verdict_says_since_when_and_how_sure_and_serialises() -> None:
    onset = Onset(date(2026, 3, 13), date(2026, 3, 13), date(2026, 3, 14), 0.8)
    facts = decide(replace(QUIET, moved=(AMOUNT,), onset=onset)).to_json()
    assert facts["since"] == "2026-03-13 (probability 0.80; 90 %: 2026-03-13 to 2026-03-14)"
    assert "1e-12" in facts["how_sure"]
    assert facts["changed"][0].startswith("amount moved higher")
