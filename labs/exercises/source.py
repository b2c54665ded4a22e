"""Where an exercise's payments come from: any span of days of the synthetic world, or of a recorded dataset."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import pandas as pd
import pyarrow as pa

from data.dataset import Dataset, Kind, to_frame
from data.world import Change, World, WorldConfig

PAYMENTS_PER_DAY: Final = 3_500  # enough for a few frauds a day; a month of them is served and judged in about two seconds


class Days(NamedTuple):
    """What a span of days brings."""

    transactions: pd.DataFrame  # TRANSACTION_COLUMNS, in order of arrival
    labels: pd.DataFrame  # LABEL_COLUMNS, whenever they are reported


@dataclass(frozen=True)
class PaymentSource:
    """The first day, and the rows of days [first, last) counted from it, under the world's changes."""

    name: str
    start: date
    days: Callable[[int, int, tuple[Change, ...]], Days]

    def midnight(self, day: int) -> datetime:
        return datetime.combine(self.start + timedelta(days=day), time(), UTC)


def world_source(config: WorldConfig) -> PaymentSource:
    """The synthetic world."""

    @lru_cache(maxsize=2)  # the span after the onset is the same in most exercises of one seed
    def days(first: int, last: int, changes: tuple[Change, ...]) -> Days:
        world = World(replace(config, changes=changes))
        tables = [world.day(config.start + timedelta(days=k)) for k in range(first, last)]
        kinds: tuple[Kind, ...] = ("transactions", "labels")
        return Days(*(to_frame(pa.concat_tables([table[kind] for table in tables]), kind) for kind in kinds))

    return PaymentSource(f"synthetic world, seed {config.seed}", config.start, days)


def recorded_source(dataset: Dataset) -> PaymentSource:
    """Recorded payments, which no change of the world reaches."""
    start = dataset.days()[0]

    def days(first: int, last: int, changes: tuple[Change, ...]) -> Days:  # noqa: ARG001 (a recording is what it is)
        span = (start + timedelta(days=first), start + timedelta(days=last))
        return Days(dataset.read("transactions", *span), dataset.read("labels", *span))

    return PaymentSource(dataset.root.name, start, days)
