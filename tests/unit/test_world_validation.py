from datetime import timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest

from data.world import WorldConfig
from data.world import validation as v
from tests.bench import world_difficulty as difficulty

CONFIG = WorldConfig()
DAYS = 60  # what the lab trains on; fewer hold too few campaigns for the bands to mean something


@cache
def frames() -> dict[str, pd.DataFrame]:
    return difficulty.drawn(CONFIG, DAYS)


@cache
def frame() -> pd.DataFrame:
    return v.answered(frames()["transactions"], frames()["truth"])


def outside(findings: list[v.Finding]) -> list[v.Finding]:
    return [finding for finding in findings if not finding.inside]


def test_the_default_world_lies_in_the_bands_of_real_data():
    assert outside(v.realism(frame())) == []


def test_ids_order_cents_and_gaps_know_nothing_of_fraud():
    assert outside(v.leaks(frame())) == []


def test_columns_without_a_common_cause_share_no_information():
    assert outside(v.independence(frame())) == []


def test_labels_are_as_late_partial_and_noisy_as_they_should_be():
    assert outside(v.labelling(frame(), frames()["labels"])) == []


def test_rules_then_logistic_regression_then_lightgbm_and_nobody_is_perfect():
    data = difficulty.split(frames(), CONFIG.start)
    rules, logistic, boosted = (difficulty.average_precision(data, score) for score in difficulty.scores(data).values())
    assert data.truth.mean() < rules < logistic < boosted
    assert 0.1 < boosted < 0.6
    assert boosted < difficulty.ceiling(data) < 1


# Each measure must be able to fail: the same world, spoilt in one way.


def test_an_id_that_knows_the_answer_is_found():
    spoilt = frame().assign(card_id=np.where(frame()["is_fraud"], "card_000000000001", "card_0000ffffffff"))
    assert "leak: card id" in {finding.name for finding in outside(v.leaks(spoilt))}


def test_frauds_with_round_amounts_are_found():
    amount = frame()["amount_minor"]
    spoilt = frame().assign(amount_minor=amount.where(~frame()["is_fraud"], amount // 100 * 100 + 100))
    assert "leak: cents of the amount" in {finding.name for finding in outside(v.leaks(spoilt))}


def test_frauds_listed_last_within_their_minute_are_found():
    spoilt = frame().sort_values(["second", "is_fraud"])
    minute = spoilt["second"] // 60 * 60
    spoilt = spoilt.assign(second=minute + spoilt["is_fraud"]).sort_values("second", kind="stable")
    assert "leak: order within the minute" in {finding.name for finding in outside(v.leaks(spoilt))}


def test_categories_that_follow_the_calendar_are_found():
    day = frame()["event_time"].dt.day.to_numpy() % 17
    spoilt = frame().assign(category=pd.Categorical.from_codes(day, frame()["category"].cat.categories))
    assert "bits shared by category and date" in {finding.name for finding in outside(v.independence(spoilt))}


def test_fraud_that_empties_the_whole_card_day_is_found():
    victims = frame()["card_id"].isin(frame().loc[frame()["is_fraud"], "card_id"])
    assert v.mixed_card_days(frame()[frame()["is_fraud"] | ~victims]) == 0 < v.mixed_card_days(frame())


def test_the_rank_area_matches_a_count_of_pairs():
    answer, score = np.array([True, False, True, False]), np.array([0.9, 0.1, 0.5, 0.5])
    assert v.roc_auc(answer, score) == pytest.approx((1 + 1 + 1 + 0.5) / 4)


def test_mutual_information_of_a_copy_is_its_entropy_and_of_independent_columns_nothing():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 4, 20_000), random.integers(0, 4, 20_000)
    assert v.mutual_information(a, a) == pytest.approx(2.0, abs=0.01)
    assert v.mutual_information(a, b) == pytest.approx(0.0, abs=0.001)


def test_bursts_and_repeats_are_counted_per_card():
    seconds = [0.0, 100.0, 5_000.0, 0.0, 9_000.0, 9_100.0]
    rows = pd.DataFrame({"card_id": list("aaabbb"), "second": seconds, "is_fraud": [False, True, True, False, False, False]})
    assert v.burst_ratio(rows) == pytest.approx((1 / 2) / (1 / 4))
    assert v.repeat_lift(rows) == pytest.approx(1.0 / (1 / 3))


def test_hours_are_compared_with_the_mean():
    hours = pd.Series(np.arange(48) % 24 * 3600.0)
    rows = pd.DataFrame({"second": hours, "is_fraud": hours == 3 * 3600.0})
    assert v.hourly_peak(rows) == pytest.approx(24.0)


def test_the_smallest_worlds_can_be_drawn():
    tables = difficulty.drawn(WorldConfig(transactions_per_day=100), 3)
    assert (tables["transactions"]["event_time"].dt.date.max() - CONFIG.start) == timedelta(days=2)
