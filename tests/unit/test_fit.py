"""Fitting the three models: determinism, what each resampling does, and what is kept on disk."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from data.features import FEATURE_INDEX
from pipelines.metrics import average_precision
from pipelines.training.baselines import fit_logistic, logistic_margin, rules_margin
from pipelines.training.boost import fit_best, fit_trees, gain_shares, load_booster, margins, search
from pipelines.training.fit import fit_models, load_or_fit
from pipelines.training.imbalance import compare_resampling
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.request import Recipe
from pipelines.training.resample import SMOTE_SHARE, UNDER_SAMPLED_SHARE, Rows, rebalance, thin_genuine
from pipelines.training.table import TrainingTable
from tests.tables import signal_table

RECIPE = Recipe(
    parameters=LightGBMParameters(rounds=40, learning_rate=0.1, max_bin=63), candidates=2, genuine_rows=3_000, search_genuine_rows=1_000
)
PARTS = {"train": signal_table(seed=1), "validation": signal_table(2_000, seed=2), "test": signal_table(2_000, seed=3)}
ON_ONE = partial(fit_trees, threads=1)
ROWS = thin_genuine(PARTS["train"], 10**9, 0)


def test_the_same_seed_makes_the_same_trees_and_another_seed_does_not() -> None:
    texts = [
        fit_best(PARTS["train"], PARTS["validation"], RECIPE.parameters, replace(RECIPE, seed=seed), ON_ONE).model_to_string()
        for seed in (7, 7, 8)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_model_survives_its_text_to_the_last_bit() -> None:
    booster = fit_best(PARTS["train"], PARTS["validation"], RECIPE.parameters, RECIPE, ON_ONE)
    again = load_booster(booster.model_to_string())
    assert np.array_equal(margins(booster, PARTS["test"].features), margins(again, PARTS["test"].features))


def test_the_search_tries_different_settings_and_puts_the_best_first() -> None:
    trials = search(PARTS["train"], PARTS["validation"], replace(RECIPE, candidates=3), threads=1)
    assert len({trial.parameters for trial in trials}) == 3
    assert [t.average_precision for t in trials] == sorted((t.average_precision for t in trials), reverse=True)


def test_the_features_that_carry_the_signal_lead_the_importances() -> None:
    booster = fit_best(PARTS["train"], PARTS["validation"], RECIPE.parameters, RECIPE, ON_ONE)
    shares = gain_shares(booster)
    assert shares[0][0] == "card_count_1h"
    assert sum(share for _, share in shares) == pytest.approx(1)


def test_logistic_regression_takes_missing_numbers_and_levels_it_never_saw() -> None:
    model = fit_logistic(ROWS)
    strange = PARTS["test"].features.copy()
    strange[:, 3:5] = -1
    strange[0] = np.nan
    assert np.isfinite(logistic_margin(model, strange)).all()
    assert average_precision(PARTS["test"].is_fraud, logistic_margin(model, PARTS["test"].features)) > 0.3


def test_the_rules_rank_every_row_with_a_finite_margin() -> None:
    assert np.isfinite(rules_margin(PARTS["test"].features)).all()


def test_thinning_keeps_every_fraud_and_the_true_fraud_share_by_weight() -> None:
    table = PARTS["train"]
    thin = thin_genuine(table, 1_000, seed=3)
    assert thin.is_fraud.sum() == table.is_fraud.sum()
    assert (~thin.is_fraud).sum() == pytest.approx(1_000, rel=0.1)
    share = thin.weights[thin.is_fraud].sum() / thin.weights.sum()
    assert share == pytest.approx(table.is_fraud.mean(), rel=0.1)


def test_class_weights_make_both_classes_weigh_the_same() -> None:
    rows = rebalance(ROWS, "class_weights", 0)
    assert rows.weights[rows.is_fraud].sum() == pytest.approx(rows.weights[~rows.is_fraud].sum())


def test_under_sampling_reaches_its_share_without_losing_a_fraud() -> None:
    rows = rebalance(ROWS, "under_sampling", 0)
    assert rows.is_fraud.sum() == ROWS.is_fraud.sum()
    assert rows.is_fraud.mean() == pytest.approx(UNDER_SAMPLED_SHARE, rel=0.05)


def test_smote_adds_frauds_up_to_its_share_and_invents_no_level() -> None:
    scarce = Rows(ROWS.features, ROWS.is_fraud & (np.arange(len(ROWS.is_fraud)) % 4 == 0), ROWS.weights)
    rows = rebalance(scarce, "smote", 0)
    assert rows.is_fraud.sum() == pytest.approx(SMOTE_SHARE * (~rows.is_fraud).sum(), rel=0.02)
    assert (~rows.is_fraud).sum() == (~scarce.is_fraud).sum()
    assert set(np.unique(rows.features[:, 4])) <= set(
        np.unique(np.nan_to_num(scarce.features[:, 4], nan=np.nanmedian(scarce.features[:, 4])))
    )
    assert np.isfinite(rows.features).all()


def test_class_weights_spoil_the_probabilities_far_beyond_the_noise_of_the_seed() -> None:
    effects = {e.method: e for e in compare_resampling(*PARTS.values(), RECIPE, seeds=(1, 2), threads=1)}
    plain, weighted = effects["none"].calibration_error, effects["class_weights"].calibration_error
    assert weighted[0] > 3 * plain[0] + 3 * (plain[1] + weighted[1])


def test_smote_is_judged_on_rows_filled_as_those_it_learned_from() -> None:
    train, validation, test = (_low_is_fraud_half_missing(signal_table(4_000, seed=seed, fraud_share=0.02)) for seed in (1, 2, 3))
    effects = {e.method: e for e in compare_resampling(train, validation, test, RECIPE, seeds=(1,), threads=1)}
    assert effects["smote"].average_precision[0] > 0.8 * effects["none"].average_precision[0]


def test_a_fit_is_kept_whole_and_read_back_equal(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "abc"
    first = load_or_fit(folder, PARTS, RECIPE, 1)
    again = load_or_fit(folder, {}, RECIPE, 1)  # no rows: a second fit would fail
    assert (again.booster_text, again.parameters, again.trials, again.importances, again.training_ap) == (
        first.booster_text, first.parameters, first.trials, first.importances, first.training_ap,
    )  # fmt: skip
    assert all(np.array_equal(again.margins[m][p], first.margins[m][p]) for m in first.margins for p in first.margins[m])
    assert [path.name for path in folder.parent.iterdir()] == ["abc"]


def test_trees_that_are_kept_answer_as_before_whatever_the_new_rows_are() -> None:
    old = fit_models(PARTS, RECIPE, threads=1)
    parts = PARTS | {"train": signal_table(seed=4)}
    kept = fit_models(parts, replace(RECIPE, trees_of="1"), threads=1, trees=old.booster_text)
    assert (kept.booster_text, kept.parameters.rounds) == (old.booster_text, old.parameters.rounds)
    for part in ("validation", "test"):
        assert np.array_equal(kept.margins["lightgbm"][part], old.margins["lightgbm"][part])
    assert kept.training_ap["logistic"] != old.training_ap["logistic"], "the baselines are fitted to the new rows"


def test_boosting_beats_both_baselines_where_there_is_something_to_learn() -> None:
    fitted = fit_models(PARTS, RECIPE, threads=1)
    reached = {name: average_precision(PARTS["test"].is_fraud, fitted.margins[name]["test"]) for name in fitted.margins}
    assert reached["lightgbm"] > reached["rules"]
    assert fitted.training_ap["lightgbm"] > fitted.training_ap["logistic"]


def _low_is_fraud_half_missing(table: TrainingTable) -> TrainingTable:
    """Card ages of frauds lie near 0, of others near 10, and half are missing: taken for 0, those all look like fraud."""
    rng = np.random.default_rng(len(table))
    ages = np.where(table.is_fraud, 0.0, 10.0) + rng.normal(size=len(table))
    features = table.features.copy()
    features[:, FEATURE_INDEX["card_age_days"]] = np.where(rng.random(len(table)) < 0.5, np.nan, ages)
    return replace(table, features=features)
