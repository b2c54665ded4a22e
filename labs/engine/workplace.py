"""What a check gets: the learner's folder, and the live system through the addresses and stores that everybody uses.

Lab authors import it from `labs.engine`. Everything is opened when first asked for and closed by the engine.
"""

import filecmp
import importlib.util
import json
import sys
import tomllib
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from data.ledger import Ledger
from data.registry import Registry
from data.settings import Settings
from labs.engine.course import Lab, problem
from labs.engine.learner import Finished, LearnerCode, run_script
from labs.engine.outcome import Incorrect, NotStarted

if TYPE_CHECKING:
    import pandas as pd

    from data.dataset import Dataset
    from data.log_database import LogPlace
    from labs.stream import Stream

_Answers = TypeVar("_Answers", bound=BaseModel)
_EVER: Final = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC))
BLANK: Final = "?"  # what a file of answers says where the learner is to decide


class Workplace:
    """One learner's attempt at one lab. `folder` is the learner's, `start` the pristine copy of what it began as."""

    def __init__(self, lab: Lab, folder: Path, settings: Settings) -> None:
        self.lab = lab
        self.folder = folder
        self.start = lab.start
        self.settings = settings
        self._opened = ExitStack()
        self._code: dict[str, LearnerCode] = {}

    def close(self) -> None:
        """Everything that was opened; the engine calls it."""
        self._opened.close()

    # ---- what the learner wrote

    def file(self, name: str) -> Path:
        """A file of the learner's. Raises Incorrect when it is gone."""
        path = self.folder / name
        if not path.is_file():
            raise Incorrect(f"{name} is not in {self.folder.name}.", f"`lab reset {self.lab.short}` gives the files back.")
        return path

    def unchanged(self, name: str) -> bool:
        """Whether a file is as it was given."""
        return (self.start / name).is_file() and filecmp.cmp(self.start / name, self.file(name), shallow=False)

    def answers(self, name: str, kind: type[_Answers]) -> _Answers:
        """A TOML file of written decisions as a model of yours.

        Raises NotStarted naming the first answer left at "?", and Incorrect naming the line of the first that does not fit.
        """
        text = self.file(name).read_text(encoding="utf-8")
        try:
            facts = tomllib.loads(text)
        except ValueError as error:
            raise Incorrect(f"{name} is not TOML: {error}.", f"Text stands in quotes, numbers do not: {name}") from None
        for key in kind.model_fields:
            if facts.get(key) == BLANK:
                raise NotStarted(f"Answer `{key}` in {name}.")
        try:
            return kind.model_validate(facts)
        except ValidationError as error:
            where, said = problem(text, error)
            raise Incorrect(f"{name}{where}: {said}.", "Correct it there; words stand in quotes, numbers do not.") from None

    def load(self, name: str) -> LearnerCode:
        """A Python file of the learner's, loaded in a process of its own (one for all calls of a check)."""
        if name not in self._code:
            self._code[name] = self._opened.enter_context(LearnerCode(self.file(name), self.environment))
        return self._code[name]

    def run(self, name: str, *arguments: str, timeout_s: float = 20.0) -> Finished:
        """A script of the learner's (.py or .sh), run to its end in its folder. Raises Incorrect when it takes longer."""
        return run_script(self.file(name), arguments, self.environment, timeout_s)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that name this lab's system, for a child process."""
        return self.settings.as_environment()

    def given(self, name: str) -> ModuleType:
        """A Python file of start/ as a module, loaded once a process: what the learner's copy of it says counts for nothing."""
        return _module(self.start / name)

    # ---- the live system

    def ask(self, method: str, path: str, **how: Any) -> Any:
        """The scoring service's answer as JSON (`how`: httpx's). Raises ServiceDown or the failure that the service names."""
        from labs.service import call

        return json.loads(call(self.settings, method, path, **how))

    @cached_property
    def registry(self) -> Registry:
        """Versions, aliases, the serving plan. Its methods raise RegistryUnavailable, UnknownRun."""
        return self._opened.enter_context(Registry.of(self.settings))

    @cached_property
    def ledger(self) -> Ledger:
        """Who promoted or rolled back what, when, why."""
        return Ledger(self.settings.home / "ledger.jsonl")

    @property
    def log(self) -> "LogPlace":
        """Where the prediction log is, for the readers of data/prediction_frames.py."""
        return self.settings.log_place

    def served(self, start: datetime | None = None, end: datetime | None = None) -> "pd.DataFrame":
        """Payments of the prediction log, with features and answers (`window_frame`). Raises MissingFile while nothing was served."""
        from data.prediction_frames import window_frame

        return window_frame(self.log, start or _EVER[0], end or _EVER[1])

    def labels(self, known_by: datetime | None = None) -> "pd.DataFrame":
        """Labels of logged payments known by a moment (`labels_frame`)."""
        from data.prediction_frames import labels_frame

        return labels_frame(self.log, known_by)

    @cached_property
    def stream(self) -> "Stream":
        """Where payments come from: history, and any live day."""
        from labs.stream import open_stream

        return open_stream(self.settings, None, 0)

    @property
    def dataset(self) -> "Dataset":
        """The days of history on disk."""
        return self.stream.dataset


@cache
def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{file.stem}_of_{file.parent.parent.name}", file)
    assert spec is not None and spec.loader is not None  # it is a Python file
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
