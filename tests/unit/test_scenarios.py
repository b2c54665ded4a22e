from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from data.errors import BadInput
from data.faults.dose import Dose
from data.faults.features import FEATURE_FAULTS, TOTALS, Rows, hide_last_hour
from data.features import CARD_WINDOWS_S, FEATURE_COUNT, FEATURE_INDEX, FEATURES
from data.history import build_features
from data.onset import Onset
from data.scenarios import DEMO_SCENARIO, SCENARIOS, scenario
from data.schema import LABEL_COLUMNS
from data.world import World, WorldConfig
from labs.drifts import Drifts
from pipelines.monitoring.detectors import DETECTORS
from tests.payments import transactions

START = date(2026, 1, 8)  # the fourth day of the frames


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    return transactions(8, 500)


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_changes_before_the_start(name: str, payments: pd.DataFrame) -> None:
    before = int((payments["event_time"] < pd.Timestamp(START, tz="UTC")).sum())
    changed, touched = scenario(name).inject(START, seed=1).apply(payments)
    pd.testing.assert_frame_equal(changed[:before], payments[:before], check_categorical=False)
    assert not touched[:before].any()


def features(payments: pd.DataFrame) -> np.ndarray:
    """Made up, with the relations that windows have; drawn once for all rows."""
    rng = np.random.default_rng(3)
    matrix = rng.lognormal(0, 1, (len(payments), FEATURE_COUNT))
    week = rng.poisson(6, len(payments)).astype(np.float64)
    matrix[:, FEATURE_INDEX["card_count_7d"]], matrix[:, FEATURE_INDEX["card_count_1d"]] = week, rng.binomial(week.astype(int), 1 / 7)
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    for name in ("card_count_1d", "card_count_7d"):
        matrix[:, FEATURE_INDEX[name]] = np.nan_to_num(matrix[:, FEATURE_INDEX[name]])
    matrix[:, FEATURE_INDEX["card_count_7d"]] = np.maximum(*(matrix[:, FEATURE_INDEX[f"card_count_{w}"]] for w in ("1d", "7d")))
    return matrix


def score(matrix: np.ndarray) -> np.ndarray:
    """A model."""
    return 1 / (1 + np.exp(3 - 0.1 * np.nan_to_num(matrix).sum(axis=1) / np.sqrt(FEATURE_COUNT)))


@pytest.mark.parametrize("name", [s.name for s in SCENARIOS.values() if s.acts_on == "messages"])
def test_a_fault_of_messages_touches_the_rows_that_it_changes_and_no_others(name: str, payments: pd.DataFrame) -> None:
    changed, touched = (
        scenario(name).inject(START, seed=1, strength=0.1 if "share" in scenario(name).strength_means else None).apply(payments)
    )
    differs = np.zeros(len(payments), dtype=bool)
    for column in payments.columns:
        now, was = changed[column].astype(object), payments[column].astype(object)
        differs |= ((now != was) & ~(now.isna() & was.isna())).to_numpy()
    assert touched.sum() > 0
    assert (differs == touched).all()


@pytest.mark.parametrize("name", [s.name for s in SCENARIOS.values() if s.acts_on == "messages"])
def test_a_fault_keeps_the_columns_and_types_of_a_transaction(name: str, payments: pd.DataFrame) -> None:
    changed, _ = scenario(name).inject(START, seed=1).apply(payments)
    assert list(changed.columns) == list(payments.columns)
    assert [str(t) for t in changed.dtypes] == [str(t) for t in payments.dtypes]


MESSAGES = [s.name for s in SCENARIOS.values() if s.acts_on in ("messages", "arrivals")]
SCORE_FAULTS = [s.name for s in SCENARIOS.values() if s.acts_on == "scores"]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_fault_is_the_same_however_the_stream_is_cut_into_batches(name: str, payments: pd.DataFrame) -> None:
    injection = scenario(name).inject(START, seed=1, strength=0.2)
    whole, touched = injection.apply(payments)
    parts = [injection.apply(payments.iloc[a : a + 700]) for a in range(0, len(payments), 700)]
    together = pd.concat([part.astype(payments.dtypes) if name != "new_category" else part for part, _ in parts])
    order = ["event_time", "transaction_id"]  # a retry may come after the next batch has begun
    one, other = (f.sort_values(order).reset_index(drop=True).astype(object) for f in (whole, together))
    pd.testing.assert_frame_equal(one, other)
    hit = {key for part, rows in parts for key in part["transaction_id"][rows]}
    assert hit == set(whole["transaction_id"][touched])


@pytest.mark.parametrize("fault", FEATURE_FAULTS)
def test_a_fault_of_features_is_the_same_however_the_stream_is_cut_into_batches(fault: str, payments: pd.DataFrame) -> None:
    matrix, ids, act = features(payments), list(payments["transaction_id"]), FEATURE_FAULTS[fault]
    level = np.linspace(0, 1, len(payments))

    def dose(rows: slice) -> Dose:
        return Dose(0.5 if fault == "mis_join" else 1.5, level[rows], 1)

    parts, before = [], None
    for a in range(0, len(payments), 333):
        rows = slice(a, a + 333)
        parts.append(act(Rows(matrix[rows], ids[rows], before), dose(rows)))
        before = matrix[rows][-1]
    np.testing.assert_array_equal(act(Rows(matrix, ids), dose(slice(None))), np.vstack(parts))


@pytest.mark.parametrize("name", ["mis_join", "feature_skew"])
def test_a_fault_of_features_leaves_rows_that_it_does_not_name_as_they_were(name: str, payments: pd.DataFrame) -> None:
    matrix = features(payments)
    kept = matrix.copy()
    seen, touched = scenario(name).inject(START, seed=1).apply_features(matrix, payments)
    np.testing.assert_array_equal(matrix, kept)
    early = (payments["event_time"] < pd.Timestamp(START, tz="UTC")).to_numpy()
    assert touched.any()
    assert not touched[early].any()
    np.testing.assert_array_equal(seen[~touched], matrix[~touched])
    moved = [FEATURES[k] for k in np.flatnonzero((np.nan_to_num(seen) != np.nan_to_num(matrix)).any(axis=0))]
    assert set(moved) <= set(scenario(name).columns)


def test_a_mis_join_keeps_every_columns_distribution_and_the_payments_own_features(payments: pd.DataFrame) -> None:
    matrix = features(payments)
    seen, _ = scenario("D9").inject(date(2026, 1, 5), seed=1).apply_features(matrix, payments)
    card = [FEATURE_INDEX[name] for name in scenario("D9").columns]
    np.testing.assert_array_equal(seen[1:, card], matrix[:-1][:, card])
    own = [k for k in range(FEATURE_COUNT) if k not in card]
    np.testing.assert_array_equal(seen[:, own], matrix[:, own])
    assert {"amount", "hour", "terminal_count_1d"} <= {FEATURES[k] for k in own}


def test_a_stretched_window_counts_whole_payments_and_never_more_than_the_week_has(payments: pd.DataFrame) -> None:
    matrix = features(payments)
    count, week = FEATURE_INDEX["card_count_1d"], FEATURE_INDEX["card_count_7d"]
    seen, _ = scenario("D10").inject(date(2026, 1, 5), seed=1).apply_features(matrix, payments)
    extra = seen[:, count] - matrix[:, count]
    assert (extra == np.rint(extra)).all()
    assert (extra >= 0).all()
    assert (seen[:, count] <= matrix[:, week]).all()
    expected = (matrix[:, week] - matrix[:, count]) / 6  # one more day of two
    assert abs(extra.mean() - expected.mean()) < 0.05
    longest, _ = scenario("D10").inject(date(2026, 1, 5), seed=1, strength=7.0).apply_features(matrix, payments)
    np.testing.assert_array_equal(longest[:, count], matrix[:, week])


def test_a_hidden_hour_gives_the_totals_of_windows_that_end_an_hour_early_to_the_last_bit(payments: pd.DataFrame) -> None:
    payments = payments.assign(event_time=payments["event_time"].dt.floor("s"))
    matrix, hour = build_features(payments, reports(payments).iloc[:0])[0], pd.Timedelta(hours=1)
    seen = hide_last_hour(Rows(matrix, list(payments["transaction_id"])), Dose(1.0, np.ones(len(payments)), 1))
    own = [k for k in range(FEATURE_COUNT) if FEATURES[k] not in TOTALS]
    np.testing.assert_array_equal(seen[:, own], matrix[:, own])
    places = np.flatnonzero((matrix[:, FEATURE_INDEX["card_count_1h"]] > 0) | (matrix[:, FEATURE_INDEX["terminal_count_1h"]] > 0))
    assert len(places) > 100
    for place in places[-50:]:
        one, before = payments.iloc[place], payments.iloc[:place]
        for window, length in CARD_WINDOWS_S.items():
            when = before["event_time"]
            inside = (when > one["event_time"] - pd.Timedelta(seconds=length)) & (when <= one["event_time"] - hour)
            card = before[inside & (before["card_id"] == one["card_id"])]
            total = card["amount_minor"].sum() / 100.0
            at_till = (inside & (before["terminal_id"] == one["terminal_id"])).sum()
            wanted = {"card_count": len(card), "card_sum": total, "card_mean": total / len(card) if len(card) else np.nan,
                      "terminal_count": at_till}  # fmt: skip
            np.testing.assert_array_equal([seen[place, FEATURE_INDEX[f"{name}_{window}"]] for name in wanted], list(wanted.values()))


@pytest.mark.parametrize("name", SCORE_FAULTS)
def test_a_fault_of_scores_begins_with_the_deployment_and_says_which_rows_it_moved(name: str, payments: pd.DataFrame) -> None:
    matrix = features(payments)
    answered, touched = scenario(name).inject(START, seed=1).apply_scores(matrix, payments, score)
    early = (payments["event_time"] < pd.Timestamp(START, tz="UTC")).to_numpy()
    np.testing.assert_array_equal(answered[~touched], score(matrix)[~touched])
    assert touched.any()
    assert not touched[early].any()
    assert ((answered >= 0) & (answered <= 1)).all()


def test_a_lost_calibrator_raises_the_odds_and_keeps_the_ranking(payments: pd.DataFrame) -> None:
    matrix, right = features(payments), score(features(payments))
    answered, _ = scenario("lost_calibrator").inject(date(2026, 1, 5), seed=1, strength=10).apply_scores(matrix, payments, score)
    np.testing.assert_allclose(answered / (1 - answered), 10 * right / (1 - right))
    np.testing.assert_array_equal(np.argsort(answered, kind="stable"), np.argsort(right, kind="stable"))


def test_a_scenario_may_act_twice_on_one_layer(payments: pd.DataFrame) -> None:
    first = date(2026, 1, 5)
    storms = replace(scenario("D16"), parts=2 * scenario("D16").parts).inject(first, seed=1)
    sent, added = storms.apply(payments)
    assert added.sum() == len(sent) - len(payments) > scenario("D16").inject(first, seed=1).apply(payments)[1].sum()
    assert sent["transaction_id"].is_unique
    matrix, odds = features(payments), score(features(payments)) / (1 - score(features(payments)))
    twice = replace(scenario("lost_calibrator"), parts=2 * scenario("lost_calibrator").parts).inject(first, seed=1, strength=3.0)
    answered, _ = twice.apply_scores(matrix, payments, score)
    np.testing.assert_allclose(answered / (1 - answered), 9 * odds)


def reports(payments: pd.DataFrame) -> pd.DataFrame:
    """Each twentieth payment, reported two days later."""
    some = payments.iloc[::20]
    facts = {"transaction_id": some["transaction_id"], "event_time": some["event_time"], "is_fraud": True, "source": "chargeback"}
    labels = pd.DataFrame({**facts, "report_time": some["event_time"] + pd.Timedelta(days=2)})
    return labels.reset_index(drop=True).astype({name: dtype for name, (dtype, _) in LABEL_COLUMNS.items()})


def test_a_feed_that_stops_loses_what_would_have_been_reported_since_and_nothing_before(payments: pd.DataFrame) -> None:
    labels = reports(payments)
    left, touched = scenario("D14").inject(START, seed=1).apply_labels(labels)
    late = (labels["report_time"] >= pd.Timestamp(START, tz="UTC")).to_numpy()
    assert (touched == late).all()
    assert left["transaction_id"].tolist() == labels["transaction_id"][~late].tolist()
    half, some = scenario("D14").inject(START, seed=1, strength=0.5).apply_labels(labels)
    assert len(half) == len(labels) - some.sum()
    assert 0.3 < some[late].mean() < 0.7


def test_a_feed_that_lags_delivers_the_same_reports_later(payments: pd.DataFrame) -> None:
    labels = reports(payments)
    left, touched = scenario("labels_late").inject(START, seed=1).apply_labels(labels)
    lag = (left["report_time"] - labels["report_time"]).dt.days
    assert lag.tolist() == np.where(touched, 30, 0).tolist()
    assert left["report_time"].dtype == labels["report_time"].dtype
    assert (touched == (labels["report_time"] >= pd.Timestamp(START, tz="UTC"))).all()


def test_of_two_reports_of_one_payment_the_feed_loses_the_one_that_comes_too_late(payments: pd.DataFrame) -> None:
    labels = reports(payments).iloc[:1]
    times = (pd.Timestamp(START, tz="UTC") + pd.Timedelta(hours=hours) for hours in (-1, 1))
    early, late = (labels.assign(report_time=time).astype({"report_time": "datetime64[ms, UTC]"}) for time in times)
    both = replace(scenario("D14"), parts=(*scenario("D14").parts, *scenario("labels_late").parts))
    left, touched = both.inject(START, seed=1).apply_labels(pd.concat([late, early]))
    assert touched.tolist() == [True, False]
    pd.testing.assert_frame_equal(left, early)


def test_what_is_blocked_is_never_reported_unless_it_is_let_through(payments: pd.DataFrame) -> None:
    labels = reports(payments)
    since = (labels["event_time"] >= pd.Timestamp(START, tz="UTC")).to_numpy()
    assert (scenario("D17").inject(START, seed=1).blocked(labels) == since).all()
    let_through = ~scenario("D17").inject(START, seed=1, strength=0.9).blocked(labels) & since
    assert 0 < let_through.sum() < 0.3 * since.sum()
    assert not scenario("D14").inject(START, seed=1).blocked(labels).any()


def test_a_retry_storm_repeats_payments_under_new_ids_on_the_same_day(payments: pd.DataFrame) -> None:
    sent, added = scenario("D16").inject(START, seed=1).apply(payments)
    assert sent["transaction_id"].is_unique
    assert sent["event_time"].is_monotonic_increasing
    pd.testing.assert_frame_equal(sent[~added].reset_index(drop=True), payments)
    again = sent[added].assign(transaction_id=sent["transaction_id"].str.partition(".")[0]).merge(payments, on="transaction_id")
    assert len(again) == added.sum() == 2 * again["transaction_id"].nunique()
    assert (again["event_time_x"].dt.date == again["event_time_y"].dt.date).all()
    assert (again["amount_minor_x"] == again["amount_minor_y"]).all()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_leaves_the_layers_alone_that_it_does_not_act_on(name: str, payments: pd.DataFrame) -> None:
    one, matrix, labels = scenario(name).inject(START, seed=1), features(payments), reports(payments)
    acts = {
        "world": bool(one.changes),
        "arrivals": one.apply_arrivals(payments)[1].any(),
        "messages": one.apply_messages(payments)[1].any(),
        "features": one.apply_features(matrix, payments)[1].any(),
        "scores": one.apply_scores(matrix, payments, score)[1].any(),
        "labels": one.apply_labels(labels)[1].any() or one.blocked(labels).any(),
    }
    assert {layer for layer, does in acts.items() if does} == one.scenario.layers


def test_the_whole_catalogue_is_there_and_an_id_stands_for_its_first_scenario() -> None:
    assert {s.catalogue_id for s in SCENARIOS.values()} == {f"D{n}" for n in range(18)}
    assert [scenario(key).name for key in ("D2", "d9", "D12", "D14", "mis_join")] == [
        "holiday", "mis_join", "new_pattern", "labels_stop", "mis_join",
    ]  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_detector_that_a_scenario_names_exists_and_none_must_both_fire_and_be_silent(name: str) -> None:
    one = scenario(name)
    assert {d.partition(":")[0] for d in (*one.must_fire, *one.must_stay_silent)} <= set(DETECTORS)
    assert not set(one.must_fire) & set(one.must_stay_silent)
    assert bool(one.must_fire) == (one.catalogue_id != "D0")


def test_the_quiet_control_allows_no_detector_to_fire() -> None:
    assert set(scenario("D0").must_stay_silent) == set(DETECTORS)


def test_a_recurring_drift_comes_back_and_goes_again() -> None:
    onset = Onset(START, ramp_days=1, days=3, every_days=7)
    levels = [onset.level_on(START + timedelta(days=n)) for n in range(-1, 15)]
    assert levels == [0, 0.5, 1, 1, 0, 0, 0, 0, 0.5, 1, 1, 0, 0, 0, 0, 0.5]
    assert Onset(START, days=3, every_days=7, until=START + timedelta(days=8)).level_on(START + timedelta(days=8)) == 0


def test_a_recurring_change_of_the_world_is_quiet_in_between() -> None:
    config = WorldConfig(start=date(2026, 1, 5), transactions_per_day=100)
    recurring = replace(scenario("price_rise"), days=1, every_days=2, parts=scenario("D1").parts, strength=0.5)
    changed = World(replace(config, changes=recurring.inject(START, seed=1).changes))
    same = [World(config).day(START + timedelta(days=n)) == changed.day(START + timedelta(days=n)) for n in range(-1, 4)]
    assert same == [True, False, True, False, True]


def test_another_seed_touches_other_rows(payments: pd.DataFrame) -> None:
    first, second = (scenario("null_burst").inject(START, seed=seed).apply(payments)[1] for seed in (1, 2))
    assert (first != second).any()


def test_a_ramp_rises_by_the_day_to_its_full_strength(payments: pd.DataFrame) -> None:
    injection = scenario("price_rise").inject(START, seed=1, strength=2.0, ramp_days=3)
    ratio = injection.apply(payments)[0]["amount_minor"] / payments["amount_minor"]
    by_day = ratio.groupby(payments["event_time"].dt.date).median()
    assert by_day.round(2).tolist() == [1.0, 1.0, 1.0, 1.25, 1.5, 1.75, 2.0, 2.0]


def test_a_burst_ends(payments: pd.DataFrame) -> None:
    touched = scenario("null_burst").inject(START, seed=1).apply(payments)[1]
    days = set(payments["event_time"].dt.date[touched])
    assert days == {date(2026, 1, 8), date(2026, 1, 9), date(2026, 1, 10)}


def test_cents_for_euros_hit_every_payment_of_the_same_terminals(payments: pd.DataFrame) -> None:
    changed, touched = scenario("unit_change").inject(date(2026, 1, 5), seed=3, strength=0.05).apply(payments)
    terminals = set(payments["terminal_id"][touched])
    assert (changed["amount_minor"] == payments["amount_minor"] * np.where(payments["terminal_id"].isin(terminals), 100, 1)).all()


def test_drifts_compose_in_the_order_of_a_payments_way(payments: pd.DataFrame) -> None:
    prices, nulls, storm = (scenario(name).inject(START, seed=1) for name in ("price_rise", "null_burst", "retry_storm"))
    labels = reports(payments)
    day = Drifts([prices, storm, nulls]).arriving(payments, labels)
    again, added = storm.apply(payments)
    assert day.transactions["transaction_id"].tolist() == again["transaction_id"].tolist()
    assert day.arrival.tolist() == again["event_time"].tolist()
    assert (day.transactions["amount_minor"] == prices.apply(again)[0]["amount_minor"]).all()
    assert day.transactions["latitude"].isna().sum() > again["latitude"].isna().sum()
    assert added.any()
    assert day.labels is labels


def test_a_change_of_the_world_is_dated_and_dosed() -> None:
    changes = scenario("new_tactic").inject(START, seed=1, strength=0.5).changes
    assert {c.kind: c.strength for c in changes} == {"new_tactic": 0.5, "behaviour_shift": 0.3}
    assert {c.start for c in changes} == {START}


def test_the_truth_says_what_was_done_and_serialises() -> None:
    truth = scenario("null_burst").inject(START, seed=4).truth(np.array([True, False, True])).to_json()
    assert (truth["rows"], truth["rows_touched"], truth["start"], truth["end"]) == (3, 2, "2026-01-08", "2026-01-11")
    assert truth["expected"] == ("fix_pipeline",)


def test_a_recorded_file_cannot_follow_a_change_of_the_world(payments: pd.DataFrame) -> None:
    with pytest.raises(BadInput, match="cannot follow"):
        scenario("new_tactic").inject(START, seed=1).require(payments, "handbook")


def test_a_fault_of_chosen_columns_needs_those_and_no_others(payments: pd.DataFrame) -> None:
    nulls = replace(scenario("D5"), parts=(replace(scenario("D5").parts[0], columns=("device_id",)),)).inject(START, seed=1)
    nulls.require(payments.assign(latitude=np.nan), "handbook")
    with pytest.raises(BadInput, match="device_id"):
        nulls.require(payments.assign(device_id=None), "handbook")


def test_a_fault_refuses_payments_that_lack_its_columns(payments: pd.DataFrame) -> None:
    bare = payments.assign(latitude=np.nan, category=pd.Categorical(["unknown"] * len(payments)))
    for name in ("null_burst", "new_category"):
        with pytest.raises(BadInput, match="do not carry"):
            scenario(name).inject(START, seed=1).require(bare, "handbook")


@pytest.mark.parametrize("source", DEMO_SCENARIO)
def test_the_demo_of_each_source_can_run_there(source: str, payments: pd.DataFrame) -> None:
    scenario(DEMO_SCENARIO[source]).inject(START, seed=1).require(payments, source)  # type: ignore[index,arg-type]


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan")])
def test_a_senseless_strength_is_refused(strength: float) -> None:
    with pytest.raises(BadInput, match="strength"):
        scenario("price_rise").inject(START, seed=1, strength=strength)


def test_an_unknown_scenario_is_answered_with_those_that_exist() -> None:
    with pytest.raises(BadInput, match="price_rise"):
        scenario("meteor")
