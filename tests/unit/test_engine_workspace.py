"""The learner's folders and progress survive whatever happens: resets that are killed, two commands at once, a broken file."""

import json
import threading
from pathlib import Path

import pytest

from data.errors import BadInput, MissingFile
from labs.engine import prove_reset
from labs.engine.course import Course, Lab
from labs.engine.outcome import CheckResult, State
from labs.engine.progress import FILE, Progress, changing
from labs.engine.prove_reset import reset_faults
from labs.engine.workspace import Workspace, fingerprint, mirror
from tests.tiny_course import TINY


@pytest.fixture
def lab() -> Lab:
    return Course(TINY).lab("decision")


@pytest.fixture
def workspace(lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    made.begin(lab)
    return made


def test_beginning_again_leaves_the_learners_files_alone(lab: Lab, workspace: Workspace) -> None:
    (workspace.folder(lab) / "answers.toml").write_text("mine")
    assert not workspace.begin(lab)
    assert (workspace.folder(lab) / "answers.toml").read_text() == "mine"


def test_a_lab_that_was_not_begun_names_the_command_that_begins_it(workspace: Workspace) -> None:
    with pytest.raises(MissingFile) as failure:
        workspace.folder(Course(TINY).lab("total"))
    assert "lab start 01" in failure.value.next_step


def test_a_reset_gives_the_start_back_and_keeps_the_attempt(lab: Lab, workspace: Workspace) -> None:
    folder = workspace.folder(lab)
    (folder / "answers.toml").write_text("mine")
    (folder / "new").mkdir()
    (folder / "new" / "link").symlink_to("/nowhere")
    (folder / "measure.sh").unlink()
    (folder / "measure.sh").mkdir()
    workspace.reset(lab)
    assert fingerprint(folder) == fingerprint(lab.start)
    assert (workspace.root / ".before" / lab.name / "answers.toml").read_text() == "mine"


def test_a_reset_keeps_the_folder_itself_as_a_shell_may_stand_in_it(lab: Lab, workspace: Workspace) -> None:
    before = workspace.folder(lab).stat().st_ino
    workspace.reset(lab)
    assert workspace.folder(lab).stat().st_ino == before


def test_a_reset_killed_at_any_of_its_steps_leaves_the_attempt_or_the_start(
    lab: Lab, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove_reset, "_KILLS", 1_000)  # more than it has steps: each of them
    assert list(reset_faults(lab, workspace)) == []


def test_a_reset_without_its_marker_would_be_found_out(lab: Lab, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Workspace, lab: Lab) -> None:
        mirror(lab.start, self.root / lab.name)

    monkeypatch.setattr(prove_reset, "_KILLS", 1_000)
    monkeypatch.setattr(Workspace, "reset", careless)
    assert any("neither the start nor the attempt" in fault for fault in reset_faults(lab, workspace))


def test_whether_a_file_can_be_run_counts_as_content(lab: Lab, workspace: Workspace) -> None:
    script = workspace.folder(lab) / "measure.sh"
    script.chmod(0o755 if not script.stat().st_mode & 0o100 else 0o644)
    assert fingerprint(workspace.folder(lab)) != fingerprint(lab.start)
    workspace.reset(lab)
    assert fingerprint(workspace.folder(lab)) == fingerprint(lab.start)


def test_the_solution_lies_beside_the_attempt_until_a_reset(lab: Lab, workspace: Workspace) -> None:
    placed = workspace.place_solution(lab)
    assert (placed / "answers.toml").read_text() == (lab.solution / "answers.toml").read_text()
    assert "?" in (workspace.folder(lab) / "answers.toml").read_text()
    workspace.reset(lab)
    assert not placed.exists()


def result(state: State, check: str = "line_is_drawn", **figures: float) -> CheckResult:
    return CheckResult("L02", check, "the line", state, figures=figures)


def test_progress_is_what_passed_and_what_was_measured(lab: Lab, tmp_path: Path) -> None:
    with changing(tmp_path) as progress:
        progress.current = lab.id
        progress.begun(lab).note([result("passed", line=0.25)])
    again = Progress.load(tmp_path)
    assert (again.current, again.of(lab).done(lab), again.of(lab).figures) == ("L02", True, {"line": 0.25})


@pytest.mark.parametrize(("state", "still"), [("incorrect", False), ("not started", False), ("cannot check", True), ("passed", True)])
def test_a_check_that_is_not_right_any_more_is_no_longer_passed(lab: Lab, state: State, still: bool) -> None:
    progress = Progress()
    progress.begun(lab).note([result("passed")])
    progress.begun(lab).note([result(state)])
    assert progress.of(lab).done(lab) == still


def test_progress_that_fails_on_the_way_is_not_written(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), changing(tmp_path) as progress:
        progress.current = "L01"
        raise ZeroDivisionError
    assert Progress.load(tmp_path).current is None


def test_two_commands_at_once_both_get_their_word(tmp_path: Path) -> None:
    labs = Course(TINY).labs

    def note(lab: Lab) -> None:
        for _ in range(20):
            with changing(tmp_path) as progress:
                progress.begun(lab).hints["a"] = progress.begun(lab).hints.get("a", 0) + 1

    threads = [threading.Thread(target=note, args=(lab,)) for lab in labs for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Progress.load(tmp_path).of(lab).hints["a"] for lab in labs] == [40, 40]


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"current": None}), json.dumps({"current": None, "labs": {"L01": {"won": 1}}})])
def test_a_progress_file_that_is_none_is_named_and_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadInput, match="delete it to begin anew"), changing(tmp_path):
        pass
    assert (tmp_path / FILE).read_text() == text
