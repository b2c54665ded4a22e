"""The stack's rules and dashboards over a real lab: a quiet day is silent, D3, D5, D11 and outages are heard and forgotten, and every
expression returns data. The tests are one story and run in order: each begins where the one before ended."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.settings import REPOSITORY, Settings
from tests.observe.compressed import compress
from tests.observe.expressions import expressions, is_excused
from tests.observe.stack import Stack, watched_lab


@pytest.fixture(scope="module")
def stack(prometheus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    base = int(os.environ.get("OBSERVE_PORT", "28600"))
    ports = {"scoring_port": base, "mlflow_port": base + 1, "prefect_port": base + 2, "archive_port": base + 3, "work_port": base + 4}
    settings = Settings.load()
    settings = settings.model_copy(update={"home": settings.home / "observe", "work_every_s": 1.0, "start_timeout_s": 600.0, **ports})
    with watched_lab(settings, prometheus_folder, tmp_path_factory.mktemp("observe"), base + 5) as stack:
        yield stack


def test_nothing_is_heard_on_a_quiet_day(stack: Stack) -> None:
    stack.lab("traffic", "--days", "1", "--rate", "150")
    stack.wait("the day to be judged", lambda: judged_until(stack) >= newest_midnight(stack))
    heard = {row["metric"]["alertname"] for row in stack.ask('count_over_time(ALERTS{alertstate="firing"}[1h])')}
    assert not heard


def test_every_expression_returns_data_or_is_known_to_have_none(stack: Stack) -> None:
    found = expressions(compress)
    assert len(found) > 80
    assert [one for one in found if not is_excused(one) and not stack.ask(one)] == []


def test_cents_sent_as_euros_are_heard_at_once_and_by_monitoring(stack: Stack) -> None:
    stack.lab("drift", "inject", "D3", "--days", "1")
    stack.fires("ValuesOutOfRange")
    stack.lab("drift", "stop")
    stack.lab("traffic", "--days", "0.1")  # a window has ended when the next day begins
    stack.fires("VerdictAsksForAction")
    stack.resolves("ValuesOutOfRange")


def test_missing_fields_are_heard(stack: Stack) -> None:
    stack.lab("drift", "inject", "D5", "--days", "1")
    stack.fires("FieldsMissing")
    stack.lab("drift", "stop")
    stack.resolves("FieldsMissing")


def test_a_fraud_wave_is_heard(stack: Stack) -> None:
    stack.lab("drift", "inject", "D11", "--days", "2")
    stack.fires("AlertCapacityExceeded")
    stack.lab("drift", "stop")
    stack.resolves("AlertCapacityExceeded")


def test_an_outage_is_heard_and_forgotten(stack: Stack) -> None:
    stack.supervisor.stop(("mlflow",))
    stack.fires("RegistryUnreachable")
    stack.supervisor.start(("mlflow",))
    stack.resolves("RegistryUnreachable")
    stack.supervisor.stop(("scoring",))
    stack.fires("ScoringDown", "ReplicaDown")
    stack.supervisor.start(("scoring",))
    stack.resolves("ScoringDown", "ReplicaDown")


def test_monitorings_alerts_are_forgotten_once_their_window_is_quiet_again(stack: Stack) -> None:
    stack.lab("traffic", "--days", "8")
    stack.wait("the days to be judged", lambda: judged_until(stack) >= newest_midnight(stack))
    stack.resolves("VerdictAsksForAction", "AlertRateMoved")
    busy = {"LatencyObjectiveMissed"}  # what a machine that does other things rightly hears
    stack.wait("silence", lambda: not stack.firing() - busy)


def test_every_alert_is_answered_by_a_section_of_the_runbook(stack: Stack) -> None:
    runbook = (REPOSITORY / "dashboards" / "RUNBOOK.md").read_text()
    assert stack.heard and all(f"## {name}\n" in runbook for name in stack.heard)


def judged_until(stack: Stack) -> float:
    return float((stack.ask("fraud_window_end_timestamp_seconds") or [{"value": (0, "0")}])[0]["value"][1])


def newest_midnight(stack: Stack) -> float:
    newest = float(stack.ask("fraud_log_newest_payment_timestamp_seconds")[0]["value"][1])
    return newest - newest % 86_400
