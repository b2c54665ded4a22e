"""What continuous integration reads of drift exercises, and what a person sees of one."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from labs.exercises.formats import EXIT_STATUS, as_github, as_json, as_junit, as_text, overall
from labs.exercises.outcome import SCHEMA
from labs.exercises.page import render
from tests.outcomes import ALARM, monitor, outcome

RIGHT = outcome()
HELD = outcome("hold")
MISSED = outcome("fix_pipeline", replace(monitor("unit"), role="must fire"))
LOUD = outcome("fix_pipeline", replace(monitor("score", ALARM), role="must stay silent"))


@pytest.mark.parametrize(
    ("exercises", "status"),
    [([RIGHT], 0), ([RIGHT, HELD], 2), ([HELD, MISSED], 1), ([LOUD], 1), ([outcome("retrain")], 1)],
)
def test_the_exit_status_is_that_of_the_worst_exercise(exercises: list, status: int) -> None:
    assert EXIT_STATUS[overall(exercises)] == status


def test_a_detector_that_must_fire_and_one_that_must_stay_silent_are_held_to_it_equally() -> None:
    assert MISSED.reasons == ("unit stayed silent and must fire",)
    assert LOUD.reasons == ("score fired and must stay silent",)
    assert RIGHT.reasons == ()


def test_to_hold_is_inconclusive_unless_it_is_right() -> None:
    assert HELD.result == "inconclusive"
    assert replace(HELD, expected=replace(HELD.expected, decisions=("hold",))).result == "as expected"


def test_junit_counts_what_it_lists_and_uses_only_what_the_common_schema_allows() -> None:
    root = ET.fromstring(as_junit([RIGHT, HELD, MISSED]))
    suite = root.find("testsuite")
    assert root.tag == "testsuites"
    assert suite is not None
    assert suite.attrib == {"name": "drift", "tests": "3", "failures": "1", "skipped": "1", "errors": "0"}
    assert len(suite.findall("testcase")) == 3
    assert len(suite.findall("testcase/failure")) == 1
    assert len(suite.findall("testcase/skipped")) == 1
    allowed = {"testcase": {"name", "classname"}, "failure": {"message", "type"}, "skipped": {"message", "type"}, "system-out": set()}
    for element in suite.iter():
        if element is not suite:
            assert set(element.attrib) == allowed[element.tag]


def test_github_gets_an_error_with_a_title_for_each_unexpected_exercise_and_a_warning_for_each_inconclusive_one() -> None:
    lines = as_github([RIGHT, HELD, MISSED]).splitlines()
    assert lines[0].startswith("::warning title=Drift D3 unit_change (strength 0.01%2C seed 7)::decided hold")
    assert lines[1] == "::error title=Drift D3 unit_change (strength 0.01%2C seed 7)::unit stayed silent and must fire"
    assert lines[2].startswith("::notice title=Drift exercises::3 exercises")


def test_a_workflow_command_cannot_be_ended_or_started_by_what_an_exercise_says() -> None:
    odd = outcome("fix_pipeline", replace(monitor("100%\n::error::"), role="must fire"))
    assert as_github([odd]).splitlines()[0].endswith("::100%25%0A::error:: stayed silent and must fire")


def test_text_names_the_first_alarm_and_why_an_exercise_is_not_as_expected() -> None:
    text = as_text([RIGHT, LOUD])
    assert "✓ D3 unit_change (strength 0.01, seed 7): fix pipeline; unit in window 1" in text
    assert "unexpected: score fired and must stay silent" in text
    assert text.endswith("2 exercises: 1 as expected, 1 unexpected\n")


def test_the_json_document_is_plain_versioned_and_knows_no_nan() -> None:
    facts = json.loads(as_json([RIGHT]), parse_constant=pytest.fail)
    exercise = facts["exercises"][0]
    assert exercise["schema"] == SCHEMA
    assert exercise["damage"]["saved_per_thousand"]["value"] is None
    assert exercise["truth"]["start"] == "2026-03-04"
    assert exercise["monitors"][0]["first_alarm"]["labelled_frauds"] == 12
    assert [*exercise][:4] == ["schema", "scenario", "catalogue_id", "seed"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.append(tag)
        assert not {"src", "href", "onclick"} & {name for name, _ in attrs}


def test_the_page_fetches_nothing_runs_nothing_and_escapes_what_monitoring_said() -> None:
    page = render(RIGHT)
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "&lt;100 times&gt;" in page
    assert "term_1 &amp; others" in page
    assert "must fire" in page
