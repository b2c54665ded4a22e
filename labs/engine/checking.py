"""Runs the checks of a lab: each ends in one of four outcomes, whatever happens inside.

Called by `lab check`, `lab watch` and the proof of the authoring contract.
"""

import importlib.util
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import httpx

from data.errors import (
    BadInput,
    BadSetting,
    DiskFull,
    LabError,
    LogUnavailable,
    MissingFile,
    MissingLibrary,
    NoModel,
    PortInUse,
    ProcessDied,
    RegistryUnavailable,
    ServiceDown,
)
from data.settings import Settings
from labs.engine.course import Check, Lab
from labs.engine.learner import LearnersFault
from labs.engine.outcome import CannotCheck, CheckResult, Incorrect, NotStarted, Passed
from labs.engine.workplace import Workplace

Function = Callable[[Workplace], Passed]
# The machine's or the system's doing, hence no verdict on the answer.
_DOWN: Final = (
    ServiceDown,
    RegistryUnavailable,
    ProcessDied,
    PortInUse,
    NoModel,
    LogUnavailable,
    DiskFull,
    BadSetting,
    MissingLibrary,
)


def run_checks(lab: Lab, folder: Path, settings: Settings, wanted: list[Check] | None = None) -> Iterator[CheckResult]:
    """Each check's result as it comes, in the order of lab.toml. Raises BadInput when check.py lacks one of them."""
    functions = load_checks(lab)
    for check in lab.checks if wanted is None else wanted:
        at = Workplace(lab, folder, settings)
        try:
            yield run_check(lab, check, functions[check.name], at)
        finally:
            at.close()


def run_check(lab: Lab, check: Check, function: Function, at: Workplace) -> CheckResult:
    """One check, to one of the four outcomes."""
    began = time.monotonic()

    def result(state: str, why: str = "", look: str = "", **more: object) -> CheckResult:
        return CheckResult(lab.id, check.name, check.title, state, why, look, seconds=time.monotonic() - began, **more)  # type: ignore[arg-type]

    try:
        if check.file is not None and at.unchanged(check.file):
            raise NotStarted(f"Edit {check.file}; it is as you got it.")
        passed = function(at)
        return result("passed", figures=dict(passed.figures))
    except NotStarted as outcome:
        return result("not started", look=outcome.next_step)
    except Incorrect as outcome:
        trace = outcome.trace if isinstance(outcome, LearnersFault) else ""
        return result("incorrect", outcome.why, outcome.look, figures=outcome.figures, trace=trace)
    except CannotCheck as outcome:
        return result("cannot check", outcome.down, outcome.command)
    except MissingFile as error:
        return result("cannot check", error.message, f"`lab start {lab.short}` brings up what this lab needs.")
    except _DOWN as error:
        return result("cannot check", error.message, f"`lab start {lab.short}` brings up what this lab needs. {error.next_step}")
    except LabError as error:
        return result("incorrect", error.message, error.next_step)
    except httpx.TransportError as error:
        return result("cannot check", f"A service did not answer ({type(error).__name__}).", f"`lab start {lab.short}` brings it up.")
    except Exception as error:
        why = f"The lab's own check is broken ({type(error).__name__}); your work is not at fault."
        return result("cannot check", why, f"See where with `lab check {lab.short} --trace`.", trace=traceback.format_exc())


def load_checks(lab: Lab) -> dict[str, Function]:
    """The functions of check.py by name. Raises MissingFile or BadInput when the file or a function is missing or broken."""
    file = lab.folder / "check.py"
    module = _load(file, f"check_of_{lab.id}")
    missing = [check.name for check in lab.checks if not callable(getattr(module, check.name, None))]
    if missing:
        raise BadInput(
            f"{lab.name}/check.py lacks {', '.join(missing)}.", next_step="Add a function for each check of lab.toml.", where=str(file)
        )
    return {check.name: getattr(module, check.name) for check in lab.checks}


def _load(file: Path, name: str) -> ModuleType:
    if not file.is_file():
        raise MissingFile("A lab without a check.py cannot be checked.", next_step="Add one, or leave the folder out.", where=str(file))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # it is a Python file
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadInput(
            f"check.py of {file.parent.name} cannot be loaded: {error}.", next_step="Correct it there.", where=str(file)
        ) from error
    return module
