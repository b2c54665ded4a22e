"""Probabilities that can be multiplied with money, and the threshold chosen with them."""

import numpy as np
import pytest

from data.costs import DecisionCosts
from pipelines.metrics import brier, expected_calibration_error, money_saved_per_thousand
from pipelines.training.calibrate import fit_platt
from pipelines.training.threshold import choose_threshold

RNG = np.random.default_rng(5)
TRUE_MARGIN = RNG.normal(-4, 2, 60_000)
IS_FRAUD = RNG.random(60_000) < 1 / (1 + np.exp(-TRUE_MARGIN))
AMOUNT = RNG.lognormal(4, 1, 60_000)


def test_calibration_of_true_log_odds_changes_next_to_nothing() -> None:
    found = fit_platt(TRUE_MARGIN, IS_FRAUD)
    assert found.slope == pytest.approx(1, abs=0.05)
    assert found.intercept == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize(("stretch", "shift"), [(2.5, -3.0), (0.08, 30.0), (1000.0, 5.0)])
def test_calibration_undoes_any_stretch_and_shift_of_the_margin(stretch: float, shift: float) -> None:
    distorted = TRUE_MARGIN * stretch + shift
    expected = fit_platt(TRUE_MARGIN, IS_FRAUD).probabilities(TRUE_MARGIN)
    np.testing.assert_allclose(fit_platt(distorted, IS_FRAUD).probabilities(distorted), expected, rtol=1e-6)


def test_calibration_keeps_the_ranking_and_lowers_the_brier_score() -> None:
    distorted = 2 * TRUE_MARGIN + 5  # what class weights do
    found = fit_platt(distorted, IS_FRAUD)
    p = found.probabilities(distorted)
    raw = 1 / (1 + np.exp(-distorted))
    assert np.array_equal(np.argsort(p, kind="stable"), np.argsort(distorted, kind="stable"))
    assert brier(IS_FRAUD, p) < 0.8 * brier(IS_FRAUD, raw)
    assert expected_calibration_error(IS_FRAUD, p) < 0.003


def test_perfectly_separated_rows_still_calibrate_to_finite_numbers() -> None:
    margin = np.concatenate([np.full(50, -3.0), np.full(5, 2.0)])
    found = fit_platt(margin, margin > 0)
    assert np.isfinite([found.slope, found.intercept]).all()
    assert 0.5 < found.probability(2.0) < 1.0


def test_the_threshold_saves_most_among_those_the_team_can_keep_up_with() -> None:
    p = 1 / (1 + np.exp(-TRUE_MARGIN))
    costs = DecisionCosts()
    choice = choose_threshold(IS_FRAUD, p, AMOUNT, costs=costs, capacity_per_thousand=20)
    assert choice.alerts_per_thousand <= 20
    for other in np.quantile(p, [0.981, 0.985, 0.99, 0.995, 0.999]):  # all within the capacity
        saved = money_saved_per_thousand(IS_FRAUD, p >= other, AMOUNT, costs)
        assert choice.saved_per_thousand >= saved - 0.02 * abs(saved)  # the curve keeps 400 of the thresholds


def test_a_larger_team_never_saves_less() -> None:
    p = 1 / (1 + np.exp(-TRUE_MARGIN))
    saved = [
        choose_threshold(IS_FRAUD, p, AMOUNT, costs=DecisionCosts(), capacity_per_thousand=capacity).saved_per_thousand
        for capacity in (1, 5, 20, 100, 1000)
    ]
    assert saved == sorted(saved)


def test_where_no_review_pays_for_itself_nothing_is_reviewed() -> None:
    p = 1 / (1 + np.exp(-TRUE_MARGIN))
    choice = choose_threshold(IS_FRAUD, p, AMOUNT, costs=DecisionCosts(review=1e6), capacity_per_thousand=20)
    assert choice.policy.review_at > p.max()
    assert choice.saved_per_thousand == 0


def test_declining_starts_where_the_costs_say_and_never_below_reviewing() -> None:
    p = 1 / (1 + np.exp(-TRUE_MARGIN))
    choice = choose_threshold(IS_FRAUD, p, AMOUNT, costs=DecisionCosts(review=3, false_decline=12), capacity_per_thousand=20)
    assert choice.policy.decline_at == pytest.approx(0.75)
    strict = choose_threshold(IS_FRAUD, p, AMOUNT, costs=DecisionCosts(review=11.9, false_decline=12), capacity_per_thousand=20)
    assert strict.policy.decline_at >= strict.policy.review_at
