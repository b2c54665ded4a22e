"""Where the demo's payments come from: the synthetic world, or a file that nobody here made, with a drift to come.

Both give the same two things: a dataset of history to train on, and any later day as it arrives.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import ClassVar, Protocol

from data.dataset import Dataset, to_frame
from data.errors import EmptyWindow
from data.scenarios import Injection, Source
from data.settings import Settings
from data.sources import import_file
from data.world import World, WorldConfig, make_days
from labs.drifts import Drifts
from labs.replay import LiveDay
from pipelines.training.request import FileSource, WorldSource
from pipelines.training.train import dataset_folder


class Stream(Protocol):
    """A history on disk, and days that arrive after it."""

    name: str
    dataset: Dataset
    first: date  # first day of the history
    live: date  # first day after it
    end: date | None  # first day without payments; None: there is always another
    drifts: Drifts

    @property
    def kind(self) -> Source:
        """Whose payments they are, which says what can drift in them."""

    @property
    def source(self) -> WorldSource | FileSource: ...

    def make_history(self, on_day: Callable[[date], None]) -> None:
        """Put the history's days on disk; quick when they are there."""

    def inject(self, injection: Injection) -> None:
        """One drift more. Raises BadInput when it cannot act on these payments."""

    def day(self, day: date) -> LiveDay:
        """One live day."""


@dataclass
class WorldStream:
    """The synthetic world."""

    settings: Settings
    kind: ClassVar[Source] = "world"

    def __post_init__(self) -> None:
        s = self.settings
        self.drifts = Drifts()
        self.config = WorldConfig(seed=s.seed, start=s.world_start, transactions_per_day=s.transactions_per_day)
        self.name = f"synthetic world, seed {s.seed}"
        self.dataset = Dataset(dataset_folder(self.source, s.home))
        self.first = s.world_start
        self.live = s.world_start + timedelta(days=s.world_days)
        self.end: date | None = None
        self._world = World(self.config)

    @property
    def source(self) -> WorldSource:
        return WorldSource(self.config, self.settings.world_days)

    def make_history(self, on_day: Callable[[date], None]) -> None:
        make_days(self.config, self.dataset, self.settings.world_days, on_day=on_day)

    def inject(self, injection: Injection) -> None:
        self.drifts.injections.append(injection)
        self._world = World(replace(self.config, changes=self.drifts.changes))

    def day(self, day: date) -> LiveDay:
        tables = self._world.day(day)
        return self.drifts.arriving(to_frame(tables["transactions"], "transactions"), to_frame(tables["labels"], "labels"))


@dataclass
class FileStream:
    """A file's payments: the first `world_days` days are history, the rest arrive live."""

    settings: Settings
    path: Path
    kind: ClassVar[Source] = "handbook"

    def __post_init__(self) -> None:
        self.drifts = Drifts()
        self.name = self.path.name
        self.dataset = Dataset(dataset_folder(self.source, self.settings.home))
        facts = import_file(self.path, self.dataset, label_delay_days=self.settings.label_delay_days)
        self.first = facts.first
        self.live = facts.first + timedelta(days=self.settings.world_days)
        self.end: date | None = self.dataset.days()[-1] + timedelta(days=1)

    @property
    def source(self) -> FileSource:
        return FileSource(self.path.resolve())

    def make_history(self, on_day: Callable[[date], None]) -> None:
        for day in self.dataset.days():
            if day < self.live:
                on_day(day)

    def inject(self, injection: Injection) -> None:
        injection.require(self.dataset.read("transactions", self.first, self.first + timedelta(days=1)), self.kind)
        self.drifts.injections.append(injection)

    def day(self, day: date) -> LiveDay:
        after = day + timedelta(days=1)
        return self.drifts.arriving(self.dataset.read("transactions", day, after), self.dataset.read("labels", day, after))


def open_stream(settings: Settings, data: Path | None, live_days: int) -> Stream:
    """The world, or `data` when it is given. Raises EmptyWindow when the file is too short for history and live days."""
    if data is None:
        return WorldStream(settings)
    stream = FileStream(settings, data)
    have = len(stream.dataset.days())
    if have < settings.world_days + live_days:
        raise EmptyWindow(
            f"{data.name} holds {have} days; the loop needs {settings.world_days} of history and {live_days} live ones.",
            next_step="Give a longer file, or a shorter history with LAB_WORLD_DAYS.",
            where=str(data),
        )
    return stream


def midnight(day: date) -> datetime:
    """The moment a day begins, UTC."""
    return datetime.combine(day, time(), UTC)
