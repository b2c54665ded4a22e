from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from data.errors import EmptyWindow
from pipelines.metrics import average_precision, money_saved_per_thousand, recall_at_capacity
from pipelines.monitoring.column_tests import rate_p_value
from pipelines.monitoring.detectors import DETECTORS, fired
from pipelines.monitoring.monitor import WindowResult, watch
from pipelines.monitoring.onset import estimate_onset
from pipelines.monitoring.performance import matured_rows, measure
from pipelines.monitoring.profile import Days, day_numbers, design_effect, hour_of_week, population_stability, season_of
from pipelines.monitoring.reference import WatchPlan, freeze_reference
from pipelines.monitoring.timeline import timeline
from tests.payments import START, labels, served

PLAN = WatchPlan()
REFERENCE = served(14, 700)


def judge(window: object, *, day: int = 21) -> WindowResult:
    reference = freeze_reference(REFERENCE, labels(REFERENCE), PLAN)
    return watch(window, reference, labels(window), now=START + timedelta(days=day), plan=PLAN)  # type: ignore[arg-type]


def test_quiet_windows_raise_no_more_alarms_than_the_budget() -> None:
    reference = freeze_reference(REFERENCE, labels(REFERENCE), PLAN)
    alarms = 0
    for seed in range(1, 41):
        frame = served(7, 700, seed=seed, first_day=14)
        result = watch(frame, reference, labels(frame), now=START + timedelta(days=21), plan=PLAN)
        alarms += result.verdict.alarm
    # At 1 in 1,000 per window, 2 or more false alarms in 40 windows have a chance of 0.1 %.
    assert alarms <= 1


@pytest.mark.parametrize(("column", "factor"), [("amount", 1.3), ("card_count_1d", 2.0), ("score", 1.5)])
def test_a_column_that_moves_is_named(column: str, factor: float) -> None:
    window = served(7, 700, seed=1, first_day=14)
    result = judge(window.assign(**{column: window[column] * factor}))
    assert [t.column for t in result.tests if t.drifted] == [column]
    assert result.tests[[t.column for t in result.tests].index(column)].direction == "higher"


def test_the_onset_is_the_day_of_the_change() -> None:
    window = served(14, 700, seed=1, first_day=14)
    late = (window["event_time"] >= START + timedelta(days=24)).to_numpy()
    result = judge(window.assign(amount=window["amount"] * np.where(late, 1.5, 1.0)), day=28)
    assert result.onset is not None
    assert result.onset.day == (START + timedelta(days=24)).date()
    assert result.onset.probability > 0.9


def test_an_onset_is_unsure_where_days_are_few_and_the_change_is_small() -> None:
    reference = Days(np.arange(14), np.tile([500.0, 500.0, 0.0], (14, 1)))
    seen = Days(np.arange(14, 28), np.vstack([np.tile([500.0, 500.0, 0.0], (7, 1)), np.tile([480.0, 520.0, 0.0], (7, 1))]))
    found = estimate_onset(seen, reference, seen.counts[7:].sum(axis=0), effect=1.0)
    assert found is not None
    assert found.low <= (START.date().fromordinal(719163 + 21)) <= found.high
    assert (found.high - found.low).days >= 2


def test_a_wrong_clock_is_a_fault_and_later_shopping_is_not() -> None:
    window = served(7, 700, seed=1, first_day=14)
    turned = judge(window.assign(hour=(window["hour"] + 3) % 24))
    assert [f.kind for f in turned.findings] == ["clock"]
    late = window["hour"].where(np.random.default_rng(0).random(len(window)) > 0.4, 20.5)
    bent = judge(window.assign(hour=late))
    assert "hour" in [t.column for t in bent.tests if t.drifted]
    assert not bent.findings


def test_nulls_are_judged_given_the_channel() -> None:
    window = served(7, 700, seed=1, first_day=14)
    pushed = window[(window["channel"] == "online") | (np.arange(len(window)) % 4 > 0)]  # more online, hence more nulls
    assert not judge(pushed).findings
    lost = window.assign(latitude=window["latitude"].where(np.arange(len(window)) % 10 > 0))
    assert [(f.kind, f.column) for f in judge(lost).findings] == [("null_rate", "latitude")]


def test_few_nulls_are_seen_where_a_channel_never_has_any_though_another_always_has_them() -> None:
    window = served(3, 700, seed=1, first_day=14)
    lost = window.assign(latitude=window["latitude"].where(np.arange(len(window)) % 50 > 0))
    assert [(f.kind, f.column) for f in judge(lost).findings if f.is_fault] == [("null_rate", "latitude")]
    assert not [f for f in judge(window).findings if f.is_fault]


def test_a_burst_of_nulls_that_is_over_is_dated_to_its_first_day() -> None:
    window = served(7, 700, seed=1, first_day=14)
    burst = window["event_time"].between(START + timedelta(days=15), START + timedelta(days=18)).to_numpy() & (
        np.arange(len(window)) % 3 == 0
    )
    result = judge(window.assign(latitude=window["latitude"].mask(burst)))
    assert result.onset is not None
    assert result.onset.day == (START + timedelta(days=15)).date()


def test_cents_for_euros_at_a_few_terminals_are_a_unit_fault_and_a_price_rise_is_not() -> None:
    window = served(7, 700, seed=1, first_day=14)
    hit = window["terminal_id"].isin(["term_001", "term_002", "term_003"]).to_numpy()
    result = judge(window.assign(amount=window["amount"] * np.where(hit, 100, 1)))
    assert [f.kind for f in result.findings] == ["unit"]
    assert not judge(window.assign(amount=window["amount"] * 1.5)).findings


def test_one_terminal_of_hundreds_that_bills_in_cents_is_a_unit_fault() -> None:
    window = served(7, 700, seed=1, first_day=14)
    there = (window["terminal_id"] == "term_004").to_numpy()
    result = judge(window.assign(amount=window["amount"] * np.where(there, 100, 1)))
    assert [f.kind for f in result.findings] == ["unit"]
    assert "term_004" in result.findings[0].message


@pytest.mark.parametrize("rows", [700, 3000])
def test_thieves_who_try_out_cards_at_a_dear_terminal_are_no_unit_fault(rows: int) -> None:
    def dear(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(amount=frame["amount"] * np.where(frame["terminal_id"] == "term_004", 100, 1))

    window = served(7, rows, seed=1, first_day=14)
    tried_out = window[window["terminal_id"] == "term_004"]
    tried_out = tried_out.assign(transaction_id=tried_out["transaction_id"] + "_t", amount=tried_out["amount"] / 2)
    sent = pd.concat([dear(window), tried_out], ignore_index=True).sort_values("event_time")
    reference = freeze_reference(dear(REFERENCE), labels(REFERENCE), PLAN)
    result = watch(sent, reference, labels(sent), now=START + timedelta(days=21), plan=PLAN)
    assert not [f for f in result.findings if f.column == "amount"]


def test_a_level_never_seen_is_found() -> None:
    window = served(7, 700, seed=1, first_day=14)
    new = window["category"].astype(object).where(np.arange(len(window)) % 100 > 0, "crypto_exchange")
    result = judge(window.assign(category=new.astype("category")))
    assert [(f.kind, f.column) for f in result.findings] == [("unseen_level", "category")]
    assert result.verdict.decision == "ignore"


def test_labels_that_stop_hold_the_decision() -> None:
    reference = freeze_reference(REFERENCE, labels(REFERENCE), PLAN)
    frame = served(21, 700, seed=1, first_day=14)
    result = watch(frame, reference, labels(frame).iloc[:5], now=START + timedelta(days=35), plan=PLAN)
    assert result.label_flow is not None
    assert result.label_flow.broken
    assert result.verdict.decision == "hold"


def test_frauds_that_were_declined_are_not_taken_for_missing_labels() -> None:
    reference = freeze_reference(REFERENCE, labels(REFERENCE), PLAN)
    frame = served(21, 700, seed=1, first_day=14)
    caught = frame.assign(score=frame["score"].mask(frame["fraud"], 0.9), decision=frame["decision"].mask(frame["fraud"], "decline"))
    result = watch(caught, reference, labels(frame).iloc[:0], now=START + timedelta(days=35), plan=PLAN)
    assert result.label_flow is not None
    assert not result.label_flow.broken


def test_a_model_that_no_longer_ranks_is_retrained_though_no_input_moved() -> None:
    old, new = served(7, 1500, seed=1, first_day=14), served(14, 1500, seed=2, first_day=21, skill=0.3)
    frame = pd.concat([old, new], ignore_index=True)
    result = judge(frame, day=35)
    assert result.verdict.decision == "retrain"
    assert result.onset is not None
    assert abs((result.onset.day - (START + timedelta(days=21)).date()).days) <= 2


def test_an_empty_window_is_an_error_that_says_so() -> None:
    with pytest.raises(EmptyWindow, match="No payments between"):
        judge(served(7, 700, seed=1, first_day=14), day=60)


def test_a_broken_reference_is_refused() -> None:
    with pytest.raises(EmptyWindow, match="cannot serve as a reference"):
        freeze_reference(REFERENCE.iloc[:100], labels(REFERENCE), PLAN)


def test_season_weights_match_weekdays_and_ignore_traffic() -> None:
    start = START + timedelta(days=19)  # a Saturday and a Sunday
    season = season_of(np.unique(day_numbers(REFERENCE["event_time"])), start, start + timedelta(days=2))
    weights = season.weights[hour_of_week(REFERENCE["event_time"])]
    weekend = (REFERENCE["event_time"].dt.weekday >= 5).to_numpy()
    assert season.name == "week"
    assert (weights[~weekend] == 0).all()
    assert np.allclose(weights[weekend], 0.5)


def test_a_reference_without_the_weekday_is_matched_by_hour() -> None:
    monday = day_numbers(REFERENCE["event_time"])[:1]
    assert season_of(monday, START + timedelta(days=15), START + timedelta(days=16)).name == "day"


def test_the_design_effect_of_independent_rows_is_about_one_and_grows_with_common_shocks() -> None:
    rng = np.random.default_rng(0)
    calm = np.column_stack([rng.binomial(1000, 0.3, 28), np.zeros(28)])
    shocked = np.column_stack([rng.binomial(1000, np.clip(rng.normal(0.3, 0.1, 28), 0, 1)), np.zeros(28)])
    days = np.arange(28)

    def effect(counts: np.ndarray) -> float:
        full = np.column_stack([counts[:, 0], 1000 - counts[:, 0], counts[:, 1]]).astype(float)
        return design_effect(Days(days, full), ordered=False, quantile=0.999)

    assert 1 <= effect(calm) < 4
    assert effect(shocked) > 10 * effect(calm)


def test_the_rate_test_agrees_with_the_exact_conditional_one() -> None:
    for current, reference in ((12, 4), (3, 9), (0, 7), (5, 0)):
        exact = stats.binomtest(current, current + reference, 1000 / 3000)
        doubled = 2 * min(stats.binom.sf(current - 1, current + reference, 1 / 3), stats.binom.cdf(current, current + reference, 1 / 3))
        assert rate_p_value(current, 1000, reference, 2000) == pytest.approx(min(1.0, doubled))
        assert exact.pvalue <= min(1.0, doubled) * 1.001


def test_stability_is_zero_for_equal_shares_and_symmetric() -> None:
    a, b = np.array([100.0, 200.0, 300.0]), np.array([300.0, 200.0, 100.0])
    assert population_stability(a, 10 * a) == pytest.approx(0, abs=1e-4)
    assert population_stability(a, b) == pytest.approx(population_stability(b, a))


def test_metrics_of_a_window_are_those_of_training() -> None:
    rows = matured_rows(REFERENCE, labels(REFERENCE), PLAN.maturity)
    found = measure(rows, per_thousand=10.0, costs=PLAN.costs, seed=1)
    assert found is not None
    assert found.average_precision.value == pytest.approx(average_precision(rows.y, rows.score))
    assert found.recall_at_capacity.value == pytest.approx(recall_at_capacity(rows.y, rows.score, 10.0))
    assert found.saved_per_thousand.value == pytest.approx(money_saved_per_thousand(rows.y, rows.alert, rows.amount, PLAN.costs))
    for interval in (found.average_precision, found.recall_at_capacity, found.alert_precision):
        assert interval.low < interval.value < interval.high


def test_declined_payments_count_by_what_reviewed_ones_turned_out_to_be() -> None:
    """The scores are inflated here on purpose: what is believed of declined payments must not follow them."""
    log = served(14, 3000, skill=0.5)
    inflated = log.assign(score=np.minimum(1.0, log["score"] * 15))
    decision = np.select([inflated["score"] >= 0.6, inflated["score"] >= 0.2], ["decline", "review"], "approve")
    frame = inflated.assign(decision=pd.Categorical(decision, ["approve", "review", "decline"]))
    declined = decision == "decline"
    unlabelled = labels(frame)[lambda t: ~t["transaction_id"].isin(frame["transaction_id"][declined])]
    believed = matured_rows(frame, unlabelled, PLAN.maturity).frauds - len(unlabelled)
    assert declined.sum() > 30
    assert 0.5 < believed / frame["fraud"][declined].sum() < 2
    assert believed < 0.2 * frame["score"][declined].sum()


def test_recall_at_a_rate_of_false_alerts_does_not_move_with_the_share_of_frauds() -> None:
    few, many = served(14, 3000, seed=5), served(14, 3000, seed=6, fraud_share=0.04)
    found = [measure(matured_rows(f, labels(f), PLAN.maturity), per_thousand=10.0, costs=PLAN.costs, seed=1) for f in (few, many)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].recall_at_false_alerts.value == pytest.approx(found[1].recall_at_false_alerts.value, abs=0.08)
    assert found[1].recall_at_capacity.value < 0.6 * found[0].recall_at_capacity.value


def test_the_timeline_has_a_value_per_day_and_no_recall_before_labels_mature() -> None:
    reference = freeze_reference(REFERENCE, labels(REFERENCE), PLAN)
    window = served(14, 700, seed=1, first_day=14)
    late = (window["event_time"] >= START + timedelta(days=24)).to_numpy()
    line = timeline(
        window.assign(amount=window["amount"] * np.where(late, 2.0, 1.0)),
        reference,
        labels(window),
        now=START + timedelta(days=28),
        plan=PLAN,
    )
    assert len(line.days) == 14
    assert line.distances[0].name == "amount"
    values = [v or 0.0 for v in line.distances[0].values]
    assert max(values[:10]) < 0.1 < min(values[10:])
    assert [v is None for v in line.recall.values] == [False] * 7 + [True] * 7
    assert all(len(s.values) == 14 for s in (*line.distances, line.alert_rate, line.recall))


def test_every_detector_says_one_thing_of_a_window_and_names_what_moved() -> None:
    window = served(7, 700, seed=1, first_day=14)
    moved = judge(window.assign(amount=window["amount"] * 1.5, latitude=window["latitude"].where(np.arange(len(window)) % 10 > 0)))
    assert tuple(d.detector for d in moved.detections) == DETECTORS
    assert {"inputs", "inputs:amount", "null_rate"} == set(fired(moved.detections))
    said = {d.detector: d for d in moved.detections}
    assert (said["inputs"].column, said["null_rate"].column) == ("amount", "latitude")
    assert said["inputs"].first_alarm == START + timedelta(days=21)
    assert not fired(judge(window).detections)
