"""The demo's own parts: when things happen, what is kept, and that a step which fails stops the run."""

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from data.errors import BadInput, EmptyWindow, StepFailed
from data.scenarios import scenario
from data.settings import Settings
from labs.demo.schedule import Schedule
from labs.demo.story import Story
from labs.previous import PREVIOUS, set_aside
from labs.stream import FileStream, WorldStream, open_stream
from tests.unit.test_sources import handbook

LIVE = date(2026, 3, 6)


def test_a_quiet_window_is_watched_before_the_drift_begins() -> None:
    schedule = Schedule()
    assert schedule.windows(LIVE)[0] <= schedule.drift(LIVE)


def test_payments_are_ready_for_the_latest_verdict_the_retraining_and_the_rollout() -> None:
    schedule = Schedule()
    last = schedule.retraining(schedule.windows(LIVE)[-1])
    assert schedule.end(LIVE) == last + timedelta(days=schedule.rollout_days)
    assert (schedule.end(LIVE) - LIVE).days == schedule.live_days


def test_what_an_earlier_run_left_is_kept_until_the_next_one(tmp_path: Path) -> None:
    for run in ("first", "second", "third"):
        set_aside(tmp_path)
        (tmp_path / "ledger.jsonl").write_text(run)
        (tmp_path / "models").mkdir()
        (tmp_path / "datasets").mkdir(exist_ok=True)
    assert (tmp_path / PREVIOUS / "ledger.jsonl").read_text() == "second"
    assert (tmp_path / "ledger.jsonl").read_text() == "third"
    assert (tmp_path / "datasets").exists()


def test_a_step_that_did_not_do_what_it_says_is_recorded_as_failed_and_stops_the_run() -> None:
    story = Story(to_stderr=True)
    with pytest.raises(StepFailed, match=r"Expected: the gate passes\. Found: it refused"), story.step("Training"):
        story.say("three models were [bold]fitted[/]")
        story.expect(False, "the gate passes", "it refused")
    assert [(step.name, step.summary, step.passed) for step in story.steps] == [("Training", "three models were fitted", False)]


def test_a_drift_of_the_world_leaves_the_days_before_it_as_they_were(settings: Settings) -> None:
    stream = WorldStream(settings)
    drift = stream.live + timedelta(days=2)
    before = [stream.day(stream.live + timedelta(days=n)).transactions for n in (0, 3)]
    stream.inject(scenario("new_tactic").inject(drift, seed=7))
    after = [stream.day(stream.live + timedelta(days=n)).transactions for n in (0, 3)]
    pd.testing.assert_frame_equal(before[0], after[0])
    assert not before[1].equals(after[1])


def test_a_clock_fault_moves_event_times_but_not_the_order_of_arrival(settings: Settings) -> None:
    stream = WorldStream(settings)
    stream.inject(scenario("time_zone").inject(stream.live, seed=7))
    day = stream.day(stream.live)
    assert day.arrival.is_monotonic_increasing
    assert (day.transactions["event_time"] != day.arrival).any()


def test_recorded_payments_refuse_a_drift_of_behaviour_and_name_those_that_can_act(tmp_path: Path, settings: Settings) -> None:
    stream = FileStream(replace_days(settings, 21), recorded(tmp_path, days=24))
    with pytest.raises(BadInput, match="price_fall"):
        stream.inject(scenario("new_tactic").inject(stream.live, seed=7))


def test_a_file_that_is_too_short_for_the_loop_says_how_many_days_it_needs(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(EmptyWindow, match="holds 24 days; the loop needs 21 of history and 9 live ones"):
        open_stream(replace_days(settings, 21), recorded(tmp_path, days=24), 9)


def recorded(folder: Path, days: int) -> Path:
    file = folder / "payments.parquet"
    handbook(rows=10 * days).to_parquet(file)
    return file


def replace_days(settings: Settings, days: int) -> Settings:
    return settings.model_copy(update={"world_days": days})
