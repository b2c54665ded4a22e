"""`lab work` does what is due once, by event time, and what it shows survives it: everything is read from what is at rest."""

import json
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from data.errors import EmptyWindow, GateRefused, NoModel, StepFailed
from data.ledger import Ledger
from data.prediction_log import PredictionLog
from data.schema import Label
from data.settings import Settings
from labs.commands.drift import full_hour_after
from labs.work import duties, rounds
from labs.work.facts import Facts
from labs.work.gauges import WorkGauges, standing
from labs.work.reports import read_reports
from tests.records import record
from tests.work_facts import WINDOW

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


@pytest.fixture
def home(settings: Settings) -> Settings:
    settings.home.mkdir(parents=True, exist_ok=True)
    return settings


def ledger(home: Settings) -> Ledger:
    return Ledger(home.home / "ledger.jsonl")


def scraped(home: Settings) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(WorkGauges(home))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_days_that_were_sent_whole_are_judged_whole() -> None:
    last = datetime(2026, 3, 12, 23, 58, 11, 123_000, tzinfo=UTC)
    assert full_hour_after(last) == datetime(2026, 3, 13, tzinfo=UTC)
    assert full_hour_after(NOON) == NOON + timedelta(hours=1), "a payment on the hour is in the window"


def test_every_finished_window_is_due_once() -> None:
    live = date(2026, 3, 6)
    assert duties.due_days([], live, NOON) == [date(2026, 3, day) for day in range(7, 13)]
    assert duties.due_days([date(2026, 3, 11)], live, NOON) == [date(2026, 3, 12)]
    assert duties.due_days([date(2026, 3, 12)], live, NOON) == []
    assert duties.due_days([], live, datetime(2026, 3, 6, 12, tzinfo=UTC)) == []


@pytest.mark.parametrize("alarm", [True, False])
@pytest.mark.parametrize("broken", [True, False])
def test_evidently_reports_on_every_window_and_costs_no_verdict(
    home: Settings, alarm: bool, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    class Watching:
        def watch(self, now: datetime) -> Any:
            verdict = SimpleNamespace(decision="retrain", headline="Worse.", alarm=alarm)
            return SimpleNamespace(verdict=verdict, start=now, end=now, to_json=lambda: {"verdict": {"decision": "retrain"}})

        def start_evidently(self, result: object) -> Any:
            asked.append(result)
            if broken:
                raise StepFailed("Evidently's report could not be made.", next_step="It said: no.", where="evidently")
            return SimpleNamespace(result=lambda: SimpleNamespace(html="page.html" if alarm else None))

    at_work = (SimpleNamespace(version="1"), None, datetime(2026, 3, 11, tzinfo=UTC), NOON)
    monkeypatch.setattr("labs.commands.drift.champion_at_work", lambda _: at_work)
    monkeypatch.setattr("labs.watching.Watcher.at_work", lambda *_, **__: Watching())
    said = duties.monitoring(home)
    assert Facts(home.home).window_days() == [date(2026, 3, 12)]
    assert len(asked) == 1
    assert ("page.html" in said, "It said: no." in said) == (alarm and not broken, broken)


def test_whoever_starts_late_begins_with_the_last_week() -> None:
    assert len(duties.due_days([], date(2025, 1, 1), NOON)) == duties.MOST_WINDOWS


def test_a_new_home_shows_that_nothing_was_done_and_fails_at_nothing(home: Settings) -> None:
    found = scraped(home)
    assert found['fraud_duty_success_timestamp_seconds{duty="monitoring"}'] == 0
    assert found['fraud_rollout_state{state="none"}'] == 1
    assert [found[f'fraud_source_failed{{source="{name}"}}'] for name in ("facts", "ledger", "log")] == [0, 0, 0]


def test_the_last_verdict_is_shown_by_whoever_reads_it_later(home: Settings) -> None:
    Facts(home.home).keep_window(date(2026, 3, 11), WINDOW | {"payments": 1})
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW)
    found = scraped(home)
    assert found["fraud_window_payments"] == 43_000
    assert (found['fraud_verdict{action="retrain"}'], found['fraud_verdict{action="ignore"}']) == (1, 0)
    assert (found['fraud_detector_alarmed{detector="unit"}'], found['fraud_detector_alarmed{detector="clock"}']) == (1, 0)
    assert found['fraud_drift_distance{column="amount"}'] > found['fraud_drift_threshold_distance{column="amount"}']
    assert found['fraud_matured_precision_ratio{bound="low"}'] == 0.4
    assert found["fraud_matured_until_timestamp_seconds"] == datetime(2026, 3, 4, tzinfo=UTC).timestamp()


def test_a_source_that_cannot_be_read_is_marked_and_hides_no_other(home: Settings) -> None:
    (home.home / "ledger.jsonl").write_text("not a ledger\n")
    Facts(home.home).keep_duty("monitoring", NOON, "")
    found = scraped(home)
    assert found['fraud_source_failed{source="ledger"}'] == 1
    assert found['fraud_source_failed{source="log"}'] == 0


def test_a_duty_that_fails_keeps_when_it_last_succeeded(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Settings) -> str:
        raise NoModel("No model serves yet.", next_step="Train one.")

    Facts(home.home).keep_duty("monitoring", NOON, "")
    monkeypatch.setattr(duties, "DUTIES", {"monitoring": fails})
    with pytest.raises(NoModel):
        duties.perform("monitoring", home)
    assert Facts(home.home).duties()["monitoring"] == {"ran": pytest.approx(datetime.now(UTC).timestamp(), abs=60),
                                                      "succeeded": NOON.timestamp(), "failure": "no_model"}  # fmt: skip
    found = scraped(home)
    assert found['fraud_duty_failed{duty="monitoring"}'] == 1
    assert found['fraud_duty_success_timestamp_seconds{duty="monitoring"}'] == NOON.timestamp()


class _Outcome:
    def __init__(self, version: str | None) -> None:
        self.version, self.run_id = version, "run"
        self.gate = type("Gate", (), {"reasons": ("worse",)})()


def trained(monkeypatch: pytest.MonkeyPatch, version: str | None = "2") -> list[Settings]:
    calls: list[Settings] = []

    def retrain(settings: Settings, *, recalibrate: bool) -> _Outcome:
        assert not recalibrate
        calls.append(settings)
        return _Outcome(version)

    monkeypatch.setattr("labs.commands.training.retrain", retrain)
    return calls


def allowed(home: Settings) -> Settings:
    return home.model_copy(update={"work_retrains": True})


def test_nothing_is_trained_unless_somebody_said_so(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = trained(monkeypatch)
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW)
    assert "LAB_WORK_RETRAINS" in duties.retraining(home)
    assert calls == []


def test_a_verdict_that_asks_is_answered_by_one_training(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, home = trained(monkeypatch), allowed(home)
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW)
    assert "lab rollout start" in duties.retraining(home)
    assert "already" in duties.retraining(home)
    assert len(calls) == 1
    assert [entry.kind for entry in ledger(home).entries()] == ["retraining_asked"]


def test_a_verdict_to_recalibrate_keeps_the_trees(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr("labs.commands.training.retrain", lambda _, *, recalibrate: kept.append(recalibrate) or _Outcome("2"))
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW | {"verdict": {"decision": "recalibrate", "headline": "x"}})
    assert "`lab train --recalibrate`" in duties.retraining(home)
    assert "lab rollout start" in duties.retraining(allowed(home))
    assert kept == [True]


def test_a_verdict_on_a_champion_that_was_replaced_trains_nothing(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, home = trained(monkeypatch), allowed(home)
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW)
    ledger(home).record("champion_registered", {"version": "2"}, NOON)
    assert "is of before version 2 registered as champion" in duties.retraining(home)
    assert calls == []


def test_the_days_after_a_promotion_that_cannot_be_judged_hold_no_later_one_up(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    watched_from = datetime(2026, 3, 12, tzinfo=UTC)

    def at_work(*_: Any, now: datetime, **__: Any) -> Any:
        if now < watched_from:
            raise EmptyWindow("Version 2 answers since 2026-03-10, too short a time to be watched.", next_step="Wait.", where="window")
        verdict = SimpleNamespace(decision="ignore", headline="Nothing is wrong.", alarm=False)
        result = SimpleNamespace(verdict=verdict, to_json=lambda: {"verdict": {"decision": "ignore"}})
        report = SimpleNamespace(result=lambda: SimpleNamespace(html=None))
        return SimpleNamespace(watch=lambda _: result, start_evidently=lambda _: report)

    champion = (SimpleNamespace(version="2"), None, datetime(2026, 3, 9, tzinfo=UTC), NOON)
    monkeypatch.setattr("labs.commands.drift.champion_at_work", lambda _: champion)
    monkeypatch.setattr("labs.watching.Watcher.at_work", at_work)
    said = duties.monitoring(home)
    assert said.count("too short a time") == 2 and Facts(home.home).window_days() == [date(2026, 3, 12)]


def test_a_verdict_that_asks_for_nothing_trains_nothing(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, home = trained(monkeypatch), allowed(home)
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW | {"verdict": {"decision": "fix_pipeline", "headline": "x"}})
    duties.retraining(home)
    assert calls == []


def test_no_model_is_trained_beside_a_challenger_that_waits(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, home = trained(monkeypatch), allowed(home)
    ledger(home).record("challenger_registered", {"version": "2"}, NOON)
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW)
    assert "waits" in duties.retraining(home)
    assert calls == []


def test_a_gate_that_refuses_is_told_with_its_reasons(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(monkeypatch, None)
    home = allowed(home)
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW)
    with pytest.raises(GateRefused, match="worse"):
        duties.retraining(home)


def test_a_round_does_every_duty_also_when_one_fails_and_nobody_keeps_flows(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Settings) -> str:
        raise NoModel("No model serves yet.", next_step="Train one.")

    made: dict[str, Callable[[Settings], str]] = {"monitoring": fails, "rollout": lambda _: "seen"}
    monkeypatch.setattr(duties, "DUTIES", made)
    monkeypatch.setattr(rounds, "DUTIES", made)
    monkeypatch.setattr(rounds, "prefect_answers", lambda _: False)
    told: dict[str, str] = {}
    assert rounds.go_round(home, told.__setitem__) == 1
    assert told["monitoring"].startswith("no_model") and told["rollout"] == "seen"


def test_rounds_tell_only_what_is_new_and_end_when_told(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    leaving, lines, count = threading.Event(), list[str](), iter(range(3))

    def duty(_: Settings) -> str:
        if next(count) == 2:
            leaving.set()
        return "the same"

    made: dict[str, Callable[[Settings], str]] = {"rollout": duty}
    monkeypatch.setattr(duties, "DUTIES", made)
    monkeypatch.setattr(rounds, "DUTIES", made)
    monkeypatch.setattr(rounds, "prefect_answers", lambda _: False)
    rounds.keep_going(home.model_copy(update={"work_every_s": 0.0}), leaving, lambda _, said: lines.append(said))
    assert lines == ["the same"]


def test_label_delays_are_those_of_the_frauds_reported_lately(tmp_path: Path) -> None:
    place = tmp_path / "predictions.db"
    with closing(PredictionLog(place)) as log:
        log.append([record(number) for number in range(4)])
        paid = [record(number).payment for number in range(4)]
        late = (timedelta(days=1), timedelta(days=2), timedelta(days=3))
        log.add_labels(
            [Label(transaction_id=p.transaction_id, report_time=p.event_time + d, is_fraud=True) for p, d in zip(paid, late, strict=False)]
        )
        log.add_labels([Label(transaction_id=paid[3].transaction_id, report_time=paid[3].event_time + late[0], is_fraud=False)])
    reports = read_reports(place)
    assert reports.recent == 3
    assert reports.delays_s == {"0.5": 2 * 86_400.0, "0.9": 3 * 86_400.0}
    assert reports.newest_report_s == (paid[2].event_time + late[2]).timestamp()


def test_champion_and_challenger_are_those_of_the_ledger(home: Settings) -> None:
    book = ledger(home)
    book.record("champion_registered", {"version": "1"}, NOON)
    book.record("challenger_registered", {"version": "2"}, NOON)
    assert standing(book.entries()) == {"champion": "1", "challenger": "2"}
    assert scraped(home)['fraud_registered_info{alias="challenger",version="2"}'] == 1


def test_facts_are_plain_json(home: Settings) -> None:
    Facts(home.home).keep_window(date(2026, 3, 12), WINDOW)
    assert json.loads(json.dumps(duties.facts_of(home)))["window"]["version"] == "1"
