"""Bring payments into a dataset: days of the synthetic world, or a file that nobody here made. Called by training.

Idempotent: what is there already, by its digest, is kept; a killed ingest goes on where it stopped.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from data.dataset import Dataset
from data.sources import import_file
from data.world.days import make_days
from pipelines.training.request import FileSource, WorldSource


def ingest(
    source: WorldSource | FileSource, folder: Path, *, label_delay_days: int, on_day: Callable[[date], None] | None = None
) -> Dataset:
    """The source's days under `folder`. A file's reports are taken to arrive `label_delay_days` after the payment.

    Raises what its readers raise: MissingFile, UnknownSource, BadInput, EmptyWindow, DiskFull.
    """
    dataset = Dataset(folder)
    if isinstance(source, WorldSource):
        make_days(source.config, dataset, source.days, on_day=on_day)
    else:
        import_file(source.path, dataset, first=source.first, days=source.days, label_delay_days=label_delay_days)
    return dataset
