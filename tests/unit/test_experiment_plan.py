"""Planned sizes keep their word: simulated experiments of that size find the effect as often as planned, and no oftener in vain."""

import math

import numpy as np
import pytest

from data.errors import BadInput
from pipelines.experiments.plan import Traffic, designs
from pipelines.experiments.power import (
    Coin,
    Question,
    mean_once,
    mean_sequential,
    paired_coin,
    paired_once,
    sequential,
    split_coin,
    split_once,
)
from pipelines.rollout.sequential import MeanTest, OddsTest, rejects

RUNS = 4_000
Z95 = 1.6449
QUESTIONS = [Question(0.0025, -0.2), Question(0.3, 0.1, share=0.2), Question(0.02, -0.4, alpha=0.01, power=0.9)]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("real", [True, False])
def test_a_split_looked_at_once_has_the_planned_power_and_level(question: Question, real: bool) -> None:
    random, total = np.random.default_rng(1), math.ceil(split_once(question))
    n1 = round(total * question.share)
    n0, p0, p1 = total - n1, question.base_rate, question.changed_rate if real else question.base_rate
    x1, x0 = random.binomial(n1, p1, RUNS), random.binomial(n0, p0, RUNS)
    pooled = (x1 + x0) / total
    z = (x1 / n1 - x0 / n0) / np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n0)) * np.sign(question.effect)
    edge = {0.05: Z95, 0.01: 2.3263}[question.alpha]
    assert (z > edge).mean() == pytest.approx(question.power if real else question.alpha, abs=0.025)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_paired_shadow_looked_at_once_has_the_planned_power(question: Question) -> None:
    random, payments = np.random.default_rng(2), math.ceil(paired_once(question))
    coin = paired_coin(question)
    theirs, ours = coin.rate * coin.chance, coin.rate * (1 - coin.chance)
    b, c, _ = random.multinomial(payments, [theirs, ours, 1 - theirs - ours], RUNS).T
    z = (b - c) / np.sqrt(np.maximum(b + c, 1)) * np.sign(question.effect)
    assert (z > {0.05: Z95, 0.01: 2.3263}[question.alpha]).mean() == pytest.approx(question.power, abs=0.05)


def stops(coin: Coin, odds: float, alpha: float, runs: int, most: int) -> np.ndarray:
    """Coins until the product's test rejects, looked at after each; `most` where it has not."""
    random, found = np.random.default_rng(3), []
    for heads in random.random((runs, most)) < coin.chance:
        test, count = OddsTest.against((odds,)), 0
        while count < most and not rejects(test.log_e, alpha):
            test = test.add(int(heads[count]), int(not heads[count]), coin.null)
            count += 1
        found.append(count)
    return np.array(found)


@pytest.mark.parametrize("coin_of", [split_coin, paired_coin])
def test_the_sequential_test_of_the_product_ends_when_the_plan_says(coin_of: object) -> None:
    question = Question(0.0025, -0.3)
    coin = coin_of(question)  # type: ignore[operator]
    planned = sequential(question, coin) * coin.rate
    found = stops(coin, coin.odds, question.alpha, runs=400, most=math.ceil(2 * planned))
    assert (found <= planned).mean() == pytest.approx(question.power, abs=0.06)
    assert np.median(found) == pytest.approx(sequential(question, coin, finished=0.5) * coin.rate, rel=0.15)


def test_the_betting_test_of_money_ends_about_when_the_plan_says() -> None:
    random, change, sd, bound = np.random.default_rng(4), 0.08, 1.0, 6.0
    planned = math.ceil(mean_sequential(change, sd**2, bound, 0.05, 0.8))
    done = []
    for _ in range(150):
        values = np.clip(random.normal(change, sd, planned), -bound, None)
        test, ended = MeanTest(bound), False
        for first in range(0, planned, 50):
            test = test.add(values[first : first + 50])
            ended = ended or rejects(test.log_e, 0.05)
        done.append(ended)
    assert 0.75 <= np.mean(done) <= 0.99


def test_the_size_for_a_mean_is_the_textbook_one_and_infinite_for_no_effect() -> None:
    assert mean_once(0.1, 1.0, 0.05, 0.8) == pytest.approx(618.3, abs=0.2)  # (1.6449 + 0.8416)² / 0.01
    assert mean_once(0.0, 1.0, 0.05, 0.8) == mean_sequential(0.0, 1.0, 1.0, 0.05, 0.8) == math.inf


def test_pairs_need_fewer_payments_the_more_the_models_share() -> None:
    sizes = [paired_once(Question(0.0025, -0.2, overlap=overlap)) for overlap in (0.0, 0.5, 0.9)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < split_once(Question(0.0025, -0.2)) / 5


def test_a_plan_waits_for_its_last_labels() -> None:
    question = Question(0.01, -0.5)
    soon, late = (designs(question, Traffic(1_000, delay)) for delay in (0, 30))
    assert [one.days + 30 for one in soon] == [one.days for one in late]
    assert [one.payments for one in soon] == [one.payments for one in late]


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"base_rate": 0.0}, "base-rate"),
        ({"base_rate": math.nan}, "base-rate"),
        ({"effect": 0.0}, "effect"),
        ({"effect": -1.5}, "effect"),
        ({"base_rate": 0.6, "effect": 1.0}, "effect"),
        ({"alpha": 0.5}, "alpha"),
        ({"power": 0.04}, "power"),
        ({"share": 1.0}, "share"),
        ({"overlap": 1.1}, "overlap"),
        ({"design_effect": 0.5}, "design-effect"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_the_name_of_its_option(changed: dict[str, float], where: str) -> None:
    with pytest.raises(BadInput) as refused:
        Question(**({"base_rate": 0.01, "effect": -0.2} | changed))
    assert refused.value.where == where


@pytest.mark.parametrize(("per_day", "delay", "where"), [(0.0, 7.0, "traffic"), (math.inf, 7.0, "traffic"), (10.0, -1.0, "label-delay")])
def test_traffic_that_makes_no_sense_is_refused(per_day: float, delay: float, where: str) -> None:
    with pytest.raises(BadInput) as refused:
        Traffic(per_day, delay)
    assert refused.value.where == where
