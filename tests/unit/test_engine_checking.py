"""A check ends in one of four outcomes, whatever the learner's code, the system or the check itself does."""

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydantic import BaseModel, Field

from data.errors import BadBatch, BadInput, MissingFile, NoModel, RegistryUnavailable, ServiceDown
from data.settings import Settings
from labs.engine import CannotCheck, Incorrect, NotStarted, Passed, Workplace
from labs.engine.checking import load_checks, run_check, run_checks
from labs.engine.course import Course, Lab
from labs.engine.outcome import CheckResult, overall
from labs.engine.workspace import Workspace
from tests.tiny_course import TINY, copied


@pytest.fixture
def lab() -> Lab:
    return Course(TINY).lab("total")


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    workspace = Workspace(tmp_path / "workspace")
    workspace.begin(lab)
    return workspace.folder(lab)


@pytest.fixture
def at(lab: Lab, folder: Path, settings: Settings) -> Workplace:
    return Workplace(lab, folder, settings)


def write(folder: Path, body: str, file: str = "total.py") -> None:
    (folder / file).write_text(body)


def judged(at: Workplace, function: Callable[[Workplace], Passed]) -> CheckResult:
    try:
        return run_check(at.lab, at.lab.checks[1], function, at)  # it names no file
    finally:
        at.close()


def raising(error: Exception) -> Callable[[Workplace], Passed]:
    def function(_: Workplace) -> Passed:
        raise error

    return function


def calling(body: str, *arguments: object, timeout_s: float = 10) -> Callable[[Workplace], Passed]:
    def function(at: Workplace) -> Passed:
        write(at.folder, body)
        at.load("total.py").call("total", *arguments, timeout_s=timeout_s)
        return Passed()

    return function


def test_the_start_is_not_started_and_a_right_answer_passes_with_its_figures(lab: Lab, folder: Path, settings: Settings) -> None:
    assert {result.state for result in run_checks(lab, folder, settings)} == {"not started"}
    write(folder, "def total(amounts):\n    return sum(amounts)\n")
    results = list(run_checks(lab, folder, settings))
    assert [result.state for result in results] == ["passed", "passed"]
    assert results[0].figures == {"paid": 6.0}


def test_an_untouched_file_is_not_started_without_running_anything(lab: Lab, at: Workplace) -> None:
    result = run_check(lab, lab.checks[0], raising(AssertionError("it was run")), at)
    assert (result.state, result.look) == ("not started", "Edit total.py; it is as you got it.")


@pytest.mark.parametrize(
    ("error", "state", "why", "look"),
    [
        (Incorrect("Too low.", "look here"), "incorrect", "Too low.", "look here"),
        (NotStarted("Do it."), "not started", "", "Do it."),
        (CannotCheck("The moon is down.", "lab up moon"), "cannot check", "The moon is down.", "lab up moon"),
        (ServiceDown("It does not answer.", next_step="Start it."), "cannot check", "It does not answer.", "`lab start 01`"),
        (RegistryUnavailable("No answer.", next_step="Start it."), "cannot check", "No answer.", "`lab start 01`"),
        (NoModel("Nobody serves.", next_step="Train."), "cannot check", "Nobody serves.", "`lab start 01`"),
        (MissingFile("There is no prediction log.", next_step="Send."), "cannot check", "There is no prediction log.", "`lab start 01`"),
        (httpx.ConnectError("refused"), "cannot check", "ConnectError", "`lab start 01`"),
        (BadBatch("Days contradict.", next_step="Mend them."), "incorrect", "Days contradict.", "Mend them."),
        (ZeroDivisionError("by zero"), "cannot check", "your work is not at fault", "--trace"),
    ],
)
def test_whatever_a_check_raises_is_one_of_the_four(at: Workplace, error: Exception, state: str, why: str, look: str) -> None:
    result = judged(at, raising(error))
    assert result.state == state
    assert why in result.why
    assert look in result.look


@pytest.mark.parametrize(
    ("body", "state", "why", "look"),
    [
        ("def total(a):\n    return a[9]\n", "incorrect", "IndexError: list index out of range", "total.py, line 2"),
        ("def total(a):\n    raise NotImplementedError('Write it.')\n", "not started", "", "Write it."),
        ("def total(a:\n", "incorrect", "SyntaxError", "total.py, line 1"),
        ("import no_such_library\n", "incorrect", "No module named 'no_such_library'", "total.py, line 1"),
        ("def other(a):\n    return 1\n", "incorrect", "defines no function `total`", "Define it"),
        ("import os\ndef total(a):\n    os._exit(3)\n", "incorrect", "ended its process", "it must return"),
        ("def total(a):\n    raise SystemExit(1)\n", "incorrect", "SystemExit", "line 2"),
        ("class Mine: ...\ndef total(a):\n    return Mine()\n", "incorrect", "its own class", "plain values"),
        ("def total(a):\n    return lambda: a\n", "incorrect", "", ""),
    ],
)
def test_what_the_learners_code_does_wrong_is_said_with_its_line(at: Workplace, body: str, state: str, why: str, look: str) -> None:
    result = judged(at, calling(body, [1.0]))
    assert result.state == state
    assert why in result.why
    assert look in result.look


def test_an_endless_loop_is_ended_at_the_time_limit_and_is_incorrect(at: Workplace) -> None:
    result = judged(at, calling("def total(a):\n    while True: pass\n", [1.0], timeout_s=0.3))
    assert result.state == "incorrect"
    assert "took longer than 0.3 s" in result.why


def test_the_stack_of_the_learners_failure_is_kept_for_those_who_ask(at: Workplace) -> None:
    result = judged(at, calling("def total(a):\n    return inner(a)\ndef inner(a):\n    return 1 / 0\n", [1.0]))
    assert "in inner" in result.trace
    assert "Traceback" not in result.why + result.look


def test_what_the_learners_code_prints_does_not_disturb_its_answer(at: Workplace) -> None:
    def function(at: Workplace) -> Passed:
        write(at.folder, "print('loading')\ndef total(a):\n    print(a)\n    return a.sum()\n")
        code = at.load("total.py")
        assert (code.call("total", np.arange(4)), code.call("total", np.ones(3))) == (6, 3.0)
        return Passed()

    assert judged(at, function).state == "passed"


def test_a_script_of_the_learners_is_run_in_its_folder_with_the_labs_settings(at: Workplace) -> None:
    write(at.folder, "import os, sys\nprint(os.environ['LAB_HOME'], sys.argv[1])\nraise SystemExit(4)\n", "run.py")
    done = at.run("run.py", "word")
    assert (done.status, done.stdout) == (4, f"{at.settings.home} word\n")


def test_a_script_that_does_not_end_is_ended(at: Workplace) -> None:
    write(at.folder, "sleep 60\n", "run.sh")
    with pytest.raises(Incorrect, match="longer than"):
        at.run("run.sh", timeout_s=0.2)


class _Answers(BaseModel):
    line: float = Field(gt=0, lt=1)
    unit: str


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ('line = "?"\nunit = "score"\n', NotStarted, "Answer `line`"),
        ('line = 0.5\nunit = "?"\n', NotStarted, "Answer `unit`"),
        ('line = 2\nunit = "score"\n', Incorrect, "answers.toml:1: line: input should be less than 1"),
        ("line = 0.5\n", Incorrect, "unit: field required"),
        ("line = score\n", Incorrect, "is not TOML"),
        (f"line = {'9' * 5_000}\n", Incorrect, "is not TOML"),
    ],
)
def test_written_answers_are_read_with_clear_errors(at: Workplace, text: str, kind: type[Exception], said: str) -> None:
    write(at.folder, text, "answers.toml")
    with pytest.raises(kind, match=said.replace(".", r"\.")):
        at.answers("answers.toml", _Answers)


def test_a_file_that_the_learner_deleted_is_named_with_the_way_back(at: Workplace, folder: Path) -> None:
    (folder / "total.py").unlink()
    with pytest.raises(Incorrect) as failure:
        at.file("total.py")
    assert "lab reset 01" in failure.value.look


def test_a_lab_without_the_function_of_a_check_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    course = copied(tmp_path, "01_total/check.py", "def bears_nothing", "def bears_something")
    with pytest.raises(BadInput, match="lacks bears_nothing"):
        load_checks(course.lab("total"))


def test_a_check_file_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    course = copied(tmp_path, "01_total/check.py", "from labs.engine import", "from labs.engine import Nothing,")
    with pytest.raises(BadInput, match="cannot be loaded"):
        load_checks(course.lab("total"))


def test_a_given_module_is_the_pristine_one_whatever_the_learner_made_of_it(at: Workplace, folder: Path) -> None:
    write(folder, "def total(values):\n    return 'mine'\n")
    with pytest.raises(NotImplementedError):
        at.given("total.py").total([1])
    assert at.given("total.py") is at.given("total.py")


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ([], "not started"),
        (["passed", "passed"], "passed"),
        (["passed", "not started"], "not started"),
        (["cannot check", "not started"], "cannot check"),
        (["cannot check", "incorrect"], "incorrect"),
    ],
)
def test_the_whole_is_as_good_as_its_worst_check(states: list[str], whole: str) -> None:
    assert overall([CheckResult("L01", "one", "one", state) for state in states]) == whole  # type: ignore[arg-type]
