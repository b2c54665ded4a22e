"""Expected outcomes under review: TOML tables, by scenario, that override what a catalogue expects. For exercises of any kind.

A change of what must happen is then a change of a file that somebody approves.
"""

import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from data.errors import BadInput, MissingFile
from data.scenarios.team_file import line_of

Form = TypeVar("Form", bound=BaseModel)


def read_review(file: Path, find: Callable[[str], Collection[str]], known: Collection[str], form: type[Form]) -> dict[str, Form]:
    """The file's tables by scenario name, each as a `form`.

    `find` gives the scenarios that a name or id stands for, none where there is none; `known` is told then. Raises MissingFile,
    or BadInput naming the line that does not fit.
    """
    try:
        text = file.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise MissingFile("The file of expected outcomes cannot be read.", next_step="Name another.", where=str(file)) from error
    except ValueError as error:
        raise BadInput(f"{file.name} is not TOML: {error}.", next_step="Correct that line.", where=str(file)) from error
    reviewed: dict[str, Form] = {}
    for key, table in tables.items():
        names = find(key)
        if not names:
            raise _unusable(file, line_of(text, (key,)), f"no scenario has this name or id; there are {', '.join(known)}")
        try:
            reviewed |= dict.fromkeys(names, form.model_validate(table))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"] if isinstance(step, str)) or key
            fault = f"{where}: {first['msg'].removeprefix('Value error, ')}"
            raise _unusable(file, line_of(text, (key, *first["loc"])), fault) from None
    return reviewed


def _unusable(file: Path, line: int, fault: str) -> BadInput:
    return BadInput(f"{file.name}, line {line}: {fault}.", next_step="Correct it and run again.", where=f"{file.name}:{line}")
