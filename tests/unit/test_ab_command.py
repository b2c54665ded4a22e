"""`lab ab` as a person calls it: each command ends in a sentence, fits 80 columns, and gives a program valid JSON."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from labs.cli import app
from tests.experiments import scored

QUICK = {
    "plan": (), "plan --money": (), "aa": ("--runs", "20"), "peek": ("--runs", "20"), "paired": (), "friction": (),
    "interference": ("--runs", "20"), "novelty": ("--runs", "20"), "bandit": ("--runs", "20", "--delay", "7"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def payments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Made-up payments instead of the world's, whose models take half a minute to train."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("labs.commands.ab_payments.own_or_world", lambda settings, *, models: scored(cards=800))


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ab", *arguments])


@pytest.mark.parametrize("command", QUICK)
def test_each_command_says_a_sentence_within_80_columns(command: str) -> None:
    result = lab(*command.split(), *QUICK[command])
    assert result.exit_code == 0, result.output
    assert "Say it:" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("command", QUICK)
def test_each_command_gives_a_program_one_document_of_valid_json(command: str) -> None:
    result = lab(*command.split(), *QUICK[command], "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout, parse_constant=pytest.fail)


def test_the_plan_follows_its_options() -> None:
    facts = json.loads(lab("plan", "--base-rate", "0.01", "--effect", "0.5", "--traffic", "1000", "--label-delay", "30", "--json").stdout)
    split = facts["designs"][0]
    # 2 * (1.6449 * sqrt(2 * 0.0125 * 0.9875) + 0.8416 * sqrt(0.01 * 0.99 + 0.015 * 0.985))² / 0.005²
    assert split["payments"] == pytest.approx(12_210, rel=0.001)
    assert split["days"] == 13 + 30


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("plan", "--effect", "0"), "effect"), (("plan", "--traffic", "0"), "traffic"), (("plan", "--power", "1"), "power"),
        (("aa", "--share", "1"), "share"), (("aa", "--scored", "out"), "scored"), (("peek", "--effect", "0.1"), "effect"),
        (("interference", "--recall", "0"), "recall"), (("novelty", "--share", "0"), "share"), (("bandit", "--delay", "60"), "delay"),
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_named(arguments: tuple[str, ...], where: str) -> None:
    result = lab(*arguments, "--json")
    assert result.exit_code == 65
    assert json.loads(result.stdout)["error"]["where"] == where
