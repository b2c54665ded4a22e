"""Live traffic: every payment once and in order, labels when they are known, none for a payment that never happened."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pandas as pd
import pytest

from data.errors import ServiceDown, StepFailed
from data.scenarios import scenario
from labs.drifts import Drifts
from labs.replay import LiveDay, Replay

DAY = date(2026, 1, 5)
MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = (1, 7, 8, 20)
DECLINED = "2026-01-05_7"


def live_day(day: date) -> LiveDay:
    """Four payments; all are frauds, reported five hours later."""
    times = pd.Series([pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=hour) for hour in HOURS])
    ids = [f"{day}_{hour}" for hour in HOURS]
    transactions = pd.DataFrame({"transaction_id": ids, "event_time": times, "latitude": 52.123456789012})
    reported = {"report_time": times + pd.Timedelta(hours=5), "is_fraud": True, "source": "alert"}
    return LiveDay(transactions, times, pd.DataFrame({"transaction_id": ids, "event_time": times, **reported}))


class Service:
    """Stands in for the scoring service and remembers what came, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.answer: Callable[[httpx.Request], httpx.Response] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.answer is not None:
            return self.answer(request)
        body = json.loads(request.content)
        kind = "transactions" if "transactions" in body else "labels"
        ids = [row["transaction_id"] for row in body[kind]]
        self.heard += [(kind, one) for one in ids]
        decisions = [{"transaction_id": one, "decision": "decline" if one == DECLINED else "approve", "model_version": "3"} for one in ids]
        return httpx.Response(200, json={"predictions": decisions})


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service, client = Service(), httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: client(**given, transport=httpx.MockTransport(service)))
    return service


def replay(**changes: Any) -> Replay:
    return Replay(**{"url": "http://service", "day_of": live_day, "now": MIDNIGHT, "end": MIDNIGHT + timedelta(days=3), **changes})


def test_every_payment_is_sent_once_and_in_order_however_the_time_is_cut(service: Service) -> None:
    traffic = replay()
    for hour in (0.5, 7, 7.5, 19, 30, 48):
        traffic.run_until(MIDNIGHT + timedelta(hours=hour))
    sent = [one for kind, one in service.heard if kind == "transactions"]
    assert sent == [f"{day}_{hour}" for day in ("2026-01-05", "2026-01-06") for hour in HOURS]
    assert (traffic.sent, traffic.last_version) == (8, "3")


def test_a_label_goes_out_once_it_is_known_and_never_for_a_declined_payment(service: Service) -> None:
    traffic = replay()
    traffic.run_until(MIDNIGHT + timedelta(hours=6))
    assert [one for kind, one in service.heard if kind == "labels"] == ["2026-01-05_1"]
    traffic.run_until(MIDNIGHT + timedelta(hours=26))
    labelled = [one for kind, one in service.heard if kind == "labels"]
    assert labelled == ["2026-01-05_1", "2026-01-05_8", "2026-01-05_20"]
    for one in labelled:
        assert service.heard.index(("transactions", one)) < service.heard.index(("labels", one))


def test_a_blocked_payment_is_never_reported_and_a_late_report_comes_once(service: Service) -> None:
    drifts = Drifts([scenario("D17").inject(DAY, seed=1), scenario("labels_late").inject(DAY, seed=1, strength=1.0)])
    traffic = replay(feed=drifts.feed)
    traffic.remember({"2026-01-05_8": "review", "2026-01-05_1": "approve"})
    traffic.run_until(MIDNIGHT + timedelta(hours=24))
    assert [one for kind, one in service.heard if kind == "labels"] == []
    traffic.run_until(MIDNIGHT + timedelta(hours=72))
    labelled = [one for kind, one in service.heard if kind == "labels"]
    assert labelled == ["2026-01-05_1", "2026-01-05_20", "2026-01-06_1", "2026-01-06_7", "2026-01-06_8"]


def test_labels_handed_over_from_before_are_sent_when_they_are_due(service: Service) -> None:
    traffic = replay()
    late = pd.Timestamp(MIDNIGHT) + pd.Timedelta(hours=2)
    traffic.expect(pd.DataFrame({"transaction_id": ["old"], "report_time": [late], "is_fraud": [True], "source": ["chargeback"]}))
    traffic.run_until(MIDNIGHT + timedelta(hours=6))
    assert ("labels", "old") in service.heard


def test_a_payment_is_sent_with_every_digit_so_that_sending_it_again_is_the_same_payment(service: Service) -> None:
    bodies: list[bytes] = []
    service.answer = lambda request: (bodies.append(request.content), httpx.Response(500))[1]
    with pytest.raises(StepFailed):
        replay().run_until(MIDNIGHT + timedelta(hours=6))
    assert b"52.123456789012" in bodies[0]


def test_it_says_how_far_it_came_when_there_are_no_more_payments(service: Service) -> None:
    end = MIDNIGHT + timedelta(days=1)
    assert replay(end=end).run_until(MIDNIGHT + timedelta(days=9)) == end


def test_a_refusal_is_counted_and_named(service: Service) -> None:
    service.answer = lambda _: httpx.Response(503, text='{"error": {"code": "log_full"}}')
    traffic = replay()
    with pytest.raises(StepFailed, match=r"answered 503.*log_full"):
        traffic.run_until(MIDNIGHT + timedelta(hours=6))
    assert traffic.failed == 1


def test_a_service_that_is_gone_is_named_with_the_next_command(service: Service) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    service.answer = gone
    with pytest.raises(ServiceDown, match="lab status"):
        replay().run_until(MIDNIGHT + timedelta(hours=6))
