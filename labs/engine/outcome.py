"""The four outcomes of a check, and what is kept of one.

A check returns `Passed` or raises one of the other three; lab authors import them from `labs.engine`. A check has no
fifth way to end: the engine turns any other exception into one of these (`labs/engine/checking.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

State = Literal["passed", "incorrect", "not started", "cannot check"]
EXIT_STATUS: Final[Mapping[State, int]] = {"passed": 0, "incorrect": 1, "not started": 3, "cannot check": 4}
_WORST_FIRST: Final[tuple[State, ...]] = ("incorrect", "cannot check", "not started")


@dataclass(frozen=True)
class Passed:
    """The answer is right. `figures`: numbers that were measured, by the names that lab.toml declares."""

    figures: Mapping[str, float] = field(default_factory=dict)


class Incorrect(Exception):
    """The learner tried, and it is not right yet: `why` in one sentence, and where to `look`."""

    def __init__(self, why: str, look: str, figures: Mapping[str, float] | None = None) -> None:
        super().__init__(why)
        self.why, self.look, self.figures = why, look, dict(figures or {})


class NotStarted(Exception):
    """Nothing was tried yet: what to do `next`."""

    def __init__(self, next_step: str) -> None:
        super().__init__(next_step)
        self.next_step = next_step


class CannotCheck(Exception):
    """Something that the check needs is `down`, which is no fault of the answer; `command` mends it."""

    def __init__(self, down: str, command: str) -> None:
        super().__init__(down)
        self.down, self.command = down, command


@dataclass(frozen=True)
class CheckResult:
    """How one check ended. `why` is empty when it passed; `look` is where to look, what to do next, or the command that mends it."""

    lab: str
    check: str
    title: str
    state: State
    why: str = ""
    look: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0  # by the wall, for people
    trace: str = ""  # of the learner's own code, shown on request


def overall(results: list[CheckResult]) -> State:
    """The state of them all: the worst one's. No result at all is `not started`."""
    states = {result.state for result in results}
    if not states:
        return "not started"
    return next((state for state in _WORST_FIRST if state in states), "passed")
