"""`lab traffic`, `lab drift inject` and `lab drift stop` over a lab that runs: what is sent, what is kept, what is refused and how."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from data.ledger import Ledger
from data.prediction_log import PredictionLog
from labs.cli import app
from labs.live import LiveSource
from labs.stream import midnight
from tests.fakes import FakeRegistry
from tests.live_service import Service
from tests.unit.test_demo import recorded

LIVE = date(2018, 4, 22)  # after 21 days of history
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab whose payments come from a file of 60 days, ten a day."""
    home = tmp_path / "lab"
    home.mkdir()
    for name, value in {"LAB_HOME": str(home), "LAB_WORLD_DAYS": "21", "LAB_SCORING_PORT": "1024"}.items():
        monkeypatch.setenv(name, value)
    PredictionLog(home / "predictions.db").close()
    LiveSource(recorded(tmp_path, days=60)).save(home)
    return home


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    made = FakeRegistry()
    made.ensure()
    made.set_alias("champion", made.create_version("run-1", "nowhere", {}))
    monkeypatch.setattr("labs.commands.drift_inject.Registry.of", lambda _: made)
    return made


@pytest.fixture
def service(home: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    log = PredictionLog(home / "predictions.db")
    made = Service(log, lambda: registry.alias("champion"))
    monkeypatch.setenv("LAB_SCORING_PORT", str(made.server.server_port))
    yield made
    made.close()
    log.close()


@pytest.fixture
def run(home: Path) -> Run:
    """(exit status, facts of the JSON on standard output)."""

    def invoke(*arguments: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(app, ["drift", *arguments, "--json"])
        return result.exit_code, json.loads(result.stdout)

    return invoke


def amounts(service: Service, first: date, days: int) -> float:
    """Mean amount of what arrived for these days."""
    span = midnight(first), midnight(first + timedelta(days=days))
    return float(np.mean([one.amount_minor for one in service.payments.values() if span[0] <= one.event_time < span[1]]))


def refused(answer: tuple[int, dict[str, Any]]) -> tuple[str, str]:
    assert answer[0] != 0
    error = answer[1]["error"]
    return error["code"], f"{error['message']} {error['next_step']}"


def test_a_drift_is_in_what_is_sent_from_its_day_until_it_is_stopped(run: Run, home: Path, service: Service) -> None:
    assert run("inject", "none", "--days", "3")[0] == 0
    assert run("stop")[0] == 0
    status, facts = run("inject", "price_fall", "--days", "4", "--seed", "5")
    since = LIVE + timedelta(days=3)
    assert (status, facts["sent"] > 0, facts["failed"], facts["injected"]["since"]) == (0, True, 0, str(since))
    status, facts = run("stop")
    assert (status, facts["stopped"], facts["until"]) == (0, ["price_fall"], str(since + timedelta(days=4)))
    assert run("inject", "none", "--days", "3")[0] == 0
    before, during, after = amounts(service, LIVE, 3), amounts(service, since, 4), amounts(service, since + timedelta(days=4), 3)
    assert during == pytest.approx(before / 2, rel=0.1)
    assert after == pytest.approx(before, rel=0.1)
    assert service.count == 100
    entries = Ledger(home / "ledger.jsonl").entries()
    assert [entry.kind for entry in entries] == ["drift_injected", "drift_stopped"] * 2 + ["drift_injected"]
    assert entries[2].facts["expected"] == ["retrain", "ignore"]


def test_a_drift_may_begin_on_a_later_day_and_several_may_be_under_way(run: Run, home: Path, service: Service) -> None:
    assert run("inject", "price_fall", "--from", str(LIVE + timedelta(days=2)), "--days", "2")[0] == 0
    assert run("inject", "currency", "--strength", "1", "--days", "2")[0] == 0
    quiet, fall, both = (
        amounts(service, LIVE, 2),
        amounts(service, LIVE + timedelta(days=2), 2),
        amounts(service, LIVE + timedelta(days=4), 2),
    )
    assert fall == pytest.approx(quiet / 2, rel=0.1)
    assert both == pytest.approx(quiet / 200, rel=0.1)
    assert run("stop")[1]["stopped"] == ["price_fall", "currency"]


def test_what_is_under_way_is_not_injected_again_nor_into_what_was_sent(run: Run, service: Service) -> None:
    assert run("inject", "D3", "--days", "1")[0] == 0
    assert refused(run("inject", "unit_change")) == ("bad_input", "unit_change is under way already. End it first: `lab drift stop`.")
    code, said = refused(run("inject", "D4", "--from", str(LIVE)))
    assert code == "bad_input"
    assert f"Choose {LIVE + timedelta(days=1)} or later" in said


def test_a_fault_of_features_is_asked_of_the_service_and_taken_back(run: Run, service: Service) -> None:
    assert run("inject", "D9", "--strength", "0.5", "--days", "1")[0] == 0
    fault = service.faults[0]
    assert (fault["mechanism"], fault["strength"], fault["start"], fault["until"]) == ("mis_join", 0.5, str(LIVE), None)
    assert run("stop")[0] == 0
    assert service.faults == []


def test_a_feed_that_stops_delivers_no_report_from_its_day_on(run: Run, service: Service) -> None:
    assert run("inject", "none", "--days", "10")[0] == 0
    before = set(service.labels)
    assert before
    assert run("inject", "D14", "--days", "5")[0] == 0
    assert set(service.labels) == before
    assert run("stop")[0] == 0
    assert run("inject", "retry_storm", "--days", "3")[0] == 0
    assert set(service.labels) - before


def test_the_wrong_model_is_another_version_without_a_rollout_and_stopping_puts_the_right_one_back(
    run: Run, home: Path, service: Service, registry: FakeRegistry
) -> None:
    code, said = refused(run("inject", "D15"))
    assert (code, "no other version than 1" in said, "lab train --retrain" in said) == ("bad_input", True, True)
    assert not Ledger(home / "ledger.jsonl").entries()
    registry.create_version("run-2", "nowhere", {})
    assert run("inject", "D15", "--days", "1")[0] == 0
    assert (registry.alias("champion"), registry.alias("previous_champion")) == ("2", "1")
    plan = registry.plan()
    assert plan is not None and (plan.champion, plan.mode) == ("2", "champion_only")
    assert run("stop")[1]["champion"] == "1"
    assert registry.alias("champion") == "1"
    code, said = refused(run("inject", "lost_calibrator"))
    assert "lab drift run lost_calibrator" in said


def test_a_person_is_told_which_version_answers_and_not_what_the_exercise_of_that_name_does(
    home: Path, service: Service, registry: FakeRegistry
) -> None:
    registry.create_version("run-2", "nowhere", {})
    told = CliRunner().invoke(app, ["drift", "inject", "wrong_model", "--days", "1"]).stdout
    assert f"wrong_model (D15) since {LIVE}: version 2 answers instead of 1" in told
    assert "off by" not in told
    told = CliRunner().invoke(app, ["drift", "inject", "price_fall", "--days", "1"]).stdout
    assert "all prices fall by half" in told and "factor on every amount" in told


def test_a_version_that_was_rolled_back_meanwhile_stays_back(run: Run, service: Service, registry: FakeRegistry) -> None:
    registry.create_version("run-2", "nowhere", {})
    assert run("inject", "D15", "--days", "1")[0] == 0
    registry.set_alias("champion", "1")  # lab rollback
    assert run("stop")[1]["champion"] is None
    assert registry.alias("champion") == "1"


def test_payments_without_the_columns_or_the_people_refuse_a_drift_and_nothing_is_kept(run: Run, home: Path, service: Service) -> None:
    for name, why in (("null_burst", "acts on latitude"), ("new_category", "acts on category"), ("fraud_wave", "recorded payments cannot")):
        code, said = refused(run("inject", name))
        assert (code, why in said, "Choose price_rise" in said) == ("bad_input", True, True)
    assert LiveSource.load(home).drifts == ()
    assert not Ledger(home / "ledger.jsonl").entries()


def test_what_cannot_be_injected_names_the_next_command(run: Run, home: Path, registry: FakeRegistry) -> None:
    assert refused(run("inject", "D3")) == (
        "service_down",
        "The scoring service does not answer at http://127.0.0.1:1024. Start it with `lab up`.",
    )
    assert "Did you mean mis_join?" in refused(run("inject", "mis_jion"))[1]
    assert "lab drift inject" in refused(run("stop"))[1]
    with Ledger(home / "ledger.jsonl").turn("rollout"):
        for command in (("inject", "D3"), ("stop",)):
            assert refused(run(*command))[0] == "rollout_open"


def test_without_a_champion_there_is_nothing_to_inject_into(run: Run, service: Service, registry: FakeRegistry) -> None:
    registry.delete_alias("champion")
    assert refused(run("inject", "D3"))[0] == "no_model"


def test_a_teams_own_drift_is_found_again_by_whoever_sends_next(run: Run, home: Path, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    part = '[[scenario.part]]\nmechanism = "scale_amounts"\nstrength = 3\n'
    file.write_text(f'[[scenario]]\nname = "tripled"\nwhat = "dearer"\nexpected = ["ignore"]\n{part}')
    assert run("list", "--scenarios", str(file))[1][-1]["parts"] == [{"mechanism": "scale_amounts", "strength": 3.0, "columns": ["amount"]}]
    assert run("inject", "tripled", "--scenarios", str(file), "--days", "1")[0] == 0
    assert run("inject", "none", "--days", "1")[0] == 0
    assert amounts(service, LIVE + timedelta(days=1), 1) == pytest.approx(amounts(service, LIVE, 1), rel=0.1)
    assert amounts(service, LIVE, 1) > 3_000
    (drift, _) = LiveSource.load(home).drifts
    assert (drift.file, drift.injection().scenario.parts[0].strength) == (file, 3.0)


def test_the_list_fits_a_hundred_columns_and_names_every_scenario(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = CliRunner().invoke(app, ["drift", "list"]).stdout
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert all(f"D{n} " in shown for n in range(18))


def test_a_late_feed_delivers_the_same_reports_later_and_each_once(service: Service, run: Run) -> None:
    assert run("inject", "labels_late", "--strength", "5", "--days", "12")[0] == 0
    first = set(service.labels)
    assert run("inject", "none", "--days", "5")[0] == 0
    assert first < set(service.labels)
    assert len(service.labels) - len(set(service.labels)) <= len(first)  # those of the last quarter of a day are sent again


@pytest.fixture
def send(home: Path) -> Run:
    """`lab traffic`: (exit status, facts of the JSON on standard output)."""

    def invoke(*arguments: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(app, ["traffic", *arguments, "--json"])
        return result.exit_code, json.loads(result.stdout)

    return invoke


def test_traffic_goes_on_where_the_last_sender_stopped_with_the_drift_that_is_under_way(send: Run, run: Run, service: Service) -> None:
    status, facts = send("--days", "3")
    assert (status, facts["sent"], facts["failed"], facts["until"]) == (0, 30, 0, midnight(LIVE + timedelta(days=3)).isoformat())
    assert run("inject", "price_fall", "--days", "1")[0] == 0
    assert send("--days", "3")[0] == 0
    since = LIVE + timedelta(days=3)
    assert amounts(service, since, 4) == pytest.approx(amounts(service, LIVE, 3) / 2, rel=0.1)
    assert service.count == 70


def test_traffic_keeps_to_the_rate_that_is_asked_for(send: Run, service: Service) -> None:
    began = time.monotonic()
    assert send("--days", "1", "--rate", "20")[0] == 0
    assert time.monotonic() - began > service.count / 20


@pytest.mark.parametrize("arguments", [("--days", "0"), ("--rate", "-1")])
def test_traffic_of_nothing_is_refused(send: Run, service: Service, arguments: tuple[str, str]) -> None:
    assert refused(send(*arguments))[0] == "bad_input"
    assert service.count == 0


@pytest.fixture
def load(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`lab load`, by one connection: (exit status, facts of the JSON on standard output)."""
    objective = tmp_path / "slo.toml"
    objective.write_text("[objective]\np95_ms = 5e3\np99_ms = 5e3\nerror_ratio = 0.0\n[arrivals]\nrate_per_s = 50.0\nusers = 1\n")
    monkeypatch.setenv("LAB_LOAD_OBJECTIVE", str(objective))

    def invoke(*arguments: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(app, ["load", *arguments, "--json"])
        return result.exit_code, json.loads(result.stdout)

    return invoke


def test_load_sends_the_next_payments_each_once_over_as_many_days_as_it_takes(send: Run, load: Run, service: Service) -> None:
    assert send("--days", "1.5")[0] == 0
    before = dict(service.payments)
    status, facts = load("--requests", "17")
    assert (status, facts["met"], facts["requests"], facts["failures"]) == (0, True, 17, 0)
    sent = [payment for key, payment in service.payments.items() if key not in before]
    assert len(sent) == 17
    assert min(payment.event_time for payment in sent) >= max(payment.event_time for payment in before.values())
    assert send("--days", "1")[1]["failed"] == 0


def test_load_that_misses_its_objective_fails(load: Run, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text("[objective]\np95_ms = 1e-6\np99_ms = 1e-6\nerror_ratio = 0.0\n[arrivals]\nrate_per_s = 50.0\nusers = 1\n")
    monkeypatch.setenv("LAB_LOAD_OBJECTIVE", str(strict))
    status, facts = load("--requests", "5")
    assert (status, facts["met"], service.count) == (1, False, 5)


def test_load_of_nothing_is_refused(load: Run, service: Service) -> None:
    assert refused(load("--requests", "0"))[0] == "bad_input"
    assert refused(load("--workers", "0"))[0] == "bad_input"
    assert service.count == 0
