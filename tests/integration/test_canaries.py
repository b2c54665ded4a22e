"""Canary exercises with real models, judge and controller on a small world: equal bytes, and what goes wrong around a rollout."""

from dataclasses import replace
from pathlib import Path

import pytest

from data.world import WorldConfig
from labs.canaries.catalogue import CANARIES
from labs.canaries.exercise import run_canary
from labs.canaries.outcome import Outcome
from labs.canaries.stage import Stage, set_stage
from labs.exercises.contract import to_bytes
from pipelines.rollout.plan import RolloutPlan

# A fifth of the payments of a real exercise: as many steps, each left after a twentieth of the evidence.
FULL = RolloutPlan.load()
PLAN = replace(
    FULL,
    steps=tuple(replace(step, min_payments=max(5, step.min_payments // 20)) for step in FULL.steps),
    min_matured_payments=1_000,
    min_matured_frauds=10,
    money_margin=0.5,
)


WORLD = WorldConfig(transactions_per_day=800, fraud_share=0.03)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canaries")


@pytest.fixture(scope="module")
def stage(home: Path) -> Stage:
    return set_stage(WORLD, home)


def run(name: str, stage: Stage) -> Outcome:
    return run_canary(CANARIES[name], stage, seed=7, plan=PLAN)


def test_equal_runs_give_equal_bytes_and_a_faulty_challenger_is_rolled_back_with_its_truth_and_its_exposure(
    stage: Stage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run("errors_30", stage)
    assert outcome.ended == "rolled_back"
    assert outcome.steps[-1].mode == "canary"
    assert outcome.exposed == sum(step.exposed for step in outcome.steps) <= 10
    assert "failures" in outcome.reasons_given[0]
    assert outcome.looks[-1].verdict == "roll_back"
    assert outcome.result == "as expected"
    monkeypatch.setattr("labs.exercises.deployment.train", pytest.fail)  # the same rows were learned before
    again = run_canary(CANARIES["errors_30"], set_stage(WORLD, home), seed=7, plan=PLAN)
    assert to_bytes(again) == to_bytes(outcome)


def test_nobody_meets_a_challenger_that_does_not_load(stage: Stage) -> None:
    outcome = run("crash_on_load", stage)
    assert (outcome.ended, outcome.exposed, outcome.seen, outcome.steps) == ("aborted", 0, 0, ())
    assert "model.lgb" in outcome.reasons_given[0]


def test_a_controller_killed_in_every_action_ends_as_one_that_was_not(stage: Stage) -> None:
    killed, left_alone = run("killed_controller", stage), run("identical", stage)
    assert killed.ended == left_alone.ended
    assert [step.mode for step in killed.steps] == [step.mode for step in left_alone.steps]
    assert all(check.held for check in killed.checks), killed.checks
    assert any("killed in every change" in check.promise for check in killed.checks)


@pytest.mark.parametrize(
    ("name", "promise"),
    [("registry_away", "the registry was away"), ("two_rollouts", "a second rollout was refused"), ("operator_override", "the override")],
)
def test_what_happens_around_a_rollout_is_checked_as_well(stage: Stage, name: str, promise: str) -> None:
    outcome = run(name, stage)
    found = {check.promise: check for check in outcome.checks}
    assert all(check.held for check in found.values()), outcome.checks
    assert any(promise in key for key in found)


def test_labels_that_stop_pause_a_rollout_and_then_end_it(stage: Stage) -> None:
    outcome = run("labels_stop", stage)
    assert outcome.ended == "rolled_back"
    assert "no label" in outcome.pauses[0]
    assert outcome.noticed is not None
    assert outcome.noticed < outcome.seen


def test_a_change_that_both_arms_meet_changes_their_payments_and_no_earlier_one(stage: Stage) -> None:
    quiet, moved = stage.live, stage.live_with(CANARIES["moving_shoppers"].fault.shoppers_move_on)
    before = int((quiet.event_time_s < stage.start.timestamp() + 3 * 86_400).sum())
    assert (quiet.transaction_id[:before] == moved.transaction_id[:before]).all()
    assert (quiet.amount[:before] == moved.amount[:before]).all()
    assert (quiet.features[before : before + 500] != moved.features[before : before + 500]).any()
