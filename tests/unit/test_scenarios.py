from datetime import date

import numpy as np
import pandas as pd
import pytest

from data.errors import BadInput
from data.scenarios import DEMO_SCENARIO, SCENARIOS, apply_all, scenario
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


@pytest.mark.parametrize("name", [s.name for s in SCENARIOS.values() if s.acts_on == "messages"])
def test_a_fault_of_messages_touches_the_rows_that_it_changes_and_no_others(name: str, payments: pd.DataFrame) -> None:
    changed, touched = scenario(name).inject(START, seed=1, strength=None if name != "unit_change" else 0.1).apply(payments)
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


@pytest.mark.parametrize("name", ["unit_change", "null_burst", "new_category"])
def test_the_touched_rows_do_not_depend_on_how_the_stream_is_cut(name: str, payments: pd.DataFrame) -> None:
    injection = scenario(name).inject(START, seed=1, strength=0.2)
    whole = injection.apply(payments)[1]
    parts = np.concatenate([injection.apply(payments.iloc[a : a + 700])[1] for a in range(0, len(payments), 700)])
    assert (whole == parts).all()


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


def test_faults_compose(payments: pd.DataFrame) -> None:
    prices, nulls = (scenario(name).inject(START, seed=1) for name in ("price_rise", "null_burst"))
    both, touched = apply_all([prices, nulls], payments)
    assert (both["amount_minor"] == prices.apply(payments)[0]["amount_minor"]).all()
    assert both["latitude"].isna().sum() > payments["latitude"].isna().sum()
    assert (touched == (prices.apply(payments)[1] | nulls.apply(payments)[1])).all()


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
