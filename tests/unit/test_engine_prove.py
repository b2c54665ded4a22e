"""The proof of the authoring contract finds every way to break it, and nothing in labs that keep it."""

import fcntl
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from data.settings import Settings
from labs.cli import app
from labs.engine import prove_reset
from labs.engine.course import Course
from labs.engine.prove import Proof, prove
from labs.engine.template import make_lab
from services.processes import has_ended
from tests.tiny_course import TINY, copied

FIGURE = '[[figures]]\nname = "profit"\ntitle = "profit"\nlow = 0\nhigh = 1\n\n'


@pytest.fixture
def one_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resets are killed once: what is proved here are other promises."""
    monkeypatch.setattr(prove_reset, "_KILLS", 1)


def proved(course: Path, name: str, tmp_path: Path, times: int = 1) -> Proof:
    return prove(name, Settings(home=tmp_path / "home", workspace=tmp_path / "workspace", course=course), times)


def broken(proof: Proof) -> str:
    return "\n".join(f"{finding.promise}: {finding.found}" for finding in proof.findings if not finding.kept)


@pytest.mark.parametrize("name", [lab.name for lab in Course(TINY).labs])
def test_labs_that_keep_the_contract_are_found_to(name: str, tmp_path: Path) -> None:
    proof = proved(TINY, name, tmp_path, times=2)
    assert broken(proof) == ""
    assert len(proof.findings) >= 8
    assert proof.whole_s > 0


def test_a_lab_from_the_template_keeps_the_contract(tmp_path: Path) -> None:
    make_lab(tmp_path / "ours", "21_my_lab", "mine")
    assert broken(proved(tmp_path / "ours", "21_my_lab", tmp_path)) == ""


@pytest.mark.usefixtures("one_kill")
@pytest.mark.parametrize(
    ("lab", "file", "old", "new", "promise", "found"),
    [
        ("01_total", "start/total.py", "raise NotImplementedError", "raise ValueError", "as shipped", "bears_nothing: incorrect"),
        ("02_decision", "solution/answers.toml", "0.25", "0.3", "the solution passes", "line_is_drawn: incorrect"),
        ("02_decision", "wrong/low/answers.toml", "0.1", "0.25", "wrong/low draws", "line_is_drawn: passed"),
        ("02_decision", "wrong/low/answers.toml", "0.1", "0.5", "wrong/low draws", "expected “too many reviews”"),
        ("01_total", "lab.toml", "high = 7.0", "high = 5.5", "figure", "paid is 6.0 EUR, not 5.0 to 5.5 EUR"),
        ("01_total", "lab.toml", 'name = "paid"', 'name = "profit"', "figure", "paid is measured and not declared"),
        ("02_decision", "lab.toml", "[[checks]]", FIGURE + "[[checks]]", "figure", "profit is declared and no check measures it"),
        ("02_decision", "lab.toml", "minutes = 10", "minutes = 10\ncheck_s = 1e-6", "budget", "its checks took"),
        ("02_decision", "lab.toml", "minutes = 10", "minutes = 10\nwhole_s = 1e-6", "budget", "the whole lab took"),
        ("02_decision", "README.md", "sh measure.sh", "sh nothing.sh", "the guide's blocks", "README.md:15 ended with status"),
        ("02_decision", "README.md", "```sh", "```sh status=3", "the guide's blocks", "ended with status 0"),
        ("02_decision", "README.md", "## The trap", "## The end", "the guide has its parts", "its sections are"),
        ("02_decision", "solution/do.sh", "= 0.25", "= 0.5", "the guide's blocks and the solution's commands", "solution/do.sh ended"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_found(tmp_path: Path, lab: str, file: str, old: str, new: str, promise: str, found: str) -> None:
    course = copied(tmp_path, f"{lab}/{file}", old, new)
    lines = broken(proved(course.folder, lab, tmp_path)).splitlines()
    assert [line for line in lines if promise in line.partition(": ")[0] and found in line], lines


@pytest.mark.usefixtures("one_kill")
def test_a_block_of_the_guide_that_never_ends_is_cut_off_and_found(tmp_path: Path) -> None:
    course = copied(tmp_path, "02_decision/README.md", "sh measure.sh", "sleep 600")
    description = course.folder / "02_decision" / "lab.toml"
    description.write_text(description.read_text().replace("minutes = 10", "minutes = 10\nwhole_s = 0.05"))
    assert "README.md:15 took longer than 0.2 s" in broken(proved(course.folder, "02_decision", tmp_path))


@pytest.mark.usefixtures("one_kill")
def test_a_budget_grows_with_the_load_that_was_there_while_it_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course = copied(tmp_path, "02_decision/lab.toml", "minutes = 10", "minutes = 10\ncheck_s = 1e-6")
    loads = iter([(1e9, 1e9, 0.0)])
    monkeypatch.setattr("os.getloadavg", lambda: next(loads, (0.0, 0.0, 0.0)))
    assert "budget" not in broken(proved(course.folder, "02_decision", tmp_path))


@pytest.mark.usefixtures("one_kill")
def test_patience_multiplies_the_budgets(tmp_path: Path) -> None:
    course = copied(tmp_path, "02_decision/lab.toml", "minutes = 10", "minutes = 10\ncheck_s = 1e-6\nwhole_s = 600")
    where = {"home": tmp_path / "home", "workspace": tmp_path / "workspace", "course": course.folder}
    assert "its checks took" in broken(prove("02_decision", Settings(**where), 1, 2.0))
    assert "budget" not in broken(prove("02_decision", Settings(**where), 1, 1e9))


@pytest.mark.usefixtures("one_kill")
def test_two_known_wrong_answers_are_too_few(tmp_path: Path) -> None:
    course = copied(tmp_path)
    file = course.folder / "01_total" / "lab.toml"
    file.write_text(file.read_text().replace('[[wrong]]\nfolder = "zero"\ncheck = "adds_up"\nsays = "more than nothing"\n', ""))
    assert "there are 2; 3 are wanted" in broken(proved(course.folder, "total", tmp_path))


@pytest.mark.usefixtures("one_kill")
def test_a_wrong_answer_may_bring_commands_of_its_own_instead_of_the_solutions(tmp_path: Path) -> None:
    course = copied(tmp_path, "02_decision/solution/do.sh", 'test -n "$LAB_HOME"', "echo 0.25 > measured.txt")
    (course.folder / "02_decision" / "wrong" / "low" / "do.sh").write_text("echo 0.05 > measured.txt\n")
    assert "wrong/low draws its own message: expected “too many reviews”, and it says: That makes too few." in broken(
        proved(course.folder, "decision", tmp_path)
    )


@pytest.mark.usefixtures("one_kill")
def test_what_a_solution_leaves_running_lives_until_it_is_checked_and_no_longer(tmp_path: Path) -> None:
    course = copied(tmp_path)
    lab = course.folder / "02_decision"
    (lab / "solution" / "do.sh").write_text(f"sleep 300 & echo $! > {tmp_path}/pid; echo 0.25 > measured.txt\n")
    checks = (
        (lab / "check.py")
        .read_text()
        .replace("    measured = float(", f"    os.kill(int(Path('{tmp_path}/pid').read_text()), 0)\n    measured = float(")
    )
    (lab / "check.py").write_text(checks.replace("from typing", "import os\nfrom pathlib import Path\nfrom typing"))
    assert broken(proved(course.folder, "decision", tmp_path)) == ""
    left = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(left) or has_ended(psutil.Process(left))


def test_the_command_proves_labs_side_by_side_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "lab"))
    course = copied(tmp_path, "01_total/wrong/zero/total.py", "return 0", "return sum(amounts)")
    result = CliRunner().invoke(app, ["--course", str(course.folder), "dev", "check", "--jobs", "2"])
    assert result.exit_code == 1
    assert "1 of 2 labs keep the authoring contract" in result.stdout
    assert "wrong/zero draws its own message" in result.stdout
    assert {path.name for path in (tmp_path / "lab" / "dev").iterdir()} <= {"base", "failed.json"}
    with (tmp_path / "lab" / "dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert CliRunner().invoke(app, ["--course", str(course.folder), "dev", "check"]).exit_code != 0
    again = CliRunner().invoke(app, ["--course", str(course.folder), "dev", "check", "--last-failed"])
    assert (again.exit_code, "0 of 1 labs keep the authoring contract" in again.stdout) == (1, True)
