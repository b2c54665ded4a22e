"""A team's own scenarios: known mechanisms, composed in a TOML file. `example.toml` beside this file is one to start from.

A mistake is told with its file and line and with what was expected there. For the commands that take `--scenarios FILE`.
"""

import re
import tomllib
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from data.errors import BadInput, MissingFile
from data.faults.mechanisms import MECHANISMS
from data.scenarios.catalogue import SCENARIOS
from data.scenarios.scenario import Action, Part, Scenario

Place = Sequence[int | str]
MOST_DAYS: Final = 3_650  # of an onset
_ENDLESS: Final = re.compile(r"[0-9_]{4301}")  # digits: more than Python makes a number of


def _known_mechanism(name: str) -> str:
    return _one_of(name, MECHANISMS, "a mechanism")


def _known_detector(name: str, known: ValidationInfo) -> str:
    return _one_of(name, known.context or (), "a detector")


def _new_name(name: str) -> str:
    if name in SCENARIOS:
        raise ValueError("the catalogue has a scenario of this name; choose another")
    return name


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$"), AfterValidator(_new_name)]
Detector = Annotated[str, AfterValidator(_known_detector)]
Strength = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _PartTable(_Table):
    mechanism: Annotated[str, AfterValidator(_known_mechanism)]
    strength: Strength
    columns: list[str] = []

    @model_validator(mode="after")
    def _possible(self) -> "_PartTable":
        mechanism = MECHANISMS[self.mechanism]
        if self.strength > mechanism.most:
            raise ValueError(f"strength is at most {mechanism.most:g} for {mechanism.name}: {mechanism.strength_means}")
        if self.columns and not mechanism.chooses:
            raise ValueError(f"{mechanism.name} acts on {', '.join(mechanism.columns) or 'whole payments'} and lets no columns be chosen")
        if not set(self.columns) <= set(mechanism.columns):
            raise ValueError(f"columns of {mechanism.name} are among {', '.join(mechanism.columns)}")
        return self


class _OnsetTable(_Table):
    ramp_days: Annotated[int, Field(ge=0, le=MOST_DAYS)] = 0
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = None
    every_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> "_OnsetTable":
        if self.every_days is not None and (self.days is None or self.days >= self.every_days):
            raise ValueError("what comes back every_days needs days, fewer than every_days")
        return self


class _ScenarioTable(_Table):
    name: Name
    what: Annotated[str, Field(min_length=1)]
    part: Annotated[list[_PartTable], Field(min_length=1)]
    expected: Annotated[list[Action], Field(min_length=1)]
    id: str = ""
    columns: list[str] | None = None
    must_fire: list[Detector] = []
    must_stay_silent: list[Detector] = []
    onset: _OnsetTable = _OnsetTable()

    @model_validator(mode="after")
    def _consistent(self) -> "_ScenarioTable":
        if set(self.must_fire) & set(self.must_stay_silent):
            raise ValueError("a detector cannot be in must_fire and in must_stay_silent")
        return self

    def scenario(self) -> Scenario:
        parts = tuple(Part(MECHANISMS[part.mechanism], part.strength, tuple(part.columns)) for part in self.part)
        moved = tuple(dict.fromkeys(name for part in parts for name in part.columns or part.mechanism.columns))
        columns = moved if self.columns is None else tuple(self.columns)
        return Scenario(
            self.name, self.id or self.name, self.what, 1.0, "1 = as the file has it", columns, tuple(self.expected),
            tuple(self.must_fire), tuple(self.must_stay_silent), parts,
            self.onset.ramp_days, self.onset.days, self.onset.every_days,
        )  # fmt: skip


class _File(_Table):
    scenario: Annotated[list[_ScenarioTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> "_File":
        names = [one.name for one in self.scenario]
        if len(set(names)) < len(names):
            raise ValueError("two scenarios have the same name")
        return self


TABLES: Final[dict[str, type[_Table]]] = {"scenario": _ScenarioTable, "part": _PartTable, "onset": _OnsetTable}


def load_scenarios(path: Path, detectors: Collection[str]) -> dict[str, Scenario]:
    """The scenarios of a file by name, in their order; `detectors` are the names that exist.

    Raises MissingFile, and BadInput naming the line at fault and what was expected there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        file = _File.model_validate(tomllib.loads(text), context=detectors)
    except OSError:
        raise MissingFile(f"There are no scenarios to read at {path}.", next_step="Name another file.", where=str(path)) from None
    except UnicodeDecodeError:
        raise _unusable(path, 1, "the file is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        said, _, at = str(error).partition(" (at line ")
        raise _unusable(path, int(at.split(",")[0]) if at else len(text.splitlines()), said) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _unusable(path, line_of(text, first["loc"]), _in_words(first["loc"], first["type"], first["msg"])) from None
    except ValueError:  # the one thing that is TOML and that Python does not read
        line = next((number for number, said in enumerate(text.splitlines(), 1) if _ENDLESS.search(said)), 1)
        raise _unusable(path, line, "a whole number of more than 4,300 digits") from None
    return {one.name: one.scenario() for one in file.scenario}


def line_of(text: str, place: Place) -> int:
    """The line on which a TOML text begins to say what stands at `place`, or at the nearest table around what is missing.

    A value begins after the last line that still was TOML without it.
    """
    lines, before = text.splitlines(), 0
    while place and not _holds(tomllib.loads(text), place):
        place = place[:-1]
    for number in range(1, len(lines) + 1):
        try:
            facts = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        if _holds(facts, place):
            return before + 1
        before = number
    return 1


def _holds(facts: Any, place: Place) -> bool:
    for step in place:
        try:
            facts = facts[step]
        except (LookupError, TypeError):
            return False
    return True


def _one_of(name: str, known: Collection[str], what: str) -> str:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise ValueError(f"this is not {what}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"))
    return name


def _in_words(place: Place, kind: str, message: str) -> str:
    """What was expected; the input itself is not repeated."""
    key = next((step for step in reversed(place) if isinstance(step, str)), "the file")
    if kind == "extra_forbidden":
        table = next((TABLES[step] for step in reversed(place[:-1]) if step in TABLES), _File)
        return f"unknown key; those known here are {', '.join(table.model_fields)}"
    if kind == "missing":
        return f"{key} is missing"
    said = message.removeprefix("Value error, ")
    return f"{key}: {said[0].lower()}{said[1:]}"


def _unusable(path: Path, line: int, fault: str) -> BadInput:
    return BadInput(
        f"{path.name}, line {line}: {fault.rstrip('.')}" + ("" if fault.endswith("?") else "."),
        next_step="Correct it and run again; data/scenarios/example.toml is an example, REFERENCE.md lists the mechanisms.",
        where=f"{path.name}:{line}",
    )
