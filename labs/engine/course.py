"""A course on disk: a folder with course.toml and one folder per lab, each with lab.toml, README.md, check.py, start/, solution/, wrong/.

Read by every part of the engine; knows nothing of any particular lab. labs/course/AUTHORING.md is the contract for authors.
"""

import re
import tomllib
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from data.errors import BadInput, MissingFile

Need = Literal["nothing", "data", "champion", "service", "traffic", "challenger"]
NEEDS: Final[tuple[Need, ...]] = ("nothing", "data", "champion", "service", "traffic", "challenger")  # each includes those before it
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
_Parsed = TypeVar("_Parsed", bound=BaseModel)


class Part(BaseModel):
    """A piece of a course's TOML: nothing unknown in it, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(Part):
    """One check: a function of check.py. `file`: the learner's file that it judges; untouched, the check was not started."""

    name: Name
    title: Line
    hints: list[Line] = Field(min_length=2)
    file: str | None = None
    slow: bool = False  # over two seconds; `lab watch` runs it only when its file changed


class Wrong(Part):
    """A known wrong answer, wrong/<folder>/: `check` must find it incorrect and say `says` (part of why or look)."""

    folder: Name
    check: Name
    says: Line
    guide: bool = True  # whether the guide's blocks are run before it


class Figure(Part):
    """A number that the guide promises, as `{name}`: checks measure it, and it must lie in [low, high]."""

    name: Name
    title: Line
    low: float
    high: float
    digits: int = Field(3, ge=0, le=6)
    unit: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.high:
            raise ValueError("low must not be above high")
        return self

    def text(self, value: float) -> str:
        """A value as people read it."""
        return f"{value:,.{self.digits}f}{' ' if self.unit not in ('', '%') else ''}{self.unit}"

    @property
    def band(self) -> str:
        return self.text(self.high) if self.low == self.high else f"{self.low:,.{self.digits}f} to {self.text(self.high)}"

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


class Lab(Part):
    """One lab, as its lab.toml says."""

    folder: Path
    id: Annotated[str, StringConstraints(pattern=r"^[A-Z]\d\d$")]
    title: Line
    question: Line
    minutes: int = Field(ge=1, le=240)
    points: list[Annotated[str, StringConstraints(pattern=r"^T\d\d$")]] = []
    needs: Need = "nothing"
    changes_live: bool = False  # the learner changes who serves, the log or the drift: `lab reset` and the next `lab start` put it back
    checks: list[Check] = Field(min_length=1)
    wrong: list[Wrong] = []
    figures: list[Figure] = []
    check_s: float = Field(20, gt=0, le=120)  # budget of `lab check`, wall time on two cores
    whole_s: float = Field(90, gt=0, le=600)  # budget of the whole lab, unattended

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [check.name for check in self.checks]
        for kind, all_names in (
            ("check", names),
            ("figure", [f.name for f in self.figures]),
            ("wrong answer", [w.folder for w in self.wrong]),
        ):
            twice = {name for name in all_names if all_names.count(name) > 1}
            if twice:
                raise ValueError(f"two of one name among the {kind}s: {', '.join(sorted(twice))}")
        for wrong in self.wrong:
            if wrong.check not in names:
                raise ValueError(f"the wrong answer {wrong.folder} names no check of this lab: {wrong.check}")
        return self

    @property
    def name(self) -> str:
        """What its folder is called, in the course and in the workspace."""
        return self.folder.name

    @property
    def short(self) -> str:
        """What to type after `lab start`."""
        return self.name.partition("_")[0]

    @property
    def start(self) -> Path:
        return self.folder / "start"

    @property
    def solution(self) -> Path:
        return self.folder / "solution"

    @property
    def guide(self) -> Path:
        return self.folder / "README.md"

    def figure(self, name: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.name == name), None)

    def check(self, asked: str) -> Check:
        """By name, by number as `lab check` lists them, or by its file. Raises BadInput naming those there are."""
        for number, check in enumerate(self.checks, 1):
            if asked in (check.name, str(number), check.file):
                return check
        known = ", ".join(f"{number} {check.name}" for number, check in enumerate(self.checks, 1))
        raise BadInput(f"{self.id} has no such check.", next_step=f"Choose among {known}.", where="--check")


class _CourseFile(Part):
    title: Line
    about: Line


class Course:
    """All labs of one folder. Raises MissingFile or BadInput, naming file and line, when it is no course."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        facts = read_toml(folder / "course.toml", _CourseFile)
        self.title, self.about = facts.title, facts.about

    @cached_property
    def labs(self) -> list[Lab]:
        """In the order of their folders' names."""
        folders = sorted(path.parent for path in self.folder.glob("*/lab.toml"))
        labs = [read_toml(folder / "lab.toml", Lab, folder=folder) for folder in folders]
        for first, second in pairwise(labs):
            if first.id == second.id or first.short == second.short:
                raise BadInput(f"{first.name} and {second.name} share the id {first.id}.", next_step="Give one another id.", where="id")
        return labs

    def lab(self, asked: str) -> Lab:
        """By number, id, folder or name: `4`, `04`, `L04`, `04_imbalance`, `imbalance`. Raises BadInput naming those there are."""
        wanted = asked.strip().lower()
        for lab in self.labs:
            rest = lab.name.partition("_")[2].lower()
            if wanted in {lab.id.lower(), lab.name.lower(), lab.short.lower(), lab.short.lower().lstrip("0") or "0", rest}:
                return lab
        known = ", ".join(lab.short for lab in self.labs) or "none yet"
        raise BadInput("There is no such lab in the course.", next_step=f"Choose among {known}; `lab list` describes them.", where=asked)


def read_toml(file: Path, kind: type[_Parsed], **more: Any) -> _Parsed:
    """A TOML file as a pydantic model. Raises MissingFile, or BadInput naming file and line."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        raise MissingFile(
            f"There is no {file.name} in {file.parent}.", next_step="Name another folder, or add it.", where=str(file)
        ) from None
    try:
        return kind.model_validate({**tomllib.loads(text), **more})
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{file.name} is not TOML: {error}.", next_step="Correct it there.", where=str(file)) from None
    except ValidationError as error:
        where, said = problem(text, error)
        raise BadInput(f"{file.name}{where}: {said}.", next_step="Correct it there.", where=f"{file}{where}") from None


def problem(text: str, error: ValidationError) -> tuple[str, str]:
    """Where in the TOML `text` the first fault lies (`:12`, or nothing) and what it is, input not repeated."""
    faults = error.errors()
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])  # a misspelt key is also a missing one
    path = [part for part in first["loc"] if part != "function-after"]
    message = first["msg"].removeprefix("Value error, ")
    line = _line(text.splitlines(), path)
    said = f"{'.'.join(str(part) for part in path)}: " if path else ""
    return f":{line}" if line else "", f"{said}{message[:1].lower()}{message[1:]}"


def _line(lines: list[str], path: list[str | int]) -> int | None:
    """The line, counted from 1, of a key; of the table that lacks it, where there is one; None for one missing at the top."""
    headers = [number for number, line in enumerate(lines) if path and re.match(rf"\s*\[+\s*{re.escape(str(path[0]))}\s*\]", line)]
    if headers and len(path) > 1 and isinstance(path[1], int) and path[1] < len(headers):
        return _key_line(lines, headers[path[1]] + 1, path[2:]) or headers[path[1]] + 1
    return headers[0] + 1 if headers else _key_line(lines, 0, path)


def _key_line(lines: list[str], start: int, path: list[str | int]) -> int | None:
    """The line of a key between `start` and the next table."""
    for number in range(start, len(lines)):
        if lines[number].lstrip().startswith("["):
            break
        if path and re.match(rf"\s*{re.escape(str(path[0]))}\s*[=.]", lines[number]):
            return number + 1
    return None
