"""A guide says what its figures are worth, and its blocks are what a learner would type."""

from pathlib import Path

import pytest
from rich.console import Console

from data.settings import REPOSITORY
from labs.engine.course import Course, Figure, Lab
from labs.engine.guide import Guide
from labs.engine.page import print_markdown
from labs.engine.prove import guide_faults
from tests.tiny_course import TINY, copied

LABS = Course(REPOSITORY / "labs" / "course").labs


@pytest.fixture
def guide() -> Guide:
    return Guide(Course(TINY).lab("total"))


def test_a_promised_number_is_the_band_until_the_learner_measured_it(guide: Guide) -> None:
    assert "About 5.0 to 7.0 EUR." in guide.whole({})
    assert "About **6.0 EUR** (expected 5.0 to 7.0 EUR)." in guide.whole({"paid": 6.0})
    assert "**9.0 EUR** (expected 5.0 to 7.0 EUR, outside it)" in guide.whole({"paid": 9.0})


def test_a_number_that_nothing_moves_is_told_once() -> None:
    assert Figure(name="stopped", title="frauds stopped", low=18, high=18, digits=0).band == "18"


def test_braces_in_code_stay_as_they_are(guide: Guide) -> None:
    assert "lab nonsense that is not run {paid}" in guide.whole({"paid": 6.0})


def test_the_opening_is_the_question_the_situation_and_the_first_step_alone(guide: Guide) -> None:
    opening = guide.opening({})
    assert "How much was paid?" in opening
    assert "### 1 Look" in opening
    assert "### 2 Write" not in opening


def test_say_it_holds_the_learners_own_numbers(guide: Guide) -> None:
    assert "**6.0 EUR**" in guide.say_it({"paid": 6.0})


def test_what_is_run_of_a_guide_are_its_shell_blocks_without_calls_of_the_engine(guide: Guide) -> None:
    run = [(block.script, block.status) for block in guide.blocks if block.kind == "sh"]
    assert run == [("test -f total.py", 0), ('python -c "import total; raise SystemExit(total.total([1]) == 1)"', 1)]
    assert [guide.text.splitlines()[block.line - 1][:3] for block in guide.blocks] == ["```"] * 3


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("## The trap", "## A trap", "its sections are"),
        ("### Red flags", "#### Red flags", "lacks ### Red flags"),
        ("About {paid}.", "About {profit}.", "{profit} is promised and not declared"),
    ],
)
def test_what_a_guide_lacks_is_said(tmp_path: Path, old: str, new: str, fault: str) -> None:
    lab = copied(tmp_path, "01_total/README.md", old, new).lab("total")
    assert [found for found in guide_faults(lab, Guide(lab)) if fault in found]


def test_a_figure_that_the_guide_never_promises_is_a_fault(tmp_path: Path) -> None:
    lab = copied(tmp_path).lab("total")
    lab.guide.write_text(lab.guide.read_text().replace("{paid}", "some"))
    assert list(guide_faults(lab, Guide(lab))) == ["paid is declared in lab.toml and not in the guide"]


def shown(text: str, *, colour: bool) -> str:
    out = Console(width=80, force_terminal=colour, no_color=not colour, highlight=False)
    with out.capture() as captured:
        print_markdown(out, text)
    return captured.get()


@pytest.mark.parametrize("lab", [*LABS, *Course(TINY).labs], ids=lambda lab: lab.id)
def test_a_guide_fits_eighty_columns_with_or_without_colour(lab: Lab) -> None:
    plain = shown(Guide(lab).whole({}), colour=False)
    assert "\x1b" not in plain
    assert max(len(line) for line in plain.splitlines()) <= 80
    assert "\x1b[1m" in shown(Guide(lab).whole({}), colour=True)


def test_a_blank_that_has_a_line_to_itself_stays_a_blank() -> None:
    out = Console(width=80)
    with out.capture() as shown:
        print_markdown(out, "- my threshold is 0.08, because\n  ______\n")
    assert "my threshold is 0.08, because ______" in shown.get()
