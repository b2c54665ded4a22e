"""The lab's LightGBM settings: deterministic, known to LightGBM, and safe where its own defaults are not."""

from dataclasses import replace

import lightgbm
import numpy as np
from numpy.typing import NDArray

from pipelines.metrics import average_precision
from pipelines.training.parameters import SEARCH_SPACE, LightGBMParameters, candidates


def rare_frauds() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """30,000 payments, 0.2 % of them fraud, told apart by two of ten columns."""
    rng = np.random.default_rng(1)
    fraud = rng.random(30_000) < 0.002
    features = rng.normal(size=(30_000, 10))
    features[fraud, :2] += 3
    return features, fraud


def fitted(settings: dict[str, object], rounds: int) -> str:
    features, fraud = rare_frauds()
    booster = lightgbm.train(settings, lightgbm.Dataset(features[:15_000], fraud[:15_000], params=settings), rounds)
    return str(booster.model_to_string())


def score(model: str) -> float:
    features, fraud = rare_frauds()
    return average_precision(fraud[15_000:], lightgbm.Booster(model_str=model).predict(features[15_000:], raw_score=True))


def test_one_seed_gives_one_model_to_the_last_bit_and_another_seed_another() -> None:
    parameters = LightGBMParameters()
    first, again, other = (fitted(parameters.to_lightgbm(seed=seed), 20) for seed in (1, 1, 2))
    assert first == again != other


def test_every_setting_is_one_that_lightgbm_knows() -> None:
    settings = LightGBMParameters().to_lightgbm(seed=1)
    used = fitted(settings, 2).partition("parameters:")[2]
    for name in set(settings) - {"verbosity", "metric"}:
        assert f"[{name}: " in used, name


def test_rare_frauds_are_found_where_lightgbms_defaults_lose_them() -> None:
    ours = score(fitted(LightGBMParameters().to_lightgbm(seed=1), 200))
    defaults = score(fitted({"objective": "binary", "num_threads": 1, "deterministic": True, "verbosity": -1, "seed": 1}, 100))
    assert ours > defaults + 0.1


def test_candidates_are_seeded_different_and_start_with_the_labs_own() -> None:
    start = replace(LightGBMParameters(), rounds=50)
    found = candidates(9, 3, start)
    assert found == candidates(9, 3, start) != candidates(9, 4, start)
    assert found[0] == start
    assert len(set(found)) == 9
    for candidate in found[1:]:
        for name, values in SEARCH_SPACE.items():
            assert getattr(candidate, name) in values
        assert replace(candidate, **{name: getattr(start, name) for name in SEARCH_SPACE}) == start


def test_asking_for_more_candidates_than_there_are_gives_them_all() -> None:
    assert len(candidates(10_000, 1)) == np.prod([len(values) for values in SEARCH_SPACE.values()])
