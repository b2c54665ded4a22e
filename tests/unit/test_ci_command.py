"""`lab ci` and `lab drift run` as a person or a CI system calls them; the exercises themselves are faked."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from data.settings import REPOSITORY
from labs.cli import app
from labs.exercises.catalogue import Task, run_tasks
from tests.canaries import canary_outcome
from tests.outcomes import outcome

DOCS = REPOSITORY / "labs" / "ci"


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Task]:
    """What would have been run. Every exercise is held; only D3 is right."""
    seen: list[Task] = []

    def fake(asked: list[Task], home: Path, **_: object) -> list:
        seen.extend(asked)
        return [outcome("fix_pipeline" if task.scenario.catalogue_id == "D3" else "hold") for task in asked]

    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("labs.exercises.catalogue.run_tasks", fake)
    monkeypatch.setattr("labs.commands.drift_run.run_tasks", fake)
    return seen


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_the_exit_status_says_how_it_ended(tasks: list[Task]) -> None:
    assert lab("ci", "drift", "--scenario", "D3").exit_code == 0
    assert lab("ci", "drift", "--scenario", "D3", "--scenario", "D9").exit_code == 2


def test_all_scenarios_run_when_none_is_named_and_each_with_every_seed(tasks: list[Task]) -> None:
    lab("ci", "drift", "--all", "--seeds", "2")
    names = [task.scenario.name for task in tasks]
    assert len(names) == 2 * len(set(names))
    assert {task.seed for task in tasks} == {7, 8}


def test_a_run_keeps_each_exercise_as_json_and_page_and_all_as_junit(tmp_path: Path) -> None:
    lab("ci", "drift", "--scenario", "D3", "--out", str(tmp_path / "out"))
    run = lab("drift", "run", "D3", "--json")
    kept = sorted(file.name for file in (tmp_path / "home" / "exercises").iterdir())
    assert kept == ["D3-unit_change-strength-0.01-seed-7.html", "D3-unit_change-strength-0.01-seed-7.json"]
    assert json.loads(run.stdout) == json.loads((tmp_path / "home" / "exercises" / kept[1]).read_text())
    assert (tmp_path / "out" / "junit.xml").read_text().startswith("<?xml")


def test_one_exercise_told_for_a_person_says_who_saw_it_what_it_cost_and_what_was_decided() -> None:
    told = lab("drift", "run", "unit_change").stdout
    for part in (
        "truth: acts on messages",
        "unit",
        "in window 1",
        "damage: average precision -0.100",
        "decision: fix pipeline",
        "✓ as expected",
    ):
        assert part in told


@pytest.mark.parametrize(
    "arguments", [("--format", "yaml"), ("--scenario", "D99"), ("--expect", "none.toml"), ("--scenarios", "none.toml")]
)
def test_what_does_not_fit_fails_as_a_command_and_not_as_a_check(arguments: tuple[str, ...], tasks: list[Task]) -> None:
    assert lab("ci", "drift", *arguments).exit_code in (65, 66)
    assert not tasks


@pytest.mark.parametrize(("kind", "name"), [("drift", "D3"), ("canary", "C3")])
def test_the_whole_catalogue_and_a_part_of_it_are_not_asked_at_once(kind: str, name: str) -> None:
    refused = lab("ci", kind, "--all", "--scenario", name)
    assert refused.exit_code == 65
    assert "Leave out --all, or --scenario." in refused.stderr


@pytest.mark.parametrize("arguments", [("--sceanrio", "D3"), ("--seeds", "many"), ("D3",)])
def test_a_mistyped_command_is_not_taken_for_an_inconclusive_run(arguments: tuple[str, ...], tasks: list[Task]) -> None:
    assert lab("ci", "drift", *arguments).exit_code == lab("--sceanrio").exit_code == lab("nonsense").exit_code == 64
    assert not tasks


@pytest.mark.parametrize("kind", ["drift", "canary"])
def test_the_workflow_passes_over_what_the_script_passes_over(kind: str) -> None:
    for command in re.findall(rf"run: \.venv/bin/lab ci {kind} .*? --out {kind}(.*)$", (DOCS / f"{kind}.yml").read_text(), re.M):
        assert [_shell(f"set -e; (exit {status}){command}") for status in (0, 1, 2, 64)] == [0, 1, 0, 1]


@pytest.mark.parametrize("kind", ["drift", "canary"])
def test_the_documented_workflow_is_yaml_and_runs_only_verbs_and_commands_that_exist(kind: str) -> None:
    workflow = yaml.safe_load((DOCS / f"{kind}.yml").read_text())
    steps = workflow["jobs"][kind]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands[0] == "make install"
    assert all(step.get("uses", "actions/").startswith("actions/") for step in steps)
    assert [command for command in commands[1:] if not command.startswith(f".venv/bin/lab ci {kind}")] == []


@pytest.mark.parametrize("name", ["drift.yml", "drift.sh", "canary.yml", "canary.sh", "README.md"])
def test_every_command_of_the_documents_is_one_that_runs(name: str, tmp_path: Path, tasks: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labs.canaries.run.run_tasks", lambda asked, home, **_: tasks.extend(asked) or [canary_outcome()])
    files = re.findall(r"```toml\n(.*?)```", (DOCS / "README.md").read_text(), re.S)
    for file, text in zip(("expected.toml", "canaries.toml"), files, strict=True):
        (tmp_path / file).write_text(text)
    commands = re.findall(r"\.venv/bin/lab (ci .*?)(?: \|\|.*)?$", (DOCS / name).read_text(), re.M)
    assert commands
    for command in commands:
        assert lab(*shlex.split(command)).exit_code in (0, 2)
    assert tasks


@pytest.mark.parametrize("kind", ["drift", "canary"])
def test_the_shell_script_passes_over_an_inconclusive_run_and_fails_on_any_other(kind: str) -> None:
    script = (DOCS / f"{kind}.sh").read_text()
    for status, ends in ((0, 0), (1, 1), (2, 0), (64, 64), (65, 65)):
        fake = script.replace("make install", ":").replace(f".venv/bin/lab ci {kind} --all --out {kind}", f"(exit {status})")
        assert fake != script
        assert _shell(fake) == ends


def _shell(script: str) -> int:
    import subprocess

    return subprocess.run(["sh", "-c", script], capture_output=True, check=False).returncode


def test_tasks_are_dealt_out_so_that_every_place_is_filled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from labs.exercises import catalogue
    from labs.exercises.parallel import groups_of
    from labs.exercises.select import choose

    asked = [Task(scenario, seed, review) for seed in (1, 2, 3) for scenario, review in choose(["D3", "D9", "D14"], None, None)]
    monkeypatch.setattr(catalogue, "run_group", lambda tasks, home: [(task.scenario.name, task.seed) for task in tasks])
    for jobs in (1, 2, 5):
        groups = list(groups_of(asked, jobs))
        assert sorted(place for group in groups for place in group) == list(range(len(asked)))
        assert len(groups) >= min(jobs, 3)
    done = run_tasks(asked, tmp_path, jobs=1)
    assert done == [(task.scenario.name, task.seed) for task in asked]  # type: ignore[comparison-overlap]
