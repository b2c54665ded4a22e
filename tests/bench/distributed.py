"""A fit that one Dask worker has no memory for, on several of them: `python -m tests.bench.distributed [--quick | --full]`.

Training rows of the world that take more memory than a worker may have. One worker must be killed by them, and the fit say
so; several must fit, each within its limit, a model as good as one machine's: average precision on the test rows, over seeds.
The time is printed beside it and is no goal: workers of one machine share its cores, and pay for talking to each other.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.environment import prepare_environment
from data.errors import ClusterFailed
from data.settings import Settings
from data.world import WorldConfig
from labs.stream import midnight
from pipelines.metrics import Interval, average_precision, paired_difference
from pipelines.training.boost import fit_trees, margins
from pipelines.training.dask_fit import Cluster, connected, fit_on_workers
from pipelines.training.ingest import ingest
from pipelines.training.request import EVERY_ROW, Recipe, TrainingRequest, WorldSource
from pipelines.training.resample import Rows, thin_genuine
from pipelines.training.split import SplitPlan
from pipelines.training.table import TrainingTable
from pipelines.training.train import prepare
from tests.bench.table import conclude, publish
from tests.peak_memory import peak_megabytes

MEGABYTE: Final = 1_000_000
Fitter = Callable[[Rows, Rows, int, dict[str, Any]], tuple[str, Any, float]]
LENGTHS = {"quick": (1, 60), "usual": (3, 150), "full": (5, 400)}  # seeds, rounds at most
DAYS, PER_DAY = 60, 42_000
LIMIT_MB, WORKERS = 540, 8
ONE, MANY = "one machine", f"{WORKERS} workers"


@dataclass(frozen=True)
class Fit:
    """One fit: how good, how large, how long, and the most memory that one of its workers had."""

    who: str
    seed: int
    margin: NDArray[np.float64]  # on the test rows
    average_precision: float
    trees: int
    seconds: float
    worker_mb: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 0 when all goals are reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.distributed", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    for name, (seeds, rounds) in LENGTHS.items():
        length.add_argument(
            f"--{name}", dest="length", action="store_const", const=name, default="usual", help=f"{seeds} seeds, {rounds} rounds"
        )
    seeds, rounds = LENGTHS[parser.parse_args(arguments).length]
    prepare_environment()
    parts = world_rows()
    recipe = Recipe(genuine_rows=EVERY_ROW)
    train, judge = (thin_genuine(parts[name], EVERY_ROW, recipe.seed) for name in ("train", "validation"))
    megabytes = train.features.nbytes / MEGABYTE
    _say(f"{len(train.is_fraud):,} training rows: {megabytes:,.0f} MB of features; a worker may have {LIMIT_MB} MB")

    how = {"parameters": replace(recipe.parameters, rounds=rounds), "stop_after": recipe.early_stopping_rounds}
    refused = on_one_worker(train, judge, how)
    _say(f"one worker: {refused or 'fitted'}")
    fits = []
    for seed in range(1, seeds + 1):
        for who in (_here, _there) if seed % 2 else (_there, _here):
            fits.append(fit := measure(who, train, judge, parts["test"], seed, how))
            _say(f"seed {seed}  {fit.who}: average precision {fit.average_precision:.4f}, {fit.trees} trees, {fit.seconds:.0f} s")
    return show(fits, difference(fits, parts["test"]), megabytes, refused)


def world_rows() -> dict[str, TrainingTable]:
    """The parts of a first training on a world of five times the lab's traffic."""
    settings = Settings.load()
    source = WorldSource(WorldConfig(seed=settings.seed, transactions_per_day=PER_DAY), DAYS)
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home) as folder:
        dataset = ingest(source, Path(folder) / "dataset", label_delay_days=settings.label_delay_days)
        cut = midnight(dataset.days()[-1] + timedelta(days=1))
        request = TrainingRequest(source, cut, split=SplitPlan(train_days=45))
        return prepare(request, dataset, Path(folder), settings.log_place).parts


def on_one_worker(train: Rows, judge: Rows, how: dict[str, Any]) -> str:
    """What the fit says when a single worker must hold all rows; empty when it could."""
    cluster = Cluster(1, os.cpu_count() or 1, memory_limit=LIMIT_MB * MEGABYTE)
    try:
        fit_on_workers(train, judge, **how, seed=1, cluster=cluster)
    except ClusterFailed as failed:
        return failed.message
    return ""


def measure(who: Fitter, train: Rows, judge: Rows, test: TrainingTable, seed: int, how: dict[str, Any]) -> Fit:
    """One fit and its average precision on the test rows."""
    began = time.monotonic()
    name, booster, worker_mb = who(train, judge, seed, how)
    seconds = time.monotonic() - began
    margin = margins(booster, test.features)
    return Fit(name, seed, margin, average_precision(test.is_fraud, margin), booster.num_trees(), seconds, worker_mb)


def difference(fits: Sequence[Fit], test: TrainingTable) -> Interval:
    """Average precision of the workers' models less that of one machine's: the mean over seeds of paired bootstrap intervals over cards."""
    here, there = ([fit.margin for fit in sorted(fits, key=lambda fit: fit.seed) if fit.who == who] for who in (ONE, MANY))
    card = np.unique(test.card, return_inverse=True)[1].astype(np.int64)
    found = [
        paired_difference(average_precision, test.is_fraud, workers, alone, groups=card, seed=1, n=200)
        for workers, alone in zip(there, here, strict=True)
    ]
    return Interval(*(float(np.mean([getattr(one, part) for one in found])) for part in ("value", "low", "high")))


def _here(train: Rows, judge: Rows, seed: int, how: dict[str, Any]) -> tuple[str, Any, float]:
    return ONE, fit_trees(train, judge, **how, seed=seed, threads=os.cpu_count() or 1), float("nan")


def _there(train: Rows, judge: Rows, seed: int, how: dict[str, Any]) -> tuple[str, Any, float]:
    cluster = Cluster(WORKERS, os.cpu_count() or 1, memory_limit=LIMIT_MB * MEGABYTE)
    with connected(cluster) as client:
        booster = fit_on_workers(train, judge, **how, seed=seed, cluster=replace(cluster, address=client.scheduler.address))
        return MANY, booster, max(client.run(peak_megabytes).values())


def show(fits: Sequence[Fit], apart: Interval, megabytes: float, refused: str) -> int:
    """The table, and the goals."""
    rows: list[list[object]] = []
    for name in (ONE, MANY):
        mine = [fit for fit in fits if fit.who == name]
        memory, reached = max(fit.worker_mb for fit in mine), [fit.average_precision for fit in mine]
        rows.append([
            name, len(mine), f"{np.mean(reached):.4f}", f"{np.std(reached):.4f}", f"{np.median([fit.trees for fit in mine]):.0f}",
            f"{np.median([fit.seconds for fit in mine]):.0f}", "" if np.isnan(memory) else f"{memory:.0f}",
        ])  # fmt: skip
    said = f"{apart.value:+.4f} ({apart.low:+.4f} to {apart.high:+.4f})"
    title = (
        f"{megabytes:,.0f} MB of training rows; a worker may have {LIMIT_MB} MB. One worker alone: {'killed' if refused else 'fitted'}; "
        f"workers less one machine, average precision: {said}"
    )
    kept = [{name: value for name, value in asdict(fit).items() if name != "margin"} for fit in fits]
    facts = {"fits": kept, "one_worker": refused, "difference": apart._asdict()}
    publish("distributed", title, ["fitted by", "seeds", "mean AP", "sd", "trees", "seconds", "most MB of a worker"], rows, facts)
    return conclude([
        *([] if megabytes > LIMIT_MB else ["The rows are not larger than what a worker may have"]),
        *([] if refused else ["One worker held all rows, so that nothing is shown"]),
        *([] if apart.low <= 0 <= apart.high else [f"The models are not as good as each other: average precision differs by {said}"]),
    ])  # fmt: skip


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
