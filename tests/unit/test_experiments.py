"""What experiments on scored payments and on simulated people show: right splits pass, broken ones do not, and every bias is measured."""

import numpy as np
import pytest

from data.costs import DecisionCosts
from data.errors import BadInput
from data.serving_plan import ServingPlan
from pipelines.experiments.aa import BROKEN, RIGHT, Replays, Splitter, aa_replays, card_positions, chi_square_p, draw_positions
from pipelines.experiments.bandit import Arms, fixed_split, mcnemar_power, paired_log, thompson
from pipelines.experiments.friction import friction, harsher
from pipelines.experiments.interference import LEVELS, Level, Rings, expected_measured, expected_through, interference
from pipelines.experiments.money_plan import money_plan
from pipelines.experiments.novelty import Adversaries, change_by_day, holdout_alarm, short_and_long
from pipelines.experiments.paired import compare, margins, paired_overlap
from pipelines.experiments.peeking import peeking
from pipelines.experiments.plan import Traffic
from pipelines.experiments.power import Question
from pipelines.experiments.scored import Decided, Scored, ratio_variance
from tests.experiments import DAYS, scored

COSTS = DecisionCosts()
PAYMENTS = scored()
DRAWN = draw_positions(PAYMENTS.cards, 80, seed=7)


def replays(splitter: Splitter, share: float = 0.3) -> Replays:
    return aa_replays(PAYMENTS, splitter, DRAWN, share=share, seed=7)


def test_replays_draw_the_cards_that_the_serving_plan_draws() -> None:
    plan = ServingPlan(1, "1", "2", "canary", 0.25, "aa-7-0")
    drawn = card_positions(PAYMENTS.cards, "aa-7-0") < 0.25
    assert drawn.tolist() == [plan.arm(card) == "challenger" for card in PAYMENTS.cards.tolist()]
    assert DRAWN[0].tolist() == card_positions(PAYMENTS.cards, "aa-7-0").tolist()


def test_a_right_split_and_test_show_nothing_where_nothing_is() -> None:
    found = replays(RIGHT)
    assert found.uniform > 0.01
    assert found.false.low <= 0.05 <= found.false.high
    assert found.covered.low <= 0.95 <= found.covered.high
    assert found.ratio_doubted.value == found.ratio_doubted_any_time.value == found.both_arms == 0
    assert found.kept == pytest.approx(0.3, abs=0.02)


def test_a_test_that_takes_alike_payments_for_independent_is_wrong_too_often() -> None:
    decision = (np.arange(len(PAYMENTS.cards)) % 5 == 0).astype(np.int8)[PAYMENTS.card]  # a card alerts always, or never
    alike = scored(models=(Decided("champion", PAYMENTS.champion.score, decision),))
    found = aa_replays(alike, RIGHT, DRAWN, share=0.5, seed=7)
    assert found.false_by_payment.low > 0.2
    assert found.false.low <= 0.05


def test_each_broken_split_shows_its_own_sign_and_passes_the_others() -> None:
    by_payment, unsalted, leaky = (replays(splitter) for splitter in BROKEN)
    assert by_payment.both_arms > 0.5
    assert by_payment.uniform > 0.01
    assert unsalted.uniform < 1e-6
    assert unsalted.kept == 1
    assert unsalted.ratio_doubted.value == 0
    assert leaky.ratio_doubted.value > 0.8
    assert leaky.ratio_doubted_any_time.value > 0.8
    assert leaky.uniform > 0.01


def test_the_sample_ratio_test_is_pearsons() -> None:
    assert chi_square_p(460, 540, 0.5) == pytest.approx(0.01141, abs=1e-5)  # scipy.stats.chisquare([460, 540])
    assert chi_square_p(100, 900, 0.1) == 1


def test_peeking_is_wrong_far_oftener_than_promised_and_the_always_valid_test_is_not() -> None:
    found = peeking(PAYMENTS, share=0.5, effect=-0.3, alpha=0.05, runs=300, seed=7)
    assert found.days == DAYS
    assert found.nothing.peeked.low > 0.1
    assert found.nothing.any_time.low <= 0.05
    assert found.nothing.one_look.low <= 0.05 <= found.nothing.one_look.high
    assert found.planted.any_time.value > 5 * found.nothing.any_time.value


def test_where_cards_pay_once_the_variance_is_the_plain_one() -> None:
    values = np.random.default_rng(1).normal(3, 2, 500)
    mean, variance = ratio_variance(values, np.ones(500))
    assert (mean, variance) == pytest.approx((values.mean(), values.var(ddof=1)))


def test_pairs_win_what_the_disagreements_leave() -> None:
    challenger = PAYMENTS.models[1]
    found = compare(PAYMENTS, challenger, COSTS, "at most 500 EUR", alpha=0.05, power=0.8, seed=7)
    assert found.loss_change.high < 0
    assert found.times.low > 2
    assert found.split_payments / found.paired_payments == pytest.approx(found.times.value, rel=1e-6)
    assert 0 < found.alerts_differ < 0.02
    assert 0.5 < paired_overlap(PAYMENTS, challenger) <= 1


def test_capping_what_a_fraud_counts_for_saves_payments_of_a_split() -> None:
    found = margins(PAYMENTS, PAYMENTS.models[1], COSTS, alpha=0.05, power=0.8, seed=7)
    sizes = [margin.split_payments for margin in found]
    assert sizes == sorted(sizes, reverse=True)


def test_a_plan_in_money_rests_on_the_measured_variances() -> None:
    found = money_plan(PAYMENTS, COSTS, Question(0.01, -0.2), Traffic(5_000, 7), seed=7)
    split, once, any_time = found.designs
    assert split.payments / once.payments == pytest.approx(2 * found.split_sd**2 / found.paired_sd**2)
    assert any_time.payments > once.payments
    assert found.split_price == pytest.approx(0.2 * found.loss * split.payments / 2)


@pytest.mark.parametrize("mobility", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("level", LEVELS)
def test_simulated_rings_do_what_the_recursion_says(level: Level, mobility: float) -> None:
    rings = Rings(0.5, 0.6, mobility)
    found = interference(rings, level, count=1_000, runs=100, seed=7)
    assert found.measured.value == pytest.approx(expected_measured(rings, level), abs=0.025)
    assert found.truth == pytest.approx(expected_measured(rings, "ring"))


def test_one_attempt_gets_through_unless_it_is_stopped() -> None:
    assert expected_through(Rings(0.5, 0.6, 0.3, attempts=1), 0.5) == 0.5
    assert expected_through(Rings(0.5, 0.6, 1.0, attempts=10), 0.4) == pytest.approx(6)  # a ring that never gives up tries them all


def test_moving_fraud_misleads_a_split_by_card_and_shared_catches_one_by_payment() -> None:
    moving, still = Rings(0.5, 0.6, 1.0), Rings(0.5, 0.6, 0.0)
    assert interference(moving, "card", count=2_000, runs=100, seed=7).misleads
    assert interference(still, "payment", count=2_000, runs=100, seed=7).misleads
    assert not any(interference(rings, "ring", count=2_000, runs=100, seed=7).misleads for rings in (moving, still))


def test_nobody_learns_where_the_challenger_answers_nobody() -> None:
    still = Adversaries(champion=(0.5, 0.5))
    assert np.ptp(change_by_day(still, 0.0, 28)) == pytest.approx(0)
    assert np.ptp(change_by_day(Adversaries(learning=0.0), 0.5, 28)) == pytest.approx(0)


def test_a_challenger_wins_on_day_1_loses_on_day_14_and_a_small_test_never_learns_of_it() -> None:
    half, tenth = (change_by_day(Adversaries(), share, 28) for share in (0.5, 0.1))
    assert half[0] < -0.2
    assert half[13] > 0.2
    assert tenth.max() < -0.2


def test_a_short_test_concludes_better_and_a_long_one_worse() -> None:
    week, month = short_and_long(Adversaries(), (7, 28), share=0.5, frauds_per_day=250, runs=200, seed=7)
    assert week.better.low > 0.8
    assert month.worse.low > 0.8
    alarm = holdout_alarm(Adversaries(), kept=0.05, days=28, frauds_per_day=250, runs=60, seed=7)
    assert 5 < alarm.value < 28


def test_a_harsher_policy_stops_more_fraud_and_trips_the_guardrail_on_honest_declines() -> None:
    found = friction(PAYMENTS, harsher(PAYMENTS), COSTS, seed=7)
    fraud, _, declined, _ = found.measures
    assert fraud.difference.high < 0
    assert declined.difference.low > 0
    assert found.honest_cards[1] > found.honest_cards[0]
    assert found.tripped_at is not None and found.tripped_at < len(PAYMENTS)


def test_the_guardrail_stays_silent_where_nothing_differs() -> None:
    assert friction(PAYMENTS, PAYMENTS.champion, COSTS, seed=7).tripped_at is None


@pytest.mark.parametrize(
    ("challenger", "delay", "traffic"), [(0.31, 7, 0.51), (0.34, 7, 0.70), (0.34, 30, 0.59), (0.25, 7, 0.17), (0.25, 30, 0.34)]
)
def test_thompson_sampling_sends_the_traffic_that_an_independent_simulation_found(challenger: float, delay: int, traffic: float) -> None:
    """To five points."""
    assert thompson(Arms(0.31, challenger, delay), runs=200, seed=7).traffic.value == pytest.approx(traffic, abs=0.055)


def test_late_labels_slow_a_bandit_down_and_cost_frauds() -> None:
    soon, late = (thompson(Arms(0.31, 0.25, delay), runs=100, seed=7) for delay in (7, 30))
    assert soon.lost.value < late.lost.value
    assert soon.right.value > late.right.value


def test_a_shadow_log_never_serves_a_worse_model_and_an_equal_one_rarely() -> None:
    assert paired_log(Arms(0.31, 0.25), runs=200, seed=7).traffic.value == 0
    assert paired_log(Arms(0.31, 0.31), runs=200, seed=7).wrong.low <= 0.05
    assert mcnemar_power(Arms(0.31, 0.34), runs=400, seed=7).value > 0.95
    assert fixed_split(Arms(0.31, 0.34), runs=400, seed=7).right.value < 0.7


def test_every_simulation_is_equal_for_an_equal_seed() -> None:
    assert thompson(Arms(0.31, 0.34), runs=30, seed=1) == thompson(Arms(0.31, 0.34), runs=30, seed=1)
    assert thompson(Arms(0.31, 0.34), runs=30, seed=1) != thompson(Arms(0.31, 0.34), runs=30, seed=2)
    assert replays(RIGHT).p_values.tolist() == replays(RIGHT).p_values.tolist()


@pytest.mark.parametrize("make", [
    lambda: Rings(1.0, 0.6, 0.5), lambda: Rings(0.5, 0.6, 2.0), lambda: Rings(0.5, 0.6, 0.5, attempts=0), lambda: Adversaries(learning=-1),
    lambda: Adversaries(champion=(0.5, 1.5)), lambda: Arms(0.0, 0.3), lambda: Arms(0.3, 0.3, delay_days=60),
    lambda: Arms(0.9, 0.9, overlap=0.1),
])  # fmt: skip
def test_people_and_models_that_cannot_be_are_refused(make: object) -> None:
    with pytest.raises(BadInput):
        make()  # type: ignore[operator]


def test_days_are_counted_from_the_first_payment() -> None:
    some: Scored = scored(cards=50)
    assert int(some.day.min()) == 0
    assert some.per_day == pytest.approx(len(some) / DAYS, rel=0.1)
