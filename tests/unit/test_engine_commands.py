"""The commands of a course, as a learner meets them: one screen, four outcomes, graded hints, verdicts for CI."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
from typer.testing import CliRunner

from labs.cli import app
from labs.commands import course_check
from labs.engine import prepare
from labs.engine.checking import run_checks
from labs.engine.live_state import Mark
from labs.engine.outcome import CheckResult
from labs.engine.progress import FILE
from labs.failures import INTERRUPTED
from services.processes import has_ended
from tests.integration.scoring.server import wait_until
from tests.tiny_course import TINY, copied

Run = Callable[..., tuple[int, str, str]]
RIGHT = "def total(amounts):\n    return sum(amounts)\n"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "lab"))
    monkeypatch.setenv("LAB_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("LAB_COURSE", str(TINY))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "workspace"


@pytest.fixture
def run(workspace: Path) -> Run:
    """Runs the command in this process: (exit status, standard output, standard error)."""

    def invoke(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.stdout, result.stderr

    return invoke


def test_lab_alone_says_on_one_screen_where_one_is_and_what_is_next(run: Run, workspace: Path) -> None:
    status, out, _ = run()
    assert status == 0
    assert "lab start 01" in out
    assert "0 of 2 labs passed" in out
    run("start", "02")
    out = run()[1]
    assert "You are at   L02 decision, 0 of 1 checks, in workspace/02_decision/" in out
    assert "lab check 02" in out
    assert len(out.splitlines()) <= 24
    assert max(len(line) for line in out.splitlines()) <= 80


def test_the_list_of_commands_is_still_a_word_away(run: Run) -> None:
    assert "rollback" in run("--help")[1]


def test_a_lab_goes_from_not_started_over_incorrect_to_passed(run: Run, workspace: Path) -> None:
    assert run("start", "01")[0] == 0
    status, out, _ = run("check")
    assert (status, out.count("not started")) == (3, 2)
    (workspace / "01_total" / "total.py").write_text("def total(amounts):\n    return 2 * sum(amounts)\n")
    status, out, _ = run("check", "01")
    assert status == 1
    assert "incorrect" in out
    assert "twice what was paid" in out
    (workspace / "01_total" / "total.py").write_text(RIGHT)
    status, out, _ = run("check", "01")
    assert status == 0
    assert "L01 is passed" in out
    assert "6.0 EUR (expected 5.0 to 7.0 EUR)" in out
    assert "1 of 2 labs passed" in run()[1]


def test_start_alone_goes_on_with_the_next_lab(run: Run, workspace: Path) -> None:
    assert "L01" in run("start")[1]
    (workspace / "01_total" / "total.py").write_text(RIGHT)
    run("check")
    assert "L02" in run("start")[1]


def test_start_shows_the_first_step_and_never_overwrites(run: Run, workspace: Path) -> None:
    out = run("start", "total")[1]
    assert "How much was paid?" in out
    assert "workspace/01_total/" in out
    (workspace / "01_total" / "total.py").write_text("mine")
    assert "as you left them" in run("start", "01")[1]
    assert (workspace / "01_total" / "total.py").read_text() == "mine"


def test_check_before_start_is_not_started_and_names_the_command(run: Run) -> None:
    status, out, _ = run("check", "02")
    assert status == 3
    assert "lab start 02" in out


def test_check_without_any_lab_is_told_how_to_begin(run: Run) -> None:
    status, _, err = run("check")
    assert status == 65
    assert "lab list" in err


def test_a_lab_whose_system_is_not_up_cannot_be_checked_and_names_the_command(run: Run, tmp_path: Path) -> None:
    course = copied(tmp_path, "01_total/lab.toml", "minutes = 5", 'minutes = 5\nneeds = "service"')
    (tmp_path / "workspace" / "01_total").mkdir(parents=True)
    status, out, _ = run("--course", str(course.folder), "check", "01")
    assert (status, out.count("cannot check")) == (4, 2)
    assert "lab start 01" in out


def test_hints_are_graded_and_the_last_one_leads_to_the_solution(run: Run) -> None:
    run("start", "01")
    first, second, third = (run("hint", "01")[1] for _ in range(3))
    assert "hint 1 of 2" in first
    assert "Python has a word for it" in second
    assert "--give-up" not in second
    assert "hint 2 of 2" in third
    assert "lab solution 01 --give-up" in third
    assert "total of nothing" in run("hint", "01", "--check", "bears_nothing")[1]


def test_one_check_alone_is_asked_for_by_its_number_its_name_or_its_file(run: Run, workspace: Path) -> None:
    run("start", "01")
    (workspace / "01_total" / "total.py").write_text(RIGHT)
    for asked in ("2", "bears_nothing"):
        status, out, _ = run("check", "--check", asked)
        assert (status, out.count("passed")) == (0, 1)
        assert "no payment is no money: passed" in out
    assert "the total adds up" in run("check", "--check", "total.py")[1]
    status, _, err = run("hint", "--check", "nothing")
    assert status == 65
    assert "1 adds_up, 2 bears_nothing" in err
    assert run("check", "--all", "--check", "1")[0] == 65


def test_figures_stand_below_their_check_each_on_its_line(run: Run, workspace: Path) -> None:
    run("start", "01")
    (workspace / "01_total" / "total.py").write_text(RIGHT)
    lines = [line.rstrip() for line in run("check")[1].splitlines()]
    below = lines[lines.index("✓ the total adds up: passed") + 1]
    assert below.startswith("    ")
    assert below.endswith("6.0 EUR")


def test_whoever_stops_the_checks_keeps_what_passed(run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("start", "01")
    (workspace / "01_total" / "total.py").write_text(RIGHT)

    def stopped(*arguments: Any) -> Iterator[CheckResult]:
        yield next(run_checks(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(course_check, "run_checks", stopped)
    assert run("check")[0] == INTERRUPTED
    assert json.loads((workspace / FILE).read_text())["labs"]["L01"]["passed"] == ["adds_up"]


def test_a_check_of_a_lab_that_was_not_started_leaves_no_progress(run: Run, workspace: Path) -> None:
    run("check", "02")
    assert "0 of 1 checks" not in run("list")[1]


def test_the_next_lab_says_whose_changes_to_the_system_are_put_back(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course = copied(tmp_path, "01_total/lab.toml", "minutes = 5", 'minutes = 5\nneeds = "service"')
    monkeypatch.setattr(prepare.Preparation, "bring", lambda *_, **__: None)
    Mark("champion-1", "L15").write(tmp_path / "lab")
    assert "What L15 changed in the running system is put back" in run("--course", str(course.folder), "start", "01")[1]
    Mark("champion-1", "L01").write(tmp_path / "lab")
    assert "put back" not in run("--course", str(course.folder), "start", "01")[1]


@pytest.mark.parametrize("ours", [True, False])
def test_start_says_how_to_have_our_python_where_a_shell_would_find_another(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ours: bool
) -> None:
    for name in ("python", "activate", "other/python"):
        (tmp_path / "bin" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bin" / name).touch(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin" if ours else tmp_path / "bin" / "other"))
    assert ("source bin/activate" in run("start", "01")[1]) is not ours


def test_hints_go_on_with_the_first_check_that_is_not_passed(run: Run, workspace: Path) -> None:
    run("start", "01")
    (workspace / "01_total" / "total.py").write_text("def total(amounts):\n    return amounts[0] + sum(amounts[1:])\n")
    run("check")
    assert "no payment is no money" in run("hint")[1]


def test_a_solution_is_shown_after_passing_or_giving_up_only(run: Run, workspace: Path) -> None:
    run("start", "01")
    status, _, err = run("solution", "01")
    assert status == 65
    assert "lab hint 01" in err
    assert not (workspace / "01_total" / "solution").exists()
    assert run("solution", "01", "--give-up")[0] == 0
    assert "sum(amounts)" in (workspace / "01_total" / "solution" / "total.py").read_text()


def test_a_reset_forgets_what_passed_and_says_where_the_attempt_is(run: Run, workspace: Path) -> None:
    run("start", "01")
    (workspace / "01_total" / "total.py").write_text(RIGHT)
    run("check")
    assert "workspace/.before/01_total/" in run("reset")[1]
    assert run("check")[0] == 3
    assert (workspace / ".before" / "01_total" / "total.py").read_text() == RIGHT


def test_the_guide_may_be_read_whole_or_by_its_steps(run: Run) -> None:
    run("start", "01")
    assert "The trap" in run("guide")[1]
    assert "The trap" not in run("guide", "--step", "2")[1]
    assert run("guide", "--step", "3")[0] == 65


def test_all_checks_every_lab_that_was_started(run: Run, workspace: Path) -> None:
    assert run("check", "--all")[0] == 3
    run("start", "01")
    run("start", "02")
    (workspace / "01_total" / "total.py").write_text(RIGHT)
    status, out, _ = run("check", "--all")
    assert status == 3
    assert "3 checks: 2 passed, 1 not started" in out


@pytest.fixture
def three_kinds(run: Run, workspace: Path) -> None:
    run("start", "02")
    run("start", "01")
    (workspace / "01_total" / "total.py").write_text("def total(amounts):\n    return sum(amounts) if amounts else None\n")


@pytest.mark.usefixtures("three_kinds")
def test_json_for_ci_is_one_document_of_the_same_verdicts(run: Run) -> None:
    status, out, err = run("check", "--all", "--format", "json")
    facts = json.loads(out)
    assert (status, facts["result"], facts["exit_status"]) == (1, "incorrect", 1)
    assert [check["state"] for check in facts["checks"]] == ["passed", "incorrect", "not started"]
    assert facts["checks"][0]["figures"] == {"paid": 6.0}
    assert "L01" in err
    assert run("check", "--all", "--format", "json")[1] == out


@pytest.mark.usefixtures("three_kinds")
def test_junit_for_ci_counts_failures_and_skips(run: Run) -> None:
    status, out, _ = run("check", "--all", "--format", "junit")
    suite = ElementTree.fromstring(out)[0]
    assert status == 1
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "0", "skipped": "1",
    }  # fmt: skip
    assert [case.get("classname") for case in suite] == ["labs.L01", "labs.L01", "labs.L02"]


@pytest.mark.usefixtures("three_kinds")
def test_github_for_ci_annotates_what_is_wrong(run: Run) -> None:
    lines = run("check", "--all", "--format", "github")[1].splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::notice", "::notice"]
    assert "not started: Edit answers.toml" in lines[1]


def test_a_format_that_there_is_not_is_refused_by_those_there_are(run: Run) -> None:
    status, _, err = run("check", "--format", "xml")
    assert status == 65
    assert "text, json, junit, github" in err


def test_a_stack_trace_is_shown_to_those_who_ask_only(run: Run, workspace: Path) -> None:
    run("start", "01")
    (workspace / "01_total" / "total.py").write_text("def total(amounts):\n    return 1 / 0\n")
    out = run("check")[1]
    assert "Traceback" not in out
    assert "lab check 01 --trace" in out
    out = run("check", "--trace")[1]
    assert "Traceback" in out
    assert "learner_child" not in out


def test_nothing_is_coloured_where_colour_is_not_wanted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(run(*words)[1] for words in (("start", "01"), ("check",), ("list",), ()))


def test_the_list_and_the_points_are_for_programs_too(run: Run) -> None:
    listed = json.loads(run("list", "--json")[1])
    assert [(lab["id"], lab["passed"]) for lab in listed] == [("L01", []), ("L02", [])]
    assert json.loads(run("points", "--json")[1])[0]["covered_by"] == ["L01"]
    assert "1 of 2 talking points are covered; 1 wait" in run("points")[1]


def test_a_course_of_ones_own_begins_with_a_lab_and_says_how_to_prove_it(run: Run, tmp_path: Path) -> None:
    course = ("--course", str(tmp_path / "ours"))
    status, out, _ = run(*course, "dev", "new", "21_my_lab")
    assert status == 0
    assert f"lab --course {tmp_path / 'ours'} dev check 21_my_lab" in out
    assert "lab start 21" in run(*course)[1]
    assert "names no talking points" in run(*course, "points")[1]


def test_progress_is_one_small_text_file(run: Run, workspace: Path) -> None:
    run("start", "01")
    run("check")
    assert (workspace / FILE).stat().st_size < 1_000
    assert json.loads((workspace / FILE).read_text())["current"] == "L01"


def test_a_broken_lab_says_so_before_anything_is_made(run: Run, tmp_path: Path) -> None:
    course = copied(tmp_path, "01_total/check.py", "def adds_up", "def adds_down")
    status, _, err = run("--course", str(course.folder), "start", "01")
    assert status == 65
    assert "lacks adds_up" in err
    assert not (tmp_path / "workspace").exists()


def test_watch_checks_again_on_a_save_until_all_is_passed(run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("start", "01")
    checked, done = threading.Event(), []
    check_lab = course_check.check_lab

    def noting(*arguments: object, **keywords: object) -> object:
        try:
            return check_lab(*arguments, **keywords)  # type: ignore[arg-type]
        finally:
            checked.set()

    monkeypatch.setattr(course_check, "check_lab", noting)
    watcher = threading.Thread(target=lambda: done.append(course_check.watch("01")), daemon=True)
    watcher.start()
    assert checked.wait(30)
    deadline = monotonic() + 30
    while not done and monotonic() < deadline:  # the first saves may come before anybody watches
        (workspace / "01_total" / "total.py").write_text(RIGHT)
        watcher.join(0.5)
    assert done == [0]


def test_a_check_that_is_ended_takes_the_learners_code_along(run: Run, workspace: Path) -> None:
    run("start", "01")
    pid = workspace / "pid"
    code = f"import os, time\n\ndef total(amounts):\n    open({str(pid)!r}, 'w').write(f'{{os.getpid()}}\\n')\n    time.sleep(60)\n"
    (workspace / "01_total" / "total.py").write_text(code)
    checking = subprocess.Popen([sys.executable, "-c", "from labs.cli import main; main()", "check", "01"], stdout=subprocess.DEVNULL)
    wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), "the learner's code runs")
    checking.terminate()
    assert checking.wait(20) != 0
    left = int(pid.read_text())
    wait_until(lambda: not psutil.pid_exists(left) or has_ended(psutil.Process(left)), "the learner's process is gone")
