"""Days of the world on disk, made in parallel and only once.

Each file carries the digest of what made it (configuration, generator version, changes begun by that day), so a
second run with the same world, or one whose changes begin later, keeps the days that stand.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import date, timedelta
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from data.dataset import Dataset
from data.world.config import GENERATOR_VERSION, WorldConfig
from data.world.world import World

DIGEST_KEY: Final = b"world"
WORTH_PROCESSES: Final = 2_000_000  # rows; below it, starting processes costs more than it saves (about 1.5 s each)
DAYS_PER_TASK: Final = 8


def make_days(
    config: WorldConfig,
    dataset: Dataset,
    days: int,
    first: date | None = None,
    workers: int | None = None,
    on_day: Callable[[date], None] | None = None,
) -> None:
    """Write `days` days from `first` (default: the world's first day), and `on_day` each one when it is there.

    Days made by the same world are kept; others are written anew. `workers` processes (default: one per core when the
    work is worth it) give the same bytes as one. Raises DiskFull.
    """
    wanted = [(first or config.start) + timedelta(n) for n in range(days)]
    missing = [day for day in wanted if made_by(dataset, day) != config.digest(day)]
    tell = on_day or _say_nothing
    for day in sorted(set(wanted) - set(missing)):
        tell(day)
    for day in _made(config, dataset.root, missing, workers):
        tell(day)
    dataset.describe({"source": "world", "generator": GENERATOR_VERSION, "config": asdict(config), "digest": config.digest(wanted[-1])})


def _say_nothing(day: date) -> None:
    """The default `on_day`."""


def made_by(dataset: Dataset, day: date) -> str | None:
    """Digest of the world that made a stored day, or None where the day is missing or came from elsewhere."""
    file = dataset.path("transactions", day)
    if not file.exists():
        return None
    digest: bytes | None = (pq.read_schema(file).metadata or {}).get(DIGEST_KEY)
    return digest.decode() if digest else None


def _made(config: WorldConfig, root: Path, days: list[date], workers: int | None) -> Iterator[date]:
    if workers is None:
        workers = (os.cpu_count() or 1) if len(days) * config.transactions_per_day > WORTH_PROCESSES else 1
    if workers <= 1:
        for day in days:
            yield from _write(config, root, [day])
        return
    tasks = [days[n : n + DAYS_PER_TASK] for n in range(0, len(days), DAYS_PER_TASK)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in pool.map(_write, [config] * len(tasks), [root] * len(tasks), tasks):
            yield from done


def _write(config: WorldConfig, root: Path, days: list[date]) -> list[date]:
    """One task of one process."""
    for day in days:
        tables = _world(config).day(day)
        marked = {kind: table.replace_schema_metadata({DIGEST_KEY: config.digest(day)}) for kind, table in tables.items()}
        Dataset(root).write_day(day, marked)
    return days


@lru_cache(maxsize=1)
def _world(config: WorldConfig) -> World:
    """The world of this process: its population is drawn once for all its tasks."""
    return World(config)
