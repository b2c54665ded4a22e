"""When a canary ended as it must, and what people and continuous integration read of it."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.errors import BadInput
from labs.canaries.catalogue import CANARIES
from labs.canaries.outcome import SCHEMA, Check, Outcome
from labs.canaries.page import render
from labs.canaries.select import choose
from labs.cli import app
from labs.exercises.formats import EXIT_STATUS, as_github, as_json, as_junit, as_text, overall
from tests.canaries import canary_outcome

RIGHT = canary_outcome()
MISSED = canary_outcome(ended="promoted")
BETTER = {"truth": replace(RIGHT.truth, worth="better"), "expected": CANARIES["better_model"].expected}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (MISSED, "ended promoted where rolled back is right: a missed regression"),
        (canary_outcome(**BETTER), "ended rolled back where promoted is right: a wrongful rollback"),
        (canary_outcome(exposed=71), "71 payments exposed, at most 70 wanted"),
        (canary_outcome(expected=replace(RIGHT.expected, noticed_at_most=99)), "noticed after 23,624 payments, after at most 99 wanted"),
        (canary_outcome(reasons_given=("slow answers",)), "no reason speaks of “failures”"),
        (canary_outcome(expected=replace(RIGHT.expected, pauses=True)), "it never paused"),
        (canary_outcome(checks=(Check("one champion", held=False, found="1 and 2"),)), "not kept: one champion (1 and 2)"),
    ],
)
def test_whatever_is_not_as_it_must_be_is_said_and_fails_the_run(outcome: Outcome, reason: str) -> None:
    assert outcome.reasons == (reason,)
    assert EXIT_STATUS[overall([RIGHT, outcome])] == 1


def test_no_decision_where_one_was_due_is_inconclusive_and_where_none_was_is_right() -> None:
    undecided = canary_outcome(ended="inconclusive")
    assert EXIT_STATUS[overall([RIGHT, undecided])] == 2
    assert canary_outcome(ended="inconclusive", expected=CANARIES["slow_bleed"].expected).result == "as expected"
    assert canary_outcome(ended="inconclusive", exposed=71).result == "unexpected"


def test_a_better_challenger_that_is_none_on_this_seed_makes_an_exercise_inconclusive_and_says_so() -> None:
    truth = replace(RIGHT.truth, worth="better", costs_more=35.0, costs_more_interval=(16.0, 54.0), holds=False)
    outcome = canary_outcome(**BETTER | {"truth": truth})
    assert outcome.result == "inconclusive"
    assert "cost 35 EUR more per thousand payments (16 to 54)" in outcome.reasons[-1]
    assert replace(outcome, checks=(Check("one champion", held=False),)).result == "unexpected"


def test_a_rollback_of_a_better_challenger_that_nobody_could_see_is_no_wrongful_one() -> None:
    blind = canary_outcome(truth=replace(RIGHT.truth, worth="better"), expected=CANARIES["telemetry_stops"].expected)
    assert blind.mistake == ""
    assert RIGHT.mistake == ""


def test_every_format_names_the_canary_its_end_and_why_it_is_not_right() -> None:
    assert "✗ C3 errors_5 (seed 7): promoted; 30 payments exposed" in as_text([MISSED])
    suite = ET.fromstring(as_junit([RIGHT, MISSED])).find("testsuite")
    assert suite is not None
    assert suite.attrib == {"name": "canary", "tests": "2", "failures": "1", "skipped": "0", "errors": "0"}
    assert suite.findall("testcase")[0].attrib == {"classname": "canary.C3", "name": "errors_5[seed=7]"}
    assert as_github([MISSED]).startswith("::error title=Canary C3 errors_5 (seed 7)::ended promoted where")


def test_the_json_document_is_plain_and_versioned_and_keeps_the_judges_reasons() -> None:
    facts = json.loads(as_json([RIGHT]), parse_constant=pytest.fail)
    assert (facts["schema"], facts["exercises"][0]["schema"]) == (f"{SCHEMA}-run", SCHEMA)
    assert facts["exercises"][0]["steps"][1]["e_values"]["errors"] == 6.2


def test_the_page_draws_the_ramp_and_the_evidence_and_escapes_what_the_judge_said() -> None:
    page = render(RIGHT)
    assert page.count("<svg") == 1
    assert "odds against it" in page
    assert "fails no more" in page
    assert "&lt;over a million to 1&gt;" in page
    assert "script" not in page
    assert "It ended in its preflight" in render(canary_outcome(steps=(), looks=(), ended="aborted"))


def test_an_id_stands_for_all_its_levels_and_a_name_for_one() -> None:
    assert [one.name for one in choose(["c3"], None)] == ["errors_30", "errors_5", "errors_1"]
    assert [one.name for one in choose(["errors_5", "C3"], None)] == ["errors_5", "errors_30", "errors_1"]
    assert len(choose([], None)) == len(CANARIES)
    with pytest.raises(BadInput, match="Did you mean errors_5"):
        choose(["erors_5"], None)


def test_what_a_team_expects_replaces_what_the_catalogue_does_and_a_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "canaries.toml"
    file.write_text('[C3]\nended = ["inconclusive"]\n\n[errors_5]\nexposed_at_most = 9\n')
    chosen = {one.name: one.expected for one in choose(["C3"], file)}
    assert chosen["errors_1"].results == ("inconclusive",)
    assert chosen["errors_1"].exposed_at_most == 1_000
    assert chosen["errors_5"] == replace(CANARIES["errors_5"].expected, exposed_at_most=9)
    file.write_text('[C3]\nended = ["promoted"]\n\n[C4]\nended = ["gone"]\n')
    with pytest.raises(BadInput, match="line 5: ended"):
        choose([], file)


def test_the_catalogue_names_each_exercise_once_covers_c0_to_c15_and_is_listed() -> None:
    assert {one.catalogue_id for one in CANARIES.values()} == {f"C{k}" for k in range(16)}
    told = CliRunner().invoke(app, ["canary", "list"]).stdout
    assert all(name in told for name in CANARIES)
    facts = json.loads(CliRunner().invoke(app, ["canary", "list", "--json"]).stdout)
    assert [one["name"] for one in facts] == list(CANARIES)
