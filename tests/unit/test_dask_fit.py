"""The fit on Dask workers beside the fit on one machine, where it stops, and what it says when a worker is lost."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from data.errors import ClusterFailed
from pipelines.metrics import average_precision
from pipelines.training.boost import fit_trees, margins
from pipelines.training.dask_fit import Cluster, best_round, connected, fit_on_workers
from pipelines.training.fit import fit_models
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.request import Recipe
from pipelines.training.resample import Rows
from tests.tables import signal_table

PARAMETERS = LightGBMParameters(rounds=60, learning_rate=0.1, max_bin=63)
PARTS = {"train": signal_table(8_000, seed=1), "validation": signal_table(3_000, seed=2), "test": signal_table(3_000, seed=3)}
TRAIN, JUDGE = (Rows(table.features, table.is_fraud, table.weight) for table in (PARTS["train"], PARTS["validation"]))
NETWORK_AND_STOPPING = {
    "tree_learner", "num_machines", "local_listen_port", "machines", "time_out", "num_threads", "num_iterations", "metric", "pre_partition",
    "early_stopping_round", "first_metric_only",
}  # fmt: skip
HOW = {"stop_after": 10, "seed": 7}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with connected(Cluster(workers=2, threads=2)) as client:
        yield Cluster(2, 2, client.scheduler.address)


def test_two_workers_fit_as_well_as_one_machine_and_with_the_same_settings(cluster: Cluster) -> None:
    one, two = _fits(partial(fit_trees, threads=1)), _fits(partial(fit_on_workers, cluster=cluster))
    here, there = ([average_precision(PARTS["test"].is_fraud, margins(fit, PARTS["test"].features)) for fit in fits] for fits in (one, two))
    assert abs(np.mean(here) - np.mean(there)) < 3 * np.std(here) + 0.01
    _same_settings(one[0], two[0])


def _same_settings(one: Any, two: Any) -> None:
    """Apart from those of the network and of stopping."""
    written = set(_settings(one)) & set(_settings(two))
    assert {"lambda_l2", "min_sum_hessian_in_leaf", "bagging_freq", "feature_fraction", "max_bin", "objective"} <= written
    differ = {name for name in written if _settings(one)[name] != _settings(two)[name]}
    assert differ <= NETWORK_AND_STOPPING


def test_nothing_is_printed_and_both_workers_had_a_share(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    two = fit_on_workers(TRAIN, JUDGE, PARAMETERS, cluster=cluster, **HOW)
    assert (_settings(two)["tree_learner"], _settings(two)["num_machines"]) == ("data", "2")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("stop_after", [3, 10, 1000])
def test_the_best_round_is_where_early_stopping_ends(stop_after: int) -> None:
    stopped = fit_trees(TRAIN, JUDGE, PARAMETERS, stop_after=stop_after, seed=7, threads=1)
    whole = _without_stopping(PARAMETERS)
    assert best_round(whole, JUDGE, stop_after) == stopped.num_trees()


def test_a_recipe_that_names_workers_is_fitted_by_them(cluster: Cluster) -> None:
    recipe = Recipe(parameters=PARAMETERS, candidates=1, genuine_rows=4_000, search_genuine_rows=1_000, early_stopping_rounds=10)
    here = fit_models(PARTS, recipe, threads=1)
    there = fit_models(PARTS, replace(recipe, workers=2), threads=1, dask_address=cluster.address)
    assert "[tree_learner: data]" in there.booster_text
    assert "[tree_learner: serial]" in here.booster_text
    assert {model: list(parts) for model, parts in there.margins.items()} == {model: list(parts) for model, parts in here.margins.items()}


def test_a_scheduler_that_is_away_or_has_too_few_workers_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.training.dask_fit._CONNECT_S", 1)
    for unfit in (Cluster(2, 2, "tcp://127.0.0.1:9"), replace(cluster, workers=3)):
        with pytest.raises(ClusterFailed, match=rf"{unfit.workers} workers answers at {unfit.address}.*LAB_DASK_ADDRESS"), connected(unfit):
            pass


def test_a_worker_that_dies_ends_the_fit_with_a_sentence() -> None:
    long = replace(PARAMETERS, rounds=20_000)
    with connected(Cluster(workers=2, threads=2)) as client:
        victim = client.run(os.getpid)[sorted(client.ncores())[0]]
        killer = threading.Thread(target=_kill_when_busy, args=(client, victim))
        killer.start()
        with pytest.raises(ClusterFailed, match=r"fit on workers \(2 of them\) failed"):
            fit_on_workers(TRAIN, JUDGE, long, cluster=Cluster(2, 2, client.scheduler.address), **HOW)
        killer.join()


def _fits(fit: Callable[..., Any]) -> list[Any]:
    return [fit(TRAIN, JUDGE, PARAMETERS, stop_after=20, seed=seed) for seed in (1, 2, 3)]


def _kill_when_busy(client: Any, process: int) -> None:
    """Kill the worker once both are fitting."""
    while len(_fitting(client)) < 2:
        time.sleep(0.1)
    time.sleep(0.5)
    os.kill(process, signal.SIGKILL)


def _fitting(client: Any) -> list[str]:
    return [worker for worker, keys in client.processing().items() if any("_train_part" in str(key) for key in keys)]


def _settings(booster: Any) -> dict[str, str]:
    return dict(re.findall(r"^\[(\w+): (.*)\]$", booster.model_to_string(), re.M))


def _without_stopping(parameters: LightGBMParameters) -> Any:
    import lightgbm

    from data.features import CATEGORICAL_FEATURES, FEATURES

    settings = parameters.to_lightgbm(seed=7, threads=1)
    rows = lightgbm.Dataset(
        TRAIN.features, TRAIN.is_fraud, weight=TRAIN.weights, params=settings, feature_name=list(FEATURES),
        categorical_feature=list(CATEGORICAL_FEATURES),
    )  # fmt: skip
    return lightgbm.train(settings, rows, num_boost_round=parameters.rounds)
