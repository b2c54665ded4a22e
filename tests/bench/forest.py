"""Our evaluator of LightGBM models beside LightGBM's: `python -m tests.bench forest [--quick]`.

Models of 300 trees of 31 leaves and 500 of 63 learn from days of the world; later payments are scored, one by one and as a
matrix, by each in turn. Time is CPU time of one thread, the best of the rounds; a busy machine slows all of them, so the
ratios, each of one round, are the steadier figures. Every margin must be LightGBM's to the last bit.
"""

import argparse
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.dataset import to_frame
from data.environment import prepare_environment
from data.features import CATEGORICAL_FEATURES, FEATURES
from data.forest import Forest
from data.history import build_features
from data.world import World, WorldConfig
from tests.bench.fast_config import FastConfig
from tests.bench.features import cpu_seconds
from tests.bench.table import conclude, publish

SIZES = ((300, 31), (500, 63))
TRAINING_DAYS, SCORED_DAYS = 21, 2
MATRIX_ROWS, SINGLE_ROWS = 16_384, 2_000
ROWS_PER_CPU_SECOND = 300_000  # of the smaller model, as a matrix: what batch scoring needs of it
TIMES_FASTER = {"a row": 2.5, "a matrix": 6.0}  # at least, than LightGBM's quickest way


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 when every margin is equal and every goal is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smaller model, three rounds")
    quick = parser.parse_args(argv).quick
    prepare_environment()
    learned, fraud, scored = _rows()
    rows: list[list[object]] = []
    facts: dict[str, Any] = {}
    misses: list[str] = []
    for trees, leaves in SIZES[:1] if quick else SIZES:
        name = f"{trees} x {leaves}"
        booster = _train(learned, fraud, trees, leaves)
        unequal = _unequal(booster, scored)
        spent = _measure(booster, scored, rounds=3 if quick else 7)
        rows += [*_lines(name, spent), [name, f"margins that differ from LightGBM's, of {2 * len(scored):,}", unequal, "", ""]]
        facts[name] = {"seconds": spent, "unequal": unequal}
        misses += [f"{name}: {unequal} margins differ"] if unequal else []
        misses += [] if (trees, leaves) != SIZES[0] else _misses(spent)
    columns = ["model", "measure", "µs, best", "rows per CPU second", "times faster (median, min–max)"]
    publish("forest", f"Scoring, one thread: {len(scored):,} rows of {len(FEATURES)} features", columns, rows, facts)
    return conclude(misses)


def _rows() -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Features and outcomes of the first days, and features of the days after."""
    config = WorldConfig()
    world = World(config)
    drawn = [world.day(config.start + timedelta(days=n)) for n in range(TRAINING_DAYS + SCORED_DAYS)]
    frame = to_frame(pa.concat_tables([day["transactions"] for day in drawn]).unify_dictionaries(), "transactions")
    labels = to_frame(pa.concat_tables([day["labels"] for day in drawn]).unify_dictionaries(), "labels")
    labels = labels[labels["is_fraud"]]
    features, _ = build_features(frame, labels)
    learned = (frame["event_time"] < pd.Timestamp(config.start + timedelta(days=TRAINING_DAYS), tz="UTC")).to_numpy()
    fraud = frame["transaction_id"].isin(set(labels["transaction_id"])).to_numpy()
    return features[learned], fraud[learned], features[~learned][:MATRIX_ROWS]


def _train(learned: NDArray[np.float64], fraud: NDArray[np.bool_], trees: int, leaves: int) -> lightgbm.Booster:
    """Full trees: few rows per leaf are allowed, as frauds are rare and a smaller tree would be faster."""
    settings = {"objective": "binary", "num_leaves": leaves, "learning_rate": 0.03, "min_data_in_leaf": 5, "bagging_fraction": 0.8,
                "bagging_freq": 1, "feature_fraction": 0.8, "num_threads": 1, "verbose": -1, "seed": 1}  # fmt: skip
    names: dict[str, Any] = {"feature_name": list(FEATURES), "categorical_feature": list(CATEGORICAL_FEATURES)}
    return lightgbm.train(settings, lightgbm.Dataset(learned, fraud.astype(float), params=settings, **names), num_boost_round=trees)


def _unequal(booster: lightgbm.Booster, scored: NDArray[np.float64]) -> int:
    """How many margins, as a matrix and one by one, are not LightGBM's to the last bit."""
    forest = Forest(booster.model_to_string().encode())
    expected = booster.predict(scored, raw_score=True, num_threads=1).view(np.int64)
    one_by_one = np.array([forest.margin(row) for row in scored])
    return sum(int((found.view(np.int64) != expected).sum()) for found in (forest.margins(scored), one_by_one))


def _measure(booster: lightgbm.Booster, scored: NDArray[np.float64], rounds: int) -> dict[str, list[float]]:
    """CPU seconds per row, or per model read, of each way in each round; all ways take turns."""
    text = booster.model_to_string()
    forest, fast = Forest(text.encode()), FastConfig(booster)
    single = list(scored[:SINGLE_ROWS])
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "a row, Booster.predict": (200, lambda: [booster.predict(row[np.newaxis], raw_score=True, num_threads=1) for row in single[:200]]),
        "a row, LightGBM's FastConfig": (len(single), lambda: [fast.margin(row) for row in single]),
        "a row, ours": (len(single), lambda: [forest.margin(row) for row in single]),
        "a matrix, Booster.predict": (len(scored), lambda: booster.predict(scored, raw_score=True, num_threads=1)),
        "a matrix, ours": (len(scored), lambda: forest.margins(scored)),
        "reading the model, LightGBM": (1, lambda: lightgbm.Booster(model_str=text)),
        "reading the model, ours": (1, lambda: Forest(text.encode())),
    }
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (count, work) in ways.items():
            spent[way].append(cpu_seconds(work) / count)
    return spent


def _lines(name: str, spent: dict[str, list[float]]) -> list[list[object]]:
    ratios = {"a row, ours": "a row, LightGBM's FastConfig", "a matrix, ours": "a matrix, Booster.predict",
              "reading the model, ours": "reading the model, LightGBM"}  # fmt: skip
    lines: list[list[object]] = []
    for way, seconds in spent.items():
        best, ratio = min(seconds), ""
        if way in ratios:
            each = np.array(spent[ratios[way]]) / np.array(seconds)
            ratio = f"{np.median(each):.1f} ({each.min():.1f}–{each.max():.1f})"
        lines.append([name, way, f"{best * 1e6:,.2f}", f"{1 / best:,.0f}" if "model" not in way else "", ratio])
    return lines


def _misses(spent: dict[str, list[float]]) -> list[str]:
    """Which goals were missed."""
    rivals = {"a row": "a row, LightGBM's FastConfig", "a matrix": "a matrix, Booster.predict"}
    misses = []
    for kind, rival in rivals.items():
        ratio = float(np.median(np.array(spent[rival]) / np.array(spent[f"{kind}, ours"])))
        if ratio < TIMES_FASTER[kind]:
            misses.append(f"{kind}: {ratio:.1f} times faster, not {TIMES_FASTER[kind]}")
    rate = 1 / min(spent["a matrix, ours"])
    return misses + ([f"a matrix: {rate:,.0f} rows per CPU second, not {ROWS_PER_CPU_SECOND:,}"] if rate < ROWS_PER_CPU_SECOND else [])


if __name__ == "__main__":
    raise SystemExit(main())
