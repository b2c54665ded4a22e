"""How far ahead a payment's time may lie."""

from datetime import UTC, datetime, timedelta

import pytest

from data.clock import EventClock
from data.errors import BadInput
from data.schema import event_seconds
from services.scoring.horizon import Horizon

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def horizon(newest: datetime | None = None) -> Horizon:
    return Horizon(EventClock(NOW), event_seconds(newest) if newest else 0)


@pytest.mark.parametrize("ahead", [timedelta(days=-4_000), timedelta(0), timedelta(minutes=5)])
def test_a_payment_near_or_before_the_wall_clock_is_taken(ahead: timedelta) -> None:
    horizon().admit(event_seconds(NOW + ahead))


def test_a_payment_more_than_five_minutes_ahead_is_refused_by_name_and_without_its_value() -> None:
    with pytest.raises(BadInput) as refusal:
        horizon().admit(event_seconds(NOW + timedelta(minutes=5, seconds=1)))
    assert refusal.value.where == "event_time" and "2026" not in str(refusal.value)


def test_a_replay_in_the_future_of_the_wall_clock_goes_on_a_day_at_a_time() -> None:
    replay = NOW + timedelta(days=900)
    ahead = horizon(replay)
    ahead.admit(event_seconds(replay + timedelta(hours=24)))
    with pytest.raises(BadInput):
        ahead.admit(event_seconds(replay + timedelta(hours=24, seconds=1)))
    ahead.passed(event_seconds(replay + timedelta(hours=1)))
    ahead.admit(event_seconds(replay + timedelta(hours=25)))


def test_todays_payments_go_on_while_this_machines_clock_is_an_hour_slow() -> None:
    newest = NOW + timedelta(hours=1)
    horizon(newest).admit(event_seconds(newest + timedelta(minutes=59)))


@pytest.mark.parametrize("newest", [NOW + timedelta(hours=24), NOW, NOW - timedelta(hours=24)])
def test_among_todays_payments_one_more_than_an_hour_ahead_is_refused(newest: datetime) -> None:
    with pytest.raises(BadInput, match="an hour ahead of the newest"):
        horizon(newest).admit(event_seconds(max(newest, NOW) + timedelta(hours=1, seconds=1)))


def test_a_late_payment_does_not_bring_the_horizon_back() -> None:
    replay = NOW + timedelta(days=900)
    ahead = horizon(replay)
    ahead.passed(event_seconds(NOW))
    ahead.admit(event_seconds(replay + timedelta(hours=24)))


def test_in_a_batch_each_row_follows_those_before_it() -> None:
    replay = NOW + timedelta(days=900)
    days = [event_seconds(replay + timedelta(hours=20 * i)) for i in range(10)]
    ahead = horizon(replay)
    ahead.admit_all(days)
    assert ahead.newest_s == event_seconds(replay), "looking at a batch takes nothing in"
    with pytest.raises(BadInput) as refusal:
        ahead.admit_all([*days[:3], days[9], *days[3:]])
    assert refusal.value.where == "transactions.3.event_time"
