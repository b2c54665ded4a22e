"""Every row of the decision table: the evidence that reaches it, and the evidence next to it that must not."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from data.scenarios import Action
from pipelines.metrics import Interval
from pipelines.monitoring.column_tests import ColumnTest
from pipelines.monitoring.decision_table import ROWS, find_row
from pipelines.monitoring.detectors import Detection, Detector
from pipelines.monitoring.estimate import Estimate
from pipelines.monitoring.evidence import AlertRate, Deployment, Evidence, LabelFlow, RankingLoss
from pipelines.monitoring.performance import Performance
from pipelines.monitoring.verdict import decide
from pipelines.monitoring.window_checks import FAULTS, Finding, FindingKind

STEADY, LOST = Interval(0.0, -0.05, 0.05), Interval(0.3, 0.2, 0.4)
UNHARMED = Performance(STEADY, STEADY, STEADY, STEADY, STEADY, STEADY)
QUIET = Evidence(
    moved=(),
    findings=(),
    onset=None,
    alert_rate=AlertRate(0.010, 0.010, 1.0, False),
    label_flow=LabelFlow(100, 100, 1.0, False, 50, 50, 50, 50),
    damage=UNHARMED,
    ranking=RankingLoss(0.0, 0.5),
    knowable_on=date(2026, 3, 22),
    deployed=False,
    error_budget=0.001,
)
MORE, FEWER = AlertRate(0.030, 0.010, 1e-9, True), AlertRate(0.004, 0.010, 1e-9, True)
UNIT = Finding("unit", "amount", "Amounts are a hundred times too large.", 100, 0.1, 1e-9)
UNSEEN = Finding("unseen_level", "category", "A level never seen.", 100, 0.01, 1e-9)
TRAFFIC = Finding("volume", "", "1,500 payments came where 1,000 were expected.", 1_500, 0.5, 1e-9)
FEW = Finding("small_window", "", "2 payments are too few.", 2, 1.0)
BLOCKED = LabelFlow(52, 100, 0.2, False, 2, 50, 50, 50, 1e-9, one_sided=True)
DEPLOYMENT = Deployment(datetime(2026, 3, 10, tzinfo=UTC), "version 3 promoted")


def moved(column: str, role: str) -> ColumnTest:
    return ColumnTest(column, role, "Kolmogorov–Smirnov distance", 0.1, 0.03, 1e-12, True, 0.2, "higher")  # type: ignore[arg-type]


def alarm(name: Detector) -> Detection:
    return Detection(name, True)


AMOUNT, SCORE = moved("amount", "message"), moved("score", "score")
VALID = Estimate(Interval(0.2, 0.1, 0.3), Interval(0.5, 0.3, 0.7), 2.0, 0.2, 0.2, 0.5, ())

CASES: dict[str, Evidence] = {
    "broken pipeline": replace(QUIET, findings=(UNIT,), moved=(AMOUNT, SCORE), ranking=RankingLoss(0.5, 1e-9)),
    "too few payments": replace(QUIET, findings=(FEW, UNIT), deployed=True, moved=(SCORE,)),
    "wrong model": replace(QUIET, moved=(SCORE,), deployments=(DEPLOYMENT,), label_flow=LabelFlow(5, 100, 1e-9, True)),
    "labels fail": replace(QUIET, label_flow=BLOCKED, ranking=RankingLoss(0.9, 1e-12)),
    "ranking lost": replace(QUIET, ranking=RankingLoss(0.5, 1e-9), alert_rate=MORE),
    "threshold too low": replace(QUIET, alert_rate=MORE, damage=replace(UNHARMED, alert_precision=LOST)),
    "more fraud": replace(QUIET, alert_rate=MORE),
    "threshold too high": replace(QUIET, alert_rate=FEWER, damage=replace(UNHARMED, alert_recall=LOST)),
    "recall in doubt": replace(QUIET, detections=(alarm("caught_frauds"),), damage=None, ranking=None),
    "labels not matured": replace(QUIET, moved=(AMOUNT, SCORE), damage=None, ranking=None),
    "unseen level": replace(QUIET, findings=(UNSEEN,), moved=(AMOUNT,)),
    "harmless drift": replace(QUIET, moved=(AMOUNT,)),
    "other alerts, no damage": replace(QUIET, alert_rate=FEWER),
    "other traffic": replace(QUIET, findings=(TRAFFIC,)),
    "nothing": QUIET,
}


def test_every_row_can_be_reached() -> None:
    assert {name: find_row(evidence).name for name, evidence in CASES.items()} == {row.name: row.name for row in ROWS}


@pytest.mark.parametrize("name", CASES)
def test_a_verdict_names_its_row_and_the_decision_that_would_be_wrong(name: str) -> None:
    verdict = decide(CASES[name])
    row = find_row(CASES[name])
    assert (verdict.rule, verdict.decision) == (name, row.action)
    assert row.false_decision != row.action
    assert verdict.false_decision == f"not {row.false_decision.replace('_', ' ')}: {row.cost}"


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_whatever_the_pipeline_broke_comes_before_what_the_labels_say(kind: FindingKind) -> None:
    finding = Finding(kind, "card_count_1d", "It broke.", 10, 0.1, 1e-9)
    assert find_row(replace(CASES["ranking lost"], findings=(finding,))).name == "broken pipeline"


@pytest.mark.parametrize("detector", ["label_flow", "label_age"])
def test_labels_that_a_detector_misses_are_not_trained_on(detector: Detector) -> None:
    assert find_row(replace(CASES["ranking lost"], detections=(alarm(detector),))).action == "hold"


def test_a_deployment_without_a_moved_score_is_no_reason_to_roll_back() -> None:
    assert find_row(replace(QUIET, deployments=(DEPLOYMENT,), deployed=True)).name == "nothing"


def test_a_deployment_before_payments_moved_is_no_reason_either() -> None:
    assert find_row(replace(CASES["harmless drift"], deployments=(DEPLOYMENT,))).action == "ignore"


def test_a_moved_score_without_a_deployment_waits_for_labels() -> None:
    assert find_row(replace(QUIET, moved=(SCORE,), damage=None, ranking=None)).name == "labels not matured"


def test_the_verdict_on_a_wrong_model_says_which_deployment_it_was() -> None:
    assert "version 3 promoted on 2026-03-10" in decide(CASES["wrong model"]).headline


@pytest.mark.parametrize(
    ("caught", "missed", "action"), [(0, 50, "hold"), (2, 60, "hold"), (8, 90, "retrain"), (5, 110, "retrain"), (30, 70, "retrain")]
)
def test_unreported_alerts_are_told_from_a_model_gone_blind_by_the_frauds_it_misses(caught: float, missed: float, action: Action) -> None:
    flow = LabelFlow(caught + missed, 100, 0.5, False, caught, 50, missed, 50)
    assert find_row(replace(CASES["ranking lost"], label_flow=flow)).action == action


@pytest.mark.parametrize("name", sorted(set(CASES) - {"nothing"}))
def test_only_where_nothing_was_found_is_nothing_said_to_be_wrong(name: str) -> None:
    assert "Nothing is wrong" not in decide(CASES[name]).headline


def test_labels_missing_on_the_alerted_side_alone_ask_for_a_random_hold_out() -> None:
    verdict = decide(CASES["labels fail"])
    assert "2 where 50 were expected" in verdict.headline
    assert "LAB_RANDOM_APPROVE_SHARE" in verdict.next_step


@pytest.mark.parametrize(
    ("estimate", "decision"), [(VALID, "ignore"), (replace(VALID, reasons=("labels contradict it",)), "hold"), (None, "hold")]
)
def test_an_estimate_that_holds_and_is_unchanged_spares_the_wait_for_labels(estimate: Estimate | None, decision: Action) -> None:
    assert find_row(replace(CASES["labels not matured"], estimate=estimate)).action == decision


def test_fewer_alerts_while_the_ranking_is_in_doubt_are_no_matter_of_the_threshold() -> None:
    assert find_row(replace(CASES["threshold too high"], ranking=RankingLoss(0.4, 0.02), moved=(SCORE,))).action == "hold"


@pytest.mark.parametrize("case", ["threshold too low", "more fraud"])
@pytest.mark.parametrize(("p_value", "action"), [(0.002, "hold"), (0.02, "recalibrate")])
def test_a_ranking_that_is_shaken_is_not_called_intact(case: str, p_value: float, action: Action) -> None:
    assert find_row(replace(CASES[case], ranking=RankingLoss(0.4, p_value))).action == action


def test_more_alerts_wait_for_labels_whatever_the_estimate_says() -> None:
    assert find_row(replace(CASES["labels not matured"], alert_rate=MORE, estimate=VALID)).action == "hold"


def test_payments_that_became_a_little_riskier_by_the_stream_alone_are_more_alerts() -> None:
    slow = AlertRate(0.012, 0.010, 0.1, False)
    assert find_row(replace(QUIET, alert_rate=slow, detections=(alarm("alert_rate_stream"),))).name == "more fraud"
