"""Expected outcomes under review: a file that overrides the catalogue, and says where it is wrong."""

from pathlib import Path

import pytest

from data.errors import BadInput, MissingFile
from data.scenarios import SCENARIOS
from labs.exercises.expectations import read_reviews
from labs.exercises.select import choose


def write(folder: Path, text: str) -> Path:
    file = folder / "expected.toml"
    file.write_text(text)
    return file


def test_what_the_file_says_replaces_the_catalogue_and_what_it_leaves_out_stays(tmp_path: Path) -> None:
    file = write(
        tmp_path, '[D9]\ndecision = ["fix_pipeline", "hold"]\nstrength = 0.3\n[unit_change]\nmust_fire = ["unit", "inputs:amount"]\n'
    )
    reviews = read_reviews(file, SCENARIOS)
    assert reviews["mis_join"].expected.decisions == ("fix_pipeline", "hold")
    assert reviews["mis_join"].expected.must_fire == SCENARIOS["mis_join"].must_fire
    assert reviews["mis_join"].strength == 0.3
    assert reviews["unit_change"].expected.must_fire == ("unit", "inputs:amount")
    assert reviews["unit_change"].strength is None


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        ('[D9]\nmust_fire = ["parity"]\n\n[D99]\n', 4, "no scenario"),
        ('# hi\n[D9]\nmust_fier = ["parity"]\n', 3, "must_fier"),
        ('[D9]\nstrength = 0.5\nmust_fire = ["parrot"]\n', 3, "no such detector"),
        ('[D9]\nmust_stay_silent = ["inputs:shoe_size"]\n', 2, "no such detector"),
        ('[D9]\ndecision = ["panic"]\n', 2, "decision"),
        ("[D9]\ndecision = []\n", 2, "decision"),
        ("[D9]\nstrength = -1\n", 2, "strength"),
        ("[D9\n", 1, "not TOML"),
        ('# hi\n[D9]\nmust_fire = ["parity"]\nmust_stay_silent = ["parity"]\n', 2, "cannot be in must_fire and in must_stay_silent"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_not_with_its_value(tmp_path: Path, text: str, line: int, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_reviews(write(tmp_path, text), SCENARIOS)
    assert f"line {line}" in refused.value.message
    assert named in refused.value.message
    assert "panic" not in str(refused.value)


def test_an_id_of_the_file_stands_for_every_scenario_that_bears_it_and_a_name_for_one(tmp_path: Path) -> None:
    reviews = read_reviews(write(tmp_path, '[D12]\ndecision = ["hold"]\n[labels_late]\ndecision = ["ignore"]\n'), SCENARIOS)
    assert [(name, one.expected.decisions) for name, one in reviews.items()] == [
        ("new_pattern", ("hold",)),
        ("new_tactic", ("hold",)),
        ("labels_late", ("ignore",)),
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        read_reviews(tmp_path / "none.toml", SCENARIOS)


def test_an_id_stands_for_every_scenario_that_bears_it_and_a_name_for_one() -> None:
    assert [one.name for one, _ in choose(["D14"], None, None)] == ["labels_stop", "labels_late"]
    assert [one.name for one, _ in choose(["labels_late", "d14"], None, None)] == ["labels_late", "labels_stop"]
    assert [one.name for one, _ in choose([], None, None)] == [*SCENARIOS]
    with pytest.raises(BadInput, match="Did you mean mis_join"):
        choose(["mis_joni"], None, None)
