"""The metrics say what the field means by their names, on ties and on nothing."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from data.costs import DecisionCosts
from data.errors import BadInput, NotEnoughLabels
from pipelines import metrics

COSTS = DecisionCosts(chargeback_fee=15, review=3, false_decline=12)
ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=4, max_size=60).filter(
    lambda rows: len({fraud for fraud, _, _ in rows}) == 2
)


@given(ROWS)
def test_average_precision_and_auc_agree_with_scikit_learn_ties_and_weights_included(rows: list[tuple[bool, int, int]]) -> None:
    y, s, w = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert metrics.average_precision(y, s) == pytest.approx(average_precision_score(y, s))
    assert metrics.roc_auc(y, s) == pytest.approx(roc_auc_score(y, s))
    if (w * y).any() and (w * (1 - y)).any():
        assert metrics.average_precision(y, s, weights=w) == pytest.approx(average_precision_score(y, s, sample_weight=w))
        assert metrics.roc_auc(y, s, weights=w) == pytest.approx(roc_auc_score(y, s, sample_weight=w))


@given(ROWS)
def test_a_whole_weight_is_a_row_repeated(rows: list[tuple[bool, int, int]]) -> None:
    y, s, w = (np.array(column) for column in zip(*rows, strict=True))
    repeated = np.repeat(np.arange(len(y)), w)
    if not y[repeated].any():
        return
    for metric in (partial(metrics.recall_at_capacity, per_thousand=200), metrics.average_precision):
        assert metric(y, s, weights=w) == pytest.approx(metric(y[repeated], s[repeated]))


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_metric(rows: list[tuple[bool, int, int]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def measure(table: list[tuple[bool, int, int]]) -> list[float]:
        y, s, card = (np.array(column) for column in zip(*table, strict=True))
        day = card % 2
        return [
            metrics.average_precision(y, s),
            metrics.roc_auc(y, s),
            metrics.recall_at_capacity(y, s, 300),
            metrics.card_precision(y, s, card, day, k=2),
            metrics.expected_calibration_error(y, s / 6, bins=4),
        ]

    assert measure(rows) == pytest.approx(measure(shuffled))


def test_card_precision_takes_each_cards_highest_score_and_lets_caught_cards_leave() -> None:
    # Day 0: card 1 (best 0.9, fraud) and card 2 (0.8) are the top two. Day 1: card 1 has left, so 3 and 2 are; 3 is fraud.
    card = np.array([1, 1, 2, 3, 1, 2, 3, 4])
    day = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    score = np.array([0.1, 0.9, 0.8, 0.7, 0.99, 0.5, 0.6, 0.4])
    fraud = np.array([1, 0, 0, 0, 1, 0, 1, 0])
    assert metrics.card_precision(fraud, score, card, day, k=2) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_card_precision_divides_by_k_even_when_fewer_cards_paid_so_perfect_scores_stay_below_one() -> None:
    fraud, card, day = np.array([1, 0, 0]), np.array([5, 6, 7]), np.zeros(3, dtype=int)
    result = metrics.card_precision_at_k(fraud, np.array([0.1, 0.2, 0.3]), card, day, k=4)
    assert result == (pytest.approx(0.25), pytest.approx(0.25))
    assert metrics.card_precision_at_k(fraud, np.array([0.1, 0.2, 0.3]), card, day, k=1) == (0.0, 1.0)


def test_tied_cards_earn_nothing_by_luck() -> None:
    fraud = np.array([1, 0, 0, 0])
    assert metrics.card_precision(fraud, np.zeros(4), np.arange(4), np.zeros(4, dtype=int), k=3) == 0.0


def test_cards_may_be_named_by_text() -> None:
    fraud, score, day = np.array([1, 0, 1]), np.array([0.9, 0.5, 0.1]), np.array(["a", "a", "b"])
    named = metrics.card_precision(fraud, score, np.array(["x", "y", "y"]), day, k=1)
    assert named == metrics.card_precision(fraud, score, np.array([0, 1, 1]), day, k=1) == 1.0


def test_a_card_of_weight_two_counts_as_two_cards() -> None:
    fraud, score, card, day = np.array([1, 0, 0]), np.array([0.9, 0.5, 0.1]), np.arange(3), np.zeros(3, dtype=int)
    assert metrics.card_precision(fraud, score, card, day, k=4, weights=np.array([2, 1, 1])) == pytest.approx(2 / 4)
    assert metrics.card_precision(fraud, score, card, day, k=1, weights=np.array([2, 1, 1])) == pytest.approx(1.0)


def test_recall_at_capacity_takes_a_proportional_part_of_tied_rows() -> None:
    y, s = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0]), np.array([9, 5, 5, 5, 5, 1, 1, 1, 1, 1])
    assert metrics.recall_at_capacity(y, s, 100) == pytest.approx(0.5)
    assert metrics.recall_at_capacity(y, s, 300) == pytest.approx((1 + 2 / 4) / 2)
    assert metrics.recall_at_capacity(y, s, 1000) == 1.0


def test_brier_is_the_mean_squared_error() -> None:
    y, p = np.array([0, 1, 1, 0]), np.array([0.1, 0.8, 0.4, 0.0])
    assert metrics.brier(y, p) == pytest.approx(brier_score_loss(y, p))


def test_calibration_error_is_near_zero_for_honest_probabilities_and_grows_when_they_double() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(0.5, 20, 60_000)
    y = rng.random(len(p)) < p
    assert metrics.expected_calibration_error(y, p) < 0.003
    assert metrics.expected_calibration_error(y, np.minimum(1, 2 * p)) > 0.02
    curve = metrics.reliability(y, p, bins=10)
    assert curve.payments.sum() == len(p)
    assert (np.diff(curve.predicted) > 0).all()


def test_money_counts_amount_and_fee_of_caught_frauds_less_every_review() -> None:
    y, alert, amount = np.array([1, 1, 0, 0]), np.array([True, False, True, False]), np.array([100.0, 50.0, 10.0, 10.0])
    assert metrics.money_saved_per_thousand(y, alert, amount, COSTS) == pytest.approx(1000 * (100 + 15 - 3 - 3) / 4)


@given(ROWS)
def test_the_cost_curve_is_the_money_saved_at_each_of_its_thresholds(rows: list[tuple[bool, int, int]]) -> None:
    y, s, amount = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    curve = metrics.cost_curve(y, s, amount, COSTS)
    for threshold, alerts, saved in zip(*curve, strict=True):
        assert alerts == pytest.approx(1000 * np.mean(s >= threshold))
        assert saved == pytest.approx(metrics.money_saved_per_thousand(y, s >= threshold, amount, COSTS))


def test_the_cost_curve_keeps_to_its_number_of_points_and_ends_with_everything_alerted() -> None:
    rng = np.random.default_rng(0)
    curve = metrics.cost_curve(rng.random(5000) < 0.1, rng.random(5000), np.ones(5000), COSTS, points=50)
    assert len(curve.threshold) <= 50
    assert curve.alerts_per_thousand[-1] == pytest.approx(1000)


def test_the_interval_widens_when_frauds_of_a_card_come_together() -> None:
    rng = np.random.default_rng(5)
    cards = np.repeat(np.arange(400), 10)
    together = np.repeat(rng.random(400) < 0.05, 10)
    score = together * 0.5 + np.repeat(rng.random(400), 10)  # a card's payments look alike to a model
    by_card = metrics.bootstrap_interval(metrics.average_precision, together, score, groups=cards, seed=1)
    by_row = metrics.bootstrap_interval(metrics.average_precision, together, score, groups=np.arange(4000), seed=1)
    assert by_card.low < by_card.value < by_card.high
    assert by_card.high - by_card.low > 1.5 * (by_row.high - by_row.low)


def test_the_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(60):
        y = rng.random(600) < 0.3
        s = rng.normal(size=600) + y  # AUC of two unit normals one apart: Phi(1/sqrt 2) = 0.760
        interval = metrics.bootstrap_interval(metrics.roc_auc, y, s, groups=np.arange(600), seed=int(rng.integers(1 << 30)), n=120)
        held += interval.low <= 0.7602 <= interval.high
    assert 51 <= held <= 60  # 95 % of 60 is 57; fewer than 51 has a chance of 1 in 500


def test_equal_seeds_give_equal_intervals() -> None:
    rng = np.random.default_rng(2)
    y, s, g = rng.random(500) < 0.2, rng.random(500), rng.integers(0, 90, 500)
    first, again, other = (metrics.bootstrap_interval(metrics.roc_auc, y, s, groups=g, seed=seed, n=50) for seed in (1, 1, 2))
    assert first == again != other


def test_a_score_never_differs_from_itself_and_a_slightly_better_one_shows_when_paired() -> None:
    rng = np.random.default_rng(7)
    y, g = rng.random(20_000) < 0.03, rng.integers(0, 2000, 20_000)
    score = rng.normal(size=20_000) + 1.5 * y
    better = score + 0.25 * y
    assert metrics.paired_difference(metrics.average_precision, y, score, score, groups=g, seed=1, n=50) == (0, 0, 0)
    paired = metrics.paired_difference(metrics.average_precision, y, better, score, groups=g, seed=1, n=100)
    alone = metrics.bootstrap_interval(metrics.average_precision, y, better, groups=g, seed=1, n=100)
    assert paired.low > 0
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_a_bootstrap_passes_further_row_arrays_in_step_with_the_scores() -> None:
    rng = np.random.default_rng(4)
    card, day = rng.integers(0, 40, 800), rng.integers(0, 3, 800)
    y = rng.random(800) < 0.1
    metric = partial(metrics.card_precision, k=10)
    interval = metrics.bootstrap_interval(metric, y, rng.random(800), card, day, groups=card, seed=1, n=40)
    perfect = metrics.paired_difference(metric, y, y.astype(float), rng.random(800), card, day, groups=card, seed=1, n=40)
    assert interval.low <= interval.value <= interval.high
    assert perfect.low > 0


def test_too_few_frauds_for_a_bootstrap_are_named_as_such() -> None:
    y = np.zeros(50)
    y[0] = 1  # on a third of the resamples the only fraud is not drawn
    with pytest.raises(NotEnoughLabels, match="resamples held enough frauds"):
        metrics.bootstrap_interval(metrics.average_precision, y, np.arange(50), groups=np.arange(50), seed=1)


@pytest.mark.parametrize(
    ("y", "s", "error", "sentence"),
    [
        ([0, 1], [0.5, np.nan], BadInput, "not a finite number"),
        ([0, 1], [0.5, np.inf], BadInput, "not a finite number"),
        ([0, 2], [0.5, 0.6], BadInput, "must be 0 or 1"),
        ([0, np.nan], [0.5, 0.6], BadInput, "must be 0 or 1"),
        ([0, 1], [0.5], BadInput, "one value per row"),
        ([[0, 1]], [[0.5, 0.4]], BadInput, "one value per row"),
        ([], [], BadInput, "no rows"),
        ([0, 0], [0.5, 0.6], NotEnoughLabels, "at least a fraud"),
    ],
)
@pytest.mark.parametrize("metric", [metrics.average_precision, metrics.roc_auc])
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    metric: object, y: list[float], s: list[float], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        metric(y, s)  # type: ignore[operator]


def test_auc_needs_a_genuine_payment_too() -> None:
    with pytest.raises(NotEnoughLabels, match="genuine"):
        metrics.roc_auc([1, 1], [0.1, 0.2])


@pytest.mark.parametrize("metric", [metrics.brier, metrics.expected_calibration_error, metrics.reliability])
def test_a_margin_is_not_taken_for_a_probability(metric: object) -> None:
    with pytest.raises(BadInput, match="outside 0 to 1"):
        metric([0, 1], [-2.0, 3.0])  # type: ignore[operator]
