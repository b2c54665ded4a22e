from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.dataset import Kind, arrow_schema, to_frame
from data.errors import BadInput
from data.schema import CATEGORIES, Label, Transaction
from data.world import Change, World, WorldConfig
from data.world.tactics import NEW_PLAYBOOK

START = date(2026, 1, 5)
SMALL = WorldConfig(seed=7, start=START, transactions_per_day=2_000)
LATER = START + timedelta(days=12)


@cache
def world_of(config: WorldConfig) -> World:
    return World(config)


@cache
def day_of(config: WorldConfig, day: date) -> dict[Kind, pa.Table]:
    return world_of(config).day(day)


@cache
def days_of(config: WorldConfig, count: int) -> dict[Kind, pd.DataFrame]:
    tables = [world_of(config).day(START + timedelta(n)) for n in range(count)]
    return {kind: to_frame(pa.concat_tables([t[kind] for t in tables]), kind) for kind in tables[0]}


def answered(config: WorldConfig, count: int) -> pd.DataFrame:
    frames = days_of(config, count)
    return frames["transactions"].merge(frames["truth"], on="transaction_id")


def frauds(config: WorldConfig, day: date) -> set[tuple[object, ...]]:
    tables = day_of(config, day)
    fraud = tables["truth"]["is_fraud"]
    rows = tables["transactions"].select(["event_time", "terminal_id", "amount_minor"]).filter(fraud)
    return set(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def test_a_day_drawn_alone_is_the_day_within_a_run_in_any_order():
    days = [START + timedelta(n) for n in (0, 1, 20, 45)]
    run = World(SMALL)
    forwards = {day: run.day(day) for day in days}
    backwards = {day: run.day(day) for day in reversed(days)}
    for day in days:
        alone = World(SMALL).day(day)
        for kind, table in alone.items():
            assert table.equals(forwards[day][kind])
            assert table.equals(backwards[day][kind])


def test_another_seed_is_another_world():
    assert not day_of(SMALL, START)["transactions"].equals(day_of(replace(SMALL, seed=8), START)["transactions"])


def test_neighbouring_seeds_on_neighbouring_days_share_no_campaign():
    campaigns = {
        seed: {c for n in range(4) for c in day_of(replace(SMALL, seed=seed), START + timedelta(n))["truth"]["campaign_id"].to_pylist()}
        for seed in (7, 8)
    }
    assert len(campaigns[7]) > 10
    assert campaigns[7] & campaigns[8] == {None}


def test_tables_have_the_declared_columns_and_rows_arrive_in_event_time():
    for kind, table in day_of(SMALL, START).items():
        assert table.schema.equals(arrow_schema(kind))
        table.validate(full=True)
    times = day_of(SMALL, START)["transactions"]["event_time"].to_numpy()
    assert (np.diff(times).astype(int) >= 0).all()
    assert {str(moment)[:10] for moment in (times[0], times[-1])} == {"2026-01-05"}


def test_every_payment_and_label_passes_the_message_contract():
    tables = day_of(SMALL, START)
    rows = tables["transactions"].to_pylist()
    for row in rows[:500]:
        Transaction.model_validate(row)
    for row in tables["labels"].drop_columns(["event_time"]).to_pylist():
        Label.model_validate(row)
    assert {row["category"] for row in rows} <= set(CATEGORIES)
    assert min(row["amount_minor"] for row in rows) >= 1


def test_transaction_ids_are_unique_over_days():
    ids = days_of(SMALL, 20)["transactions"]["transaction_id"]
    assert ids.is_unique


def test_cards_pay_about_two_times_in_three_days_and_the_traffic_is_what_was_asked_for():
    frame = answered(SMALL, 20)
    daily = len(frame) / 20
    assert 0.9 * SMALL.transactions_per_day < daily < 1.15 * SMALL.transactions_per_day
    assert 0.4 < daily / frame["card_id"].nunique() < 0.9


@pytest.mark.parametrize("share", [0.0025, 0.035])
def test_the_fraud_share_is_the_wanted_one_in_expectation(share):
    truths = [days_of(replace(SMALL, seed=seed, fraud_share=share), 20)["truth"]["is_fraud"] for seed in (1, 2, 3)]
    rows = sum(map(len, truths))
    measured = sum(truth.sum() for truth in truths) / rows
    error = np.sqrt(share * 14 / rows)  # campaigns come in clumps of about so many payments
    assert abs(measured - share) < 4 * error


def test_without_fraud_there_is_none():
    assert not days_of(replace(SMALL, fraud_share=0.0), 3)["truth"]["is_fraud"].any()


def test_half_the_fraud_share_keeps_a_part_of_the_same_frauds_and_every_honest_payment():
    half = replace(SMALL, fraud_share=SMALL.fraud_share / 2)
    days = [START + timedelta(n) for n in range(8)]
    assert 0 < sum(len(frauds(half, day)) for day in days) < sum(len(frauds(SMALL, day)) for day in days)
    for day in days:
        assert frauds(half, day) <= frauds(SMALL, day)
        honest = [t["transactions"].filter(pc.is_null(t["truth"]["campaign_id"])) for t in (day_of(half, day), day_of(SMALL, day))]
        assert honest[0]["event_time"].equals(honest[1]["event_time"])
        assert honest[0]["amount_minor"].equals(honest[1]["amount_minor"])


def test_labels_come_after_the_payment_at_most_ninety_days_and_are_partial_and_noisy():
    frames = days_of(SMALL, 20)
    labels = frames["labels"].merge(frames["truth"], on="transaction_id", suffixes=("", "_truth"))
    delay = labels["report_time"] - labels["event_time"]
    assert delay.min() > pd.Timedelta(0)
    assert delay.max() <= pd.Timedelta(days=90)
    unreported = set(frames["truth"].loc[frames["truth"]["is_fraud"], "transaction_id"]) - set(labels["transaction_id"])
    assert unreported
    wrong = labels[labels["is_fraud"] & ~labels["is_fraud_truth"]]
    assert set(wrong["campaign_kind"]) == {"friendly_fraud"}
    assert set(wrong["source"]) == {"dispute"}
    assert not labels.loc[labels["source"] == "investigation", "is_fraud"].all()


def test_all_kinds_of_campaign_are_there_and_no_new_ones_without_a_change():
    kinds = set(answered(SMALL, 20)["campaign_kind"].dropna())
    assert {"card_testing", "stolen_card", "account_takeover", "compromised_terminal", "bust_out", "device_ring", "friendly_fraud"} == kinds


def test_a_card_used_after_a_copying_till_had_paid_there_before():
    frame = answered(SMALL, 30)
    copied = frame[frame["campaign_kind"] == "compromised_terminal"]
    visits, uses = copied[~copied["is_fraud"]], copied[copied["is_fraud"]]
    assert visits.groupby("campaign_id", observed=True)["terminal_id"].nunique().max() == 1
    visited = visits.groupby(["campaign_id", "card_id"], observed=True)["event_time"].min()
    both = uses.join(visited.rename("visit"), on=["campaign_id", "card_id"], how="inner")
    assert len(both) > 10
    assert (both["visit"] < both["event_time"]).all()


def test_a_card_is_replaced_the_day_after_its_fraud_is_reported():
    frames = days_of(SMALL, 30)
    frame = answered(SMALL, 30)
    reported = frames["labels"].merge(frame[frame["is_fraud"]][["transaction_id", "card_id"]], on="transaction_id")
    first = reported.groupby(reported["card_id"].astype(str))["report_time"].min()
    noticed = frame["card_id"].astype(str).map(first)
    late = frame["event_time"].dt.floor("D") > noticed.dt.floor("D")
    assert noticed.notna().sum() > 100
    assert not late.any()


@pytest.mark.parametrize("kind", ["new_tactic", "behaviour_shift", "inflation", "channel_mix", "fraud_rate"])
def test_a_change_leaves_every_earlier_day_as_it_was_and_changes_the_days_after(kind):
    changed = replace(SMALL, changes=(Change(kind, LATER, 0.8),))
    before = LATER - timedelta(days=1)
    assert changed.digest(before) == SMALL.digest(before)
    assert changed.digest(LATER) != SMALL.digest(LATER)
    for table, same in zip(day_of(changed, before).values(), day_of(SMALL, before).values(), strict=True):
        assert table.equals(same)
    after = LATER + timedelta(days=9)
    assert not day_of(changed, after)["transactions"].equals(day_of(SMALL, after)["transactions"])


def test_inflation_changes_amounts_and_nothing_else_an_honest_payment_says():
    dearer = replace(SMALL, fraud_share=0.0, changes=(Change("inflation", LATER, 0.5),))
    plain, risen = (day_of(c, LATER)["transactions"] for c in (replace(SMALL, fraud_share=0.0), dearer))
    differing = {name for name in plain.column_names if not plain[name].equals(risen[name])}
    assert "amount_minor" in differing
    assert differing <= {"amount_minor", "channel", "device_id"}  # dearer baskets pass the contactless limit
    ratio = pc.sum(risen["amount_minor"]).as_py() / pc.sum(plain["amount_minor"]).as_py()
    assert ratio == pytest.approx(1.5, abs=0.02)


def test_a_new_tactic_replaces_the_old_campaigns_as_they_run_out():
    new = {tactic.kind for tactic in NEW_PLAYBOOK}
    changed = replace(SMALL, fraud_share=0.01, changes=(Change("new_tactic", LATER, 1.0),))
    assert not new & set(day_of(changed, LATER - timedelta(days=1))["truth"]["campaign_kind"].to_pylist())
    much_later = [day_of(changed, LATER + timedelta(days=31 + n))["truth"] for n in range(4)]
    assert {kind for truth in much_later for kind in truth.filter(truth["is_fraud"])["campaign_kind"].to_pylist()} == new


def test_a_channel_push_moves_the_given_share_of_till_payments_online():
    pushed = replace(SMALL, changes=(Change("channel_mix", LATER, 0.3),))
    plain, moved = (pc.mean(pc.equal(day_of(c, LATER)["transactions"]["channel"], "online")).as_py() for c in (SMALL, pushed))
    assert moved == pytest.approx(plain + 0.3 * (1 - plain), abs=0.03)


def test_a_ramp_rises_evenly_and_ends_when_told():
    change = Change("inflation", START, strength=0.4, ramp_days=3, end=START + timedelta(days=6))
    assert [round(change.level(START + timedelta(n)), 3) for n in range(-1, 7)] == [0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0]


@pytest.mark.parametrize(
    ("knob", "value"),
    [("transactions_per_day", 0), ("fraud_share", 0.5), ("alert_share", 1.5), ("changes", (Change("inflation", date(2025, 1, 1)),))],
)
def test_a_knob_out_of_range_is_refused_by_name(knob, value):
    with pytest.raises(BadInput, match=knob) as refused:
        replace(SMALL, **{knob: value})
    assert refused.value.where == knob
