"""Expected outcomes under review: a TOML file beside the code, which overrides what the catalogue expects.

[D9]                                  # an id stands for all its scenarios; or by name: [mis_join]
decision = ["fix_pipeline"]           # any of these is right
must_fire = ["parity"]
must_stay_silent = ["score", "inputs:amount"]
strength = 0.3                        # the scenario's own when absent, as the other three
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from data.scenarios import Action, Scenario
from labs.exercises.outcome import Expectation
from labs.exercises.review import read_review
from pipelines.monitoring.detectors import DETECTORS
from pipelines.monitoring.profile import WATCHED


@dataclass(frozen=True)
class Review:
    """What is expected of one scenario, and at which strength."""

    expected: Expectation
    strength: float | None = None  # None: the scenario's own


def catalogue_review(scenario: Scenario) -> Review:
    """What the catalogue itself expects."""
    return Review(Expectation(scenario.expected, scenario.must_fire, scenario.must_stay_silent))


def read_reviews(file: Path, scenarios: Mapping[str, Scenario]) -> dict[str, Review]:
    """The file's expectations by scenario name; an id stands for every scenario that bears it. Raises as `read_review` does."""
    ids = dict.fromkeys(one.catalogue_id for one in scenarios.values())

    def find(key: str) -> list[str]:
        return [one.name for one in scenarios.values() if key in (one.name, one.catalogue_id)]

    tables = read_review(file, find, (*ids, *scenarios), _Table)
    return {name: _review(table, scenarios[name]) for name, table in tables.items()}


def _known_detector(name: str) -> str:
    kind, _, column = name.partition(":")
    if name not in DETECTORS and not (kind == "inputs" and column in WATCHED):
        raise ValueError(f"there is no such detector; there are {', '.join(DETECTORS)}, and inputs:<column>")
    return name


Detectors = list[Annotated[str, AfterValidator(_known_detector)]]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Annotated[list[Action], Field(min_length=1)] | None = None
    must_fire: Detectors | None = None
    must_stay_silent: Detectors | None = None
    strength: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "_Table":
        if set(self.must_fire or ()) & set(self.must_stay_silent or ()):
            raise ValueError("a detector cannot be in must_fire and in must_stay_silent")
        return self


def _review(given: _Table, scenario: Scenario) -> Review:
    base = catalogue_review(scenario).expected
    expected = Expectation(
        base.decisions if given.decision is None else tuple(given.decision),
        base.must_fire if given.must_fire is None else tuple(given.must_fire),
        base.must_stay_silent if given.must_stay_silent is None else tuple(given.must_stay_silent),
    )
    return Review(expected, given.strength)
