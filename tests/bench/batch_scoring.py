"""Batch scoring beside the model alone and MLflow's own way: `python -m tests.bench batch_scoring [--quick | --full]`.

Days of the world are written twice, as raw payments and with their features ready (Parquet as pyarrow writes it, a file a
day), and a model of 300 trees is trained on the first. Every way runs in a process of its own, after a thousand rows
that load and compile what it needs, rounds interleaved; the best of the rounds counts. Time is CPU time of one thread,
reading and writing included; a busy machine still slows it, so the ratios are the steadier figures.

Memory is the peak of the process, which the libraries alone take most of. Ready features must cost the same whatever the
rows. Raw payments add the state behind the features: what cards and terminals did within the windows, until they are full.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.bundle import MODEL, Model
from data.dataset import to_frame
from data.environment import prepare_environment
from data.features import CATEGORICAL_FEATURES, FEATURES
from data.history import History, build_features
from data.world import World, WorldConfig
from pipelines.batch.scoring import BatchRequest, score_table
from tests.bench.table import conclude, publish
from tests.bundles import POLICY, write_bundle
from tests.peak_memory import peak_megabytes

PER_DAY = 250_000
TREES, LEAVES = 300, 31
CHUNK_ROWS = 65_536  # of those who read the file themselves
DAYS = {"quick": (1, 4), "usual": (4, 17), "full": (4, 17, 43)}  # about 0.25, 1, 4 and 10 million payments
ROUNDS = {"quick": 1, "usual": 3, "full": 3}
ROWS_PER_CPU_SECOND = 300_000  # at least, features ready
GROWTH_MB = 100.0  # at most, features ready, from the fewest rows to the most: what allocators keep; the rows are over 1,000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Cost:
    """What one way cost its process."""

    rows: int
    cpu_s: float
    peak_mb: float

    @property
    def us(self) -> float:
        """CPU time of a row, microseconds."""
        return self.cpu_s / self.rows * 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 when every goal is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    length = parser.add_mutually_exclusive_group()
    for name in ("quick", "full"):
        length.add_argument(f"--{name}", dest="length", action="store_const", const=name, default="usual", help="fewer or more rows")
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)  # a child process
    options = parser.parse_args(argv)
    prepare_environment()
    if options.measure:
        print(json.dumps(measure(options.measure[0], Path(options.measure[1]))))  # noqa: T201
        return 0
    days = DAYS[options.length]
    with tempfile.TemporaryDirectory() as folder:
        make_material(Path(folder), days)
        costs = measure_all(Path(folder), days, ROUNDS[options.length])
    return conclude(report(costs, days))


def make_material(folder: Path, days: Sequence[int]) -> None:
    """`ready-<days>/` and `raw-<days>/`, the first day for warming up, and the model in `bundle/` and `mlflow/`."""
    world, history = World(WorldConfig(transactions_per_day=PER_DAY)), History()
    for number in range(max(days)):
        drawn = world.day(world.config.start + timedelta(days=number))
        frame = to_frame(drawn["transactions"], "transactions")
        labels = to_frame(drawn["labels"], "labels")
        features, _ = build_features(frame, labels, history)
        columns = {"transaction_id": drawn["transactions"]["transaction_id"]}
        ready = pa.table(columns | {name: features[:, i] for i, name in enumerate(FEATURES)})
        if number == 0:
            train(folder, features, frame["transaction_id"].isin(labels["transaction_id"]).to_numpy())
            for kind, table in (("raw", drawn["transactions"]), ("ready", ready)):
                store(table.slice(0, 1_000), folder / f"{kind}-warm" / "a.parquet")
        for length in (one for one in days if number < one):
            store(drawn["transactions"], folder / f"raw-{length}" / f"{number:03d}.parquet")
            store(ready, folder / f"ready-{length}" / f"{number:03d}.parquet")


def store(table: pa.Table, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    pq.write_table(table, file)


def train(folder: Path, features: NDArray[np.float64], fraud: NDArray[np.bool_]) -> None:
    """TREES full trees: few rows per leaf are allowed, as frauds are rare and a smaller tree would be faster."""
    import lightgbm
    import mlflow.lightgbm
    from mlflow.types.schema import ColSpec, Schema

    data = lightgbm.Dataset(features, fraud.astype(float), feature_name=list(FEATURES), categorical_feature=list(CATEGORICAL_FEATURES))
    parameters = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "learning_rate": 0.03,
        "min_child_samples": 5,
        "num_threads": 1,
        "verbose": -1,
    }
    booster = lightgbm.train(parameters, data, TREES)
    write_bundle(folder / "bundle", folder / "keys", booster, features[:20], sequence=1, policy=POLICY, run_id="bench")
    signature = mlflow.models.ModelSignature(Schema([ColSpec("double", name) for name in FEATURES]), Schema([ColSpec("double")]))
    mlflow.lightgbm.save_model(booster, folder / "mlflow", signature=signature, pip_requirements=["lightgbm"])


def measure_all(folder: Path, days: Sequence[int], rounds: int) -> dict[str, Cost]:
    """The cheapest round of each way on each size; those that are only compared with, on one."""
    runs = (
        [(way, days[0]) for way in ("model", "booster", "pyfunc")]
        + [("free", days[-1])]
        + [(way, length) for way in ("ready", "raw") for length in days]
    )
    found: dict[str, Cost] = {}
    for _ in range(rounds):
        for way, length in runs:
            cost = _in_a_process(way, folder, length)
            name = f"{way}-{length}"
            found[name] = min(cost, found.get(name, cost), key=lambda one: one.cpu_s)
    return found


def measure(way: str, folder: Path) -> dict[str, float]:
    """One way over one folder; the cost of this process."""
    kind = "raw" if way == "raw" else "ready"
    run = WAYS[way](folder.parent)
    run(folder.parent / f"{kind}-warm")
    began = time.process_time()
    rows = run(folder)
    cpu_s = time.process_time() - began
    return {"rows": rows, "cpu_s": cpu_s, "peak_mb": peak_megabytes()}


class _Free:
    """A model that costs nothing: what is left is reading, checks, rules, policy and writing."""

    version, policy = "1", POLICY

    def score_many(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(len(matrix), POLICY.review_at / 2)


def _scoring(folder: Path, *, ready: bool, free: bool = False) -> Callable[[Path], int]:
    model: Any = _Free() if free else Model.load(folder / "bundle", "1")

    def run(source: Path) -> int:
        out = folder / f"out-{os.getpid()}"
        summary = score_table(model, BatchRequest(source, out, features_ready=ready))
        shutil.rmtree(out)
        return summary.scored

    return run


def _matrices(predict: Callable[[NDArray[np.float64]], object]) -> Callable[[Path], int]:
    """The model alone: the first rows of the source again and again, in memory, as the rows that it is told."""

    def run(source: Path) -> int:
        first = next(pq.ParquetFile(next(iter(sorted(source.iterdir())))).iter_batches(CHUNK_ROWS, columns=list(FEATURES)))
        matrix = np.stack([column.to_numpy(zero_copy_only=False) for column in first.columns], axis=1)
        for _ in range(4):
            predict(matrix)
        return 4 * len(matrix)

    return run


def _model_alone(folder: Path) -> Callable[[Path], int]:
    return _matrices(Model.load(folder / "bundle", "1").score_many)


def _booster(folder: Path) -> Callable[[Path], int]:
    import lightgbm

    booster = lightgbm.Booster(model_file=folder / "bundle" / MODEL)
    return _matrices(lambda matrix: booster.predict(matrix, num_threads=1))


def _pyfunc(folder: Path) -> Callable[[Path], int]:
    """What MLflow's documents suggest for batches: its model on a pandas frame, chunk by chunk, the scores to Parquet."""
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(folder / "mlflow"))

    def run(source: Path) -> int:
        rows = 0
        for file in sorted(source.iterdir()):
            for batch in pq.ParquetFile(file).iter_batches(CHUNK_ROWS):
                frame = batch.to_pandas()
                frame["score"] = model.predict(frame[list(FEATURES)])
                frame[["transaction_id", "score"]].to_parquet(folder / f"scores-{os.getpid()}.parquet")
                rows += len(frame)
        return rows

    return run


WAYS: Mapping[str, Callable[[Path], Callable[[Path], int]]] = {
    "model": _model_alone,
    "booster": _booster,
    "pyfunc": _pyfunc,
    "ready": lambda folder: _scoring(folder, ready=True),
    "raw": lambda folder: _scoring(folder, ready=False),
    "free": lambda folder: _scoring(folder, ready=True, free=True),
}
NAMES = {
    "model": "the bundle's model alone, rows in memory",
    "booster": "Booster.predict alone, rows in memory",
    "pyfunc": "MLflow's pyfunc on pandas chunks, Parquet to Parquet",
    "free": "batch scoring, features ready, a model that costs nothing",
    "ready": "batch scoring, features ready",
    "raw": "batch scoring, raw payments",
}


def report(costs: Mapping[str, Cost], days: Sequence[int]) -> list[str]:
    """Print the table; what missed its goal."""
    pyfunc = costs[f"pyfunc-{days[0]}"]
    rows: list[list[object]] = []
    for name, cost in costs.items():
        way = name.split("-")[0]
        goal = f"{ROWS_PER_CPU_SECOND:,}" if way == "ready" else ""
        rows.append(
            [
                NAMES[way],
                f"{cost.rows:,}",
                f"{1e6 / cost.us:,.0f}",
                goal,
                f"{cost.us:.2f}",
                f"{pyfunc.us / cost.us:.1f}",
                f"{cost.peak_mb:,.0f}",
            ]
        )
    growth = {way: costs[f"{way}-{days[-1]}"].peak_mb - costs[f"{way}-{days[0]}"].peak_mb for way in ("ready", "raw")}
    per_row = growth["raw"] * 1e6 / (costs[f"raw-{days[-1]}"].rows - costs[f"raw-{days[0]}"].rows)
    rows += [
        ["features ready, more memory for the most rows, MB", "", "", f"{GROWTH_MB:.0f}", "", "", f"{growth['ready']:+,.0f}"],
        [f"raw, the same ({per_row:.0f} bytes per row: history)", "", "", "", "", "", f"{growth['raw']:+,.0f}"],
    ]
    columns = ["way", "rows", "rows per CPU second", "goal", "us per row", "times pyfunc", "peak MB"]
    facts = {
        "trees": TREES,
        "leaves": LEAVES,
        "costs": {name: vars(cost) for name, cost in costs.items()},
        "growth_mb": growth,
    }
    publish("batch_scoring", f"Batch scoring, {TREES} trees of {LEAVES} leaves, one thread", columns, rows, facts)
    rate = min(1e6 / costs[f"ready-{length}"].us for length in days)
    checks = [
        (rate >= ROWS_PER_CPU_SECOND, f"features ready: {rate:,.0f} rows per CPU second, the goal is {ROWS_PER_CPU_SECOND:,}"),
        (growth["ready"] <= GROWTH_MB, f"memory grew by {growth['ready']:.0f} MB with the rows, the goal is {GROWTH_MB:.0f}"),
    ]
    return [text for reached, text in checks if not reached]


def _in_a_process(way: str, folder: Path, length: int) -> Cost:
    source = folder / f"{'raw' if way == 'raw' else 'ready'}-{length}"
    command = [sys.executable, "-m", "tests.bench.batch_scoring", "--measure", way, str(source)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD)
    return Cost(**json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
