"""Expected outcomes under review: a TOML file beside the code, which overrides what the catalogue expects.

    [D9]                                  # a scenario, by id or by name
    decision = ["fix_pipeline"]           # any of these is right
    must_fire = ["parity"]
    must_stay_silent = ["score", "inputs:amount"]
    strength = 0.3                        # the scenario's own when absent, as the other three

A change of what monitoring is expected to do is then a change of a file that somebody approves.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from data.errors import BadInput, MissingFile
from data.scenarios import Action, Scenario
from data.scenarios.team_file import line_of
from labs.exercises.outcome import Expectation
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
    """The file's expectations by scenario name. Raises MissingFile, or BadInput naming the line that does not fit."""
    try:
        text = file.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise MissingFile("The file of expected outcomes cannot be read.", next_step="Name another.", where=str(file)) from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{file.name} is not TOML: {error}.", next_step="Correct that line.", where=str(file)) from error
    ids = {one.catalogue_id: one for one in reversed(tuple(scenarios.values()))}
    reviews: dict[str, Review] = {}
    for key, table in tables.items():
        scenario = scenarios.get(key) or ids.get(key)
        if scenario is None:
            raise _unusable(file, line_of(text, (key,)), f"no scenario has this name or id; there are {', '.join((*ids, *scenarios))}")
        reviews[scenario.name] = _review(file, text, key, table, scenario)
    return reviews


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


def _review(file: Path, text: str, key: str, table: Any, scenario: Scenario) -> Review:
    try:
        given = _Table.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"] if isinstance(step, str)) or key
        fault = f"{where}: {first['msg'].removeprefix('Value error, ')}"
        raise _unusable(file, line_of(text, (key, *first["loc"])), fault) from None
    base = catalogue_review(scenario).expected
    expected = Expectation(
        base.decisions if given.decision is None else tuple(given.decision),
        base.must_fire if given.must_fire is None else tuple(given.must_fire),
        base.must_stay_silent if given.must_stay_silent is None else tuple(given.must_stay_silent),
    )
    return Review(expected, given.strength)


def _unusable(file: Path, line: int, fault: str) -> BadInput:
    return BadInput(f"{file.name}, line {line}: {fault}.", next_step="Correct it and run again.", where=f"{file.name}:{line}")
