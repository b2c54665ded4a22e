"""Fit LightGBM on several Dask workers, each holding its share of the rows. The only file that imports Dask.

The workers find the splits together (LightGBM's data-parallel learner): each sends sums per bin, none sends rows, so a
fit may take more rows than one worker has memory for. This process reads the rows and deals them out. Two such fits sum
in another order and may differ in the last digits, hence now and then in a split.

A worker needs some three times its share: the rows as they came, once more in one piece, and their bins.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.errors import ClusterFailed, MissingLibrary
from data.features import CATEGORICAL_FEATURES, FEATURES
from pipelines.metrics import average_precision
from pipelines.training.boost import load_booster
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.resample import Rows

PART_ROWS: Final = 50_000  # sent at once: some 20 MB
_CONNECT_S: Final = 15
_CONFIGURATION: Final = Path(__file__).with_name("dask.yaml")


@dataclass(frozen=True)
class Cluster:
    """Who fits: `workers` of those of the scheduler at `address`, or that many processes of this machine."""

    workers: int
    threads: int  # of this machine; its own workers share them
    address: str = ""  # tcp://host:port
    memory_limit: int | str = "auto"  # bytes, of each worker of this machine, which is killed beyond it; auto: a fair part of all


def fit_on_workers(train: Rows, judge: Rows, parameters: LightGBMParameters, *, stop_after: int, seed: int, cluster: Cluster) -> Any:
    """As `boost.fit_trees`, on the `cluster`. Raises ClusterFailed, or MissingLibrary where Dask is not installed.

    LightGBM cannot stop early on workers: all rounds are fitted, and cut back to where early stopping would have.
    """
    with connected(cluster) as client:
        booster = _fit(client, train, parameters, seed, cluster.workers)
    return load_booster(booster.model_to_string(num_iteration=best_round(booster, judge, stop_after)))


def best_round(booster: Any, judge: Rows, stop_after: int) -> int:
    """How many trees early stopping keeps: those up to the best average precision on `judge`, once `stop_after` more gained nothing."""
    margin, best, kept = np.zeros(len(judge.is_fraud)), -1.0, 0
    for tree in range(booster.num_trees()):
        margin += booster.predict(judge.features, raw_score=True, start_iteration=tree, num_iteration=1)
        reached = average_precision(judge.is_fraud, margin, weights=judge.weights)
        if reached > best:
            best, kept = reached, tree + 1
        elif tree + 1 - kept >= stop_after:
            break
    return kept


def check_cluster(cluster: Cluster) -> None:
    """Raise as `fit_on_workers` does where it could not begin: before rows are made for it."""
    _require_dask()
    if cluster.address:
        with connected(cluster):
            pass


@contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """A Dask client of the cluster once it has its workers; those that were started here end with it. Raises as `fit_on_workers`."""
    _require_dask()
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        address = cluster.address
        if not address:
            ours = dask.config.merge(dask.config.config, *dask.config.collect_yaml([str(_CONFIGURATION)]))
            stack.enter_context(dask.config.set(distributed=ours["distributed"]))
            logging.getLogger("distributed").setLevel(logging.WARNING)  # else it tells of its own end
            local = LocalCluster(
                n_workers=cluster.workers,
                threads_per_worker=max(1, cluster.threads // cluster.workers),
                memory_limit=cluster.memory_limit,
                host="127.0.0.1",
                dashboard_address=":0",
                silence_logs=logging.WARNING,
            )
            address = stack.enter_context(local).scheduler_address
        try:
            client = stack.enter_context(Client(address, timeout=_CONNECT_S, set_as_default=False))
            client.wait_for_workers(cluster.workers, timeout=_CONNECT_S)
            if not cluster.address:
                client.run(_print_nothing)
        except OSError as error:  # TimeoutError is one
            raise ClusterFailed(
                f"No Dask cluster with {cluster.workers} workers answers at {address} within {_CONNECT_S} s.",
                next_step="Start it (on the stack: docker compose --profile dask up -d --wait), ask for fewer --workers, or unset "
                "LAB_DASK_ADDRESS to fit on this machine.",
                where="LAB_DASK_ADDRESS",
            ) from error
        yield client


def _require_dask() -> None:
    missing = [name for name in ("dask", "distributed") if find_spec(name) is None]
    if missing:
        raise MissingLibrary(
            f"Training on workers needs {missing[0]}, which is not installed.",
            next_step="`make install` installs it; elsewhere the package's extra “dist” does.",
            where=missing[0],
        )


def _fit(client: Any, train: Rows, parameters: LightGBMParameters, seed: int, workers: int) -> Any:
    """All rounds, fitted on the client's first `workers`; whatever one of them dies of is a ClusterFailed."""
    from lightgbm import DaskLGBMClassifier, register_logger

    register_logger(_quiet())  # it prints how it looks for ports, and what is printed here may be somebody's JSON
    settings = parameters.to_lightgbm(seed=seed)
    del settings["num_threads"]  # each worker's own
    model = DaskLGBMClassifier(client=client, n_estimators=parameters.rounds, **settings)
    try:
        with client.as_current(), warnings.catch_warnings():  # Dask's own helpers look for the client there
            warnings.filterwarnings("ignore", "Parameter n_jobs will be ignored")  # said of a default that nobody set
            features, labels, weights = _deal(client, train, sorted(client.ncores())[:workers])
            model.fit(features, labels, sample_weight=weights, feature_name=list(FEATURES), categorical_feature=list(CATEGORICAL_FEATURES))
            return model.booster_
    except Exception as error:  # a dozen kinds: Dask's, LightGBM's, the network's
        raise ClusterFailed(
            f"The fit on workers ({workers} of them) failed: {_first_line(error)}",
            next_step="Most often a worker ran out of memory; its log says so (on the stack: docker compose logs dask-worker). "
            "More --workers have smaller shares.",
            where="fit",
        ) from error


def _quiet() -> logging.Logger:
    logger = logging.getLogger("lightgbm")
    logger.setLevel(logging.ERROR)
    return logger


def _print_nothing() -> None:
    """On a worker of this machine, whose standard output is ours: LightGBM's library writes there how it connects."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _first_line(error: Exception) -> str:
    told = str(error).strip().splitlines()
    return f"{type(error).__name__}: {told[0][:200] if told else 'no reason given'}"


def _deal(client: Any, rows: Rows, workers: list[str]) -> tuple[Any, ...]:
    """Features, labels and weights as Dask arrays, whose parts lie on the workers in turn.

    Every worker gets rows of all times, as LightGBM takes a feature's bins from what one worker has of it.
    """
    import dask.array

    count = len(rows.is_fraud)
    shares = len(workers) * -(-count // (PART_ROWS * len(workers)))
    parts = [slice(first, None, shares) for first in range(shares)]
    homes = [workers[i % len(workers)] for i in range(shares)]

    def send(values: NDArray[Any]) -> Any:
        return dask.array.concatenate(
            [_at(client, np.ascontiguousarray(values[part]), home) for part, home in zip(parts, homes, strict=True)]
        )

    return send(rows.features), send(rows.is_fraud), send(rows.weights)


def _at(client: Any, values: NDArray[Any], worker: str) -> Any:
    """One chunk of a Dask array, kept on that worker."""
    import dask
    import dask.array

    kept = client.scatter(values, workers=[worker], hash=False, direct=True)  # not by way of the scheduler
    return dask.array.from_delayed(dask.delayed(kept), shape=values.shape, dtype=values.dtype)
