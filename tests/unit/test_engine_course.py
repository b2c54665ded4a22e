"""A course on disk: what it says is checked, faults are named by file and line, and the product's own course is whole."""

import re
from pathlib import Path

import pytest

from data.errors import BadInput, MissingFile
from data.settings import REPOSITORY
from labs.engine.course import Course
from labs.engine.guide import Guide
from labs.engine.points import coverage
from labs.engine.template import make_lab
from tests.tiny_course import TINY, copied

OURS = Course(REPOSITORY / "labs" / "course")


def lines_of(folder: Path) -> list[str]:
    return (folder / "lab.toml").read_text().splitlines()


@pytest.mark.parametrize("asked", ["1", "01", "L01", "l01", "01_total", "total"])
def test_a_lab_is_found_by_whatever_people_type(asked: str) -> None:
    assert Course(TINY).lab(asked).id == "L01"


def test_a_lab_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(BadInput, match="Choose among 01, 02"):
        Course(TINY).lab("17")


def test_a_folder_that_is_no_course_says_which_file_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"no course\.toml"):
        Course(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line_with", "said"),
    [
        ('title = "total"', "", "", "title"),
        ("minutes = 5", "minutes = 0", "minutes", "greater than or equal to 1"),
        ("minutes = 5", "minuts = 5", "minuts", "extra inputs"),
        ('points = ["T01"]', 'points = ["T1"]', "points", "pattern"),
        ("high = 7.0", "high = 4.0", "[[figures]]", "low must not be above high"),
        ('folder = "twice"', 'folder = "zero"', "", "two of one name"),
        ('check = "bears_nothing"', 'check = "bears_all"', "", "names no check"),
        ('says = "IndexError"', 'says = ""', "says", "at least 1 character"),
        ('hints = ["What is the total of nothing?", "Try it with an empty list."]', 'hints = ["one"]', "hints", "at least 2"),
    ],
)
def test_a_fault_of_lab_toml_is_named_with_its_line(tmp_path: Path, old: str, new: str, line_with: str, said: str) -> None:
    course = copied(tmp_path, "01_total/lab.toml", old, new)
    with pytest.raises(BadInput) as failure:
        assert course.labs
    assert said in failure.value.message
    found = re.search(r"lab\.toml:(\d+)", failure.value.where or "")
    assert bool(found) == bool(line_with)
    if found:
        assert line_with in lines_of(course.folder / "01_total")[int(found[1]) - 1]


def test_broken_toml_is_named_with_its_line(tmp_path: Path) -> None:
    course = copied(tmp_path, "01_total/lab.toml", "minutes = 5", "minutes = = 5")
    with pytest.raises(BadInput, match=r"not TOML.*line 4"):
        assert course.labs


def test_two_labs_of_one_id_are_refused(tmp_path: Path) -> None:
    course = copied(tmp_path, "02_decision/lab.toml", 'id = "L02"', 'id = "L01"')
    with pytest.raises(BadInput, match="share the id L01"):
        assert course.labs


def test_points_say_which_lab_covers_them_and_which_wait() -> None:
    assert [(point.id, point.covered_by) for point in coverage(Course(TINY))] == [("T01", ("L01",)), ("T02", ())]


def test_a_point_that_is_not_in_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="T07 are no talking points"):
        coverage(copied(tmp_path, "01_total/lab.toml", 'points = ["T01"]', 'points = ["T07"]'))


def test_the_table_of_our_course_holds_all_ninety_talking_points_once() -> None:
    assert [point.id for point in coverage(OURS)] == [f"T{number:02}" for number in range(1, 91)]


def test_each_lab_of_our_course_covers_every_point_that_the_table_gives_it() -> None:
    there = {lab.id for lab in OURS.labs}
    assert there
    assert [point.id for point in coverage(OURS) if point.lab in there and point.lab not in point.covered_by] == []


def test_the_id_of_each_lab_of_our_course_is_that_of_its_folder_and_guide() -> None:
    for lab in OURS.labs:
        assert lab.id[1:] == lab.short.lstrip("k")
        assert Guide(lab).text.startswith(f"# {lab.id} ")


def test_a_lab_may_be_begun_from_the_template_in_a_course_that_is_not_there_yet(tmp_path: Path) -> None:
    make_lab(tmp_path / "ours", "21_my_lab", "mine")
    (lab,) = Course(tmp_path / "ours").labs
    assert (lab.id, lab.title) == ("L21", "mine")


@pytest.mark.parametrize("name", ["my_lab", "1_lab", "21-lab", "../21_lab", "21_Lab"])
def test_a_name_that_is_no_number_and_word_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="two digits"):
        make_lab(tmp_path, name, "mine")


def test_a_number_that_is_taken_is_refused(tmp_path: Path) -> None:
    make_lab(tmp_path, "21_my_lab", "mine")
    with pytest.raises(BadInput, match="L21 is taken"):
        make_lab(tmp_path, "21_other", "mine")
