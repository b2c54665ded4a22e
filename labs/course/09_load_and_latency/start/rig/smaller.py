"""The challenger with fewer of its trees: what that costs in average precision, and what it saves: `python -m rig.smaller`."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.bundle import MODEL, verify_bundle
from data.forest import Forest
from data.prediction_frames import served_features
from data.registry import CHALLENGER, Registry
from data.settings import Settings
from labs.stream import midnight, open_stream
from pipelines.metrics import average_precision
from rig import load, say, scoring

SHARES = (1.0, 0.5, 0.25, 0.1, 0.05)
REPEATS = 15


@dataclass(frozen=True)
class Size:
    """The model with its first `trees` trees."""

    trees: int
    average_precision: float
    row_us: float  # to score one row


@dataclass(frozen=True)
class Challenger:
    """The challenger's trees: whole, cut, and in LightGBM's own library."""

    booster: Any

    def cut(self, trees: int) -> Forest:
        return Forest(self.booster.model_to_string(num_iteration=trees).encode())

    @property
    def trees(self) -> int:
        return int(self.booster.num_trees())

    def library_us(self, matrix: NDArray[np.float64]) -> float:
        """What LightGBM's library takes for a row, asked for one row at a time as services do."""
        return _row_us(lambda row: self.booster.predict(row, raw_score=True, num_threads=1), [row.reshape(1, -1) for row in matrix[:200]])


def challenger(settings: Settings) -> Challenger:
    """The registered one, verified."""
    import lightgbm

    with Registry.of(settings) as registry, tempfile.TemporaryDirectory() as name:
        version = registry.alias(CHALLENGER)
        assert version is not None  # `lab start` trained one
        registry.download(version, Path(name))
        verify_bundle(Path(name), key_folder=settings.home / "keys")
        return Challenger(lightgbm.Booster(model_str=(Path(name) / MODEL).read_text()))


def served_week(settings: Settings) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Features of the payments that were served, and which of them were reported as frauds, whenever. No model learned from them."""
    stream = open_stream(settings, None, 0)
    days = [stream.live + timedelta(days=day) for day in range(7)]
    served = served_features(settings.log_place, midnight(days[0]), midnight(days[-1] + timedelta(days=1)))
    labels = [stream.day(day).labels for day in days]
    frauds = {name for frame in labels for name in frame.loc[frame["is_fraud"], "transaction_id"]}
    return served.matrix, np.array([name in frauds for name in served.ids])


def measure(forest: Forest, matrix: NDArray[np.float64], is_fraud: NDArray[np.bool_]) -> Size:
    row_us = _row_us(forest.margin, list(matrix[:500]))
    return Size(forest.tree_count, average_precision(is_fraud, forest.margins(matrix)), row_us)


def _row_us(score: Callable[[NDArray[np.float64]], Any], rows: list[NDArray[np.float64]]) -> float:
    """CPU for a row, in µs: the least of several rounds, as others on the machine only add to it."""

    def once() -> float:
        began = time.process_time()
        for row in rows:
            score(row)
        return time.process_time() - began

    return 1e6 * min(once() for _ in range(REPEATS)) / len(rows)


def answer_ms(settings: Settings) -> float:
    """What one caller who sends a payment at a time waits for an answer: the median, in ms."""
    with scoring(settings) as [service]:
        return load(settings, service.url, [{"users": 1, "seconds": 1.0}], 1).steps[0].ms(50)


def times_faster(whole_us: float, part_us: float, answer_us: float) -> float:
    """By how much an answer is faster when the model in it takes `part_us` in place of `whole_us`."""
    return answer_us / (answer_us - whole_us + part_us)


if __name__ == "__main__":
    settings = Settings.load()
    say("the challenger in five sizes, and a scoring service")
    matrix, is_fraud = served_week(settings)
    model = challenger(settings)
    sizes = [measure(model.cut(round(share * model.trees)), matrix, is_fraud) for share in SHARES]
    answer_us = 1000 * answer_ms(settings)
    print(f"an answer takes {answer_us:,.0f} µs (median, one caller who sends a payment at a time)\n")
    print("  trees  avg. precision   a row, µs   an answer, µs")
    for size in sizes:
        print(f"{size.trees:>7}{size.average_precision:>16.3f}{size.row_us:>12.2f}{answer_us - sizes[0].row_us + size.row_us:>16,.1f}")
    print(f"{sizes[0].trees:>7}{sizes[0].average_precision:>16.3f}{model.library_us(matrix):>12.2f}   by LightGBM's own library")
