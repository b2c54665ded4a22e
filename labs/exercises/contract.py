"""What an exercise of any kind owes to whoever prints it: a name, how it ended, whether that was right, and plain values.

Drift exercises (`labs/exercises/outcome.py`) and canaries (`labs/canaries/outcome.py`) are printed by the same formats.
"""

import json
from datetime import date, datetime
from typing import Any, Final, Literal, Protocol

import numpy as np

from pipelines.metrics import Interval

DIGITS: Final = 6  # significant: beyond them, another machine's mathematical library may differ
Result = Literal["as expected", "unexpected", "inconclusive"]


class Exercise(Protocol):
    """One exercise that was run."""

    @property
    def kind(self) -> str:
        """ "drift" or "canary"."""

    @property
    def schema(self) -> str:
        """Name and version of the form of `to_json`."""

    @property
    def catalogue_id(self) -> str: ...
    @property
    def scenario(self) -> str: ...

    @property
    def dose(self) -> str:
        """What else was chosen, as "strength 0.01, seed 7"."""

    @property
    def told(self) -> str:
        """How it ended, in a line."""

    @property
    def evidence(self) -> tuple[str, ...]:
        """What the product itself gave as its reasons."""

    @property
    def result(self) -> Result: ...

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it did not end as expected; empty where it did."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; equal for equal exercises."""


def to_bytes(exercise: Exercise) -> bytes:
    """The JSON document of one exercise; equal for equal exercises."""
    return (json.dumps(exercise.to_json(), indent=2, allow_nan=False) + "\n").encode()


def said(action: str) -> str:
    """An action in words."""
    return action.replace("_", " ")


def plain(value: Any) -> Any:
    """Dates, tuples and numbers as JSON has them; numbers that are none become null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Interval):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
