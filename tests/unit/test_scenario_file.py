"""A team's own scenarios: what a file may say, and that every mistake is told with its line."""

from datetime import date
from pathlib import Path

import pytest

from data.errors import BadInput, MissingFile
from data.scenarios import team_file
from labs.drifts import known_scenarios
from tests.payments import transactions

EXAMPLE = Path(team_file.__file__).with_name("example.toml")

MISTAKES = [  # what is changed, to what; the line; what is said
    ("strength = 0.7", "strength = -1", 14, "greater than 0"),
    ("strength = 0.7", "strength = 0.7.1", 14, "Expected newline"),
    ("strength = 0.7", 'strength = "a"', 14, "valid number"),
    ("strength = 0.7", f"strength = {'7' * 5_000}", 14, "more than 4,300 digits"),
    ("strength = 0.7", "", 12, "strength is missing"),
    ("strength = 0.2\n\n", "strength = 1.1\n\n", 16, "at most 1 for channel_mix"),
    ('"scale_amounts"', '"scale_amonts"', 13, "did you mean scale_amounts"),
    ('"fix_pipeline"', '"mend"', 23, "'hold'"),
    ('"schema"', '"shema"', 9, "did you mean schema"),
    ('"null_rate"]', '"inputs:amount"]', 4, "cannot be in must_fire and"),
    ('"inputs:amount"', '"inputs:amonut"', 8, "did you mean inputs:amount"),
    ("ramp_days = 4", "ramp = 4", 26, "ramp_days, days, every_days"),
    ("days = 3, ", "", 10, "needs days"),
    ('["device_id"]', '["amount"]', 28, "latitude, longitude, device_id"),
    ("strength = 0.7", 'strength = 0.7\ncolumns = ["amount"]', 12, "lets no columns be chosen"),
    ('"black_friday"', '"none"', 5, "the catalogue has"),
    ('"lost_phone_ids"', '"black_friday"', 1, "the same name"),
    ('[[scenario]]\nname = "b', 'title = "ours"\n[[scenario]]\nname = "b', 4, "those known here are scenario"),
]


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "ours.toml"
    file.write_text(text)
    return file


def test_the_example_composes_mechanisms_with_doses_of_their_own() -> None:
    *_, sale, phones = known_scenarios(EXAMPLE).values()
    assert (sale.layers, sale.days, sale.every_days, sale.expected) == ({"messages", "world"}, 3, 28, ("ignore",))
    assert (phones.columns, phones.ramp_days, phones.acts_on) == (("device_id",), 4, "messages")
    payments = transactions(4, 500)
    injection = sale.inject(date(2026, 1, 6), seed=1)
    sent, touched = injection.apply(payments)
    assert sent["amount_minor"][touched].sum() == pytest.approx(0.7 * payments["amount_minor"][touched].sum(), rel=1e-3)
    assert [(change.kind, change.strength, change.every_days) for change in injection.changes] == [("channel_mix", 0.2, 28)]


def test_columns_that_are_chosen_are_the_only_ones_touched() -> None:
    payments = transactions(8, 300)
    sent, touched = known_scenarios(EXAMPLE)["lost_phone_ids"].inject(date(2026, 1, 5), seed=1).apply(payments)
    assert touched.any()
    assert sent["device_id"][touched].isna().all()
    assert sent.drop(columns="device_id").equals(payments.drop(columns="device_id"))


@pytest.mark.parametrize(("old", "new", "line", "said"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_was_expected(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    text = EXAMPLE.read_text()
    assert old in text
    with pytest.raises(BadInput, match=said) as refused:
        known_scenarios(written(tmp_path, text.replace(old, new)))
    assert refused.value.where == f"ours.toml:{line}"


def test_the_line_of_a_value_that_goes_over_many_lines_is_that_of_its_key(tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace('"ignore"]', '\n"ignore",\n\n"mend",\n]')
    with pytest.raises(BadInput) as refused:
        known_scenarios(written(tmp_path, text))
    assert refused.value.where == "ours.toml:7"


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no scenarios"):
        known_scenarios(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="UTF-8"):
        known_scenarios(tmp_path / "bytes.toml")
