"""Whoever sends payments goes on where the last sender stopped: found in the prediction log, label for label."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from data.dataset import Dataset, to_table
from data.errors import BadInput
from data.prediction_frames import logged_decisions
from data.prediction_log import PredictionLog
from data.scenarios import scenario
from data.schema import Transaction
from data.settings import Settings
from labs.drifts import Drifts
from labs.live import BY_HAND, LiveSource, hand_over, take_up, where_it_stands
from labs.replay import LiveDay, Replay
from labs.stream import FileStream, Stream, WorldStream, midnight
from pipelines.training.request import WorldSource
from tests.live_service import DECLINED, Service
from tests.records import record
from tests.unit.test_demo import recorded, replace_days

LIVE = date(2026, 2, 2)
HOURS = 12  # how much later each payment of a day is reported than the one before it


class Days(Stream):
    """Twelve payments a day, one every two hours; all are frauds, the n-th reported n half-days later."""

    name, first, live, end = "twelve a day", LIVE - timedelta(days=3), LIVE, None
    kind = "world"

    def __init__(self, folder: Path) -> None:
        self.drifts = Drifts()
        self.dataset = Dataset(folder)
        for number in range(3):
            day = self.day(self.first + timedelta(days=number))
            tables = {"transactions": to_table(day.transactions, "transactions"), "labels": to_table(day.labels, "labels")}
            self.dataset.write_day(self.first + timedelta(days=number), tables)  # type: ignore[arg-type]

    @property
    def source(self) -> WorldSource:
        raise NotImplementedError

    def day(self, day: date) -> LiveDay:
        times = pd.Series([pd.Timestamp(midnight(day)) + pd.Timedelta(hours=2 * n + 1) for n in range(12)]).astype("datetime64[ms, UTC]")
        ids = pd.Series([f"{day}_{n}" for n in range(12)], dtype="str")
        cards = {"card_id": "card_1", "terminal_id": "term_1", "amount_minor": 100, "currency": "EUR", "channel": "chip"}
        facts = {"transaction_id": ids, "event_time": times, **cards, "category": "fuel", "latitude": 52.5, "longitude": 13.4}
        transactions = pd.DataFrame(facts).assign(device_id=None)
        reported = times + pd.to_timedelta(pd.Series(range(12)) * HOURS + 0.5, unit="h")
        labels = pd.DataFrame({"transaction_id": ids, "event_time": times, "report_time": reported, "is_fraud": True, "source": "dispute"})
        return LiveDay(transactions, times, labels)


@pytest.fixture
def log(settings: Settings) -> Iterator[PredictionLog]:
    made = PredictionLog(settings.home / "predictions.db")
    yield made
    made.close()


@pytest.fixture
def service(log: PredictionLog) -> Iterator[Service]:
    made = Service(log)
    yield made
    made.close()


@pytest.fixture
def stream(tmp_path: Path) -> Days:
    return Days(tmp_path / "days")


@pytest.fixture
def lab(settings: Settings, service: Service) -> Settings:
    return settings.model_copy(update={"scoring_port": service.server.server_port})


def moment(days: float) -> datetime:
    return midnight(LIVE) + timedelta(days=days)


def sender(settings: Settings, stream: Stream) -> Replay:
    """The next one, for nine days."""
    return take_up(settings, stream, where_it_stands(stream, settings.home / "predictions.db"), 9)


def log_payments(log: PredictionLog, ids: list[str], at: datetime) -> None:
    payments = [{"transaction_id": one, "event_time": at, "card_id": "c_1", "terminal_id": "t_1", "amount_minor": 1} for one in ids]
    log.append([record(1, payment=Transaction.model_validate(one)) for one in payments])


def test_an_empty_log_stands_where_the_history_ends(stream: Days, log: PredictionLog) -> None:
    assert where_it_stands(stream, log.path) == midnight(LIVE)


def test_it_stands_at_the_first_payment_that_was_not_sent(lab: Settings, stream: Days, service: Service) -> None:
    sender(lab, stream).run_until(moment(1.25))
    assert where_it_stands(stream, service.log.path) == moment(1) + timedelta(hours=7)
    sender(lab, stream).run_until(moment(2))
    assert where_it_stands(stream, service.log.path) == moment(2)


def test_payments_asked_by_hand_move_nothing_whatever_their_time(lab: Settings, stream: Days, service: Service) -> None:
    sender(lab, stream).run_until(moment(0.5))
    log_payments(service.log, ["by_hand_1"], moment(400))
    log_payments(service.log, ["by_hand_2"], moment(0.1))
    assert where_it_stands(stream, service.log.path) == moment(0.5) + timedelta(hours=1)


def test_a_log_of_other_payments_is_refused_and_a_few_by_hand_are_not(stream: Days, log: PredictionLog) -> None:
    log_payments(log, [f"other_{n}" for n in range(BY_HAND - 1)], moment(1))
    assert where_it_stands(stream, log.path) == midnight(LIVE)
    log_payments(log, ["other_too"], moment(1))
    with pytest.raises(BadInput, match=r"None of the 100 payments .* twelve a day.*--data"):
        where_it_stands(stream, log.path)


@pytest.mark.parametrize("stops", [(0.3,), (1.25, 1.26), (2.0,), (0.04, 1.5, 2.96)])
def test_senders_that_take_turns_leave_what_one_would_have_left(
    tmp_path: Path, settings: Settings, lab: Settings, stream: Days, service: Service, stops: tuple[float, ...]
) -> None:
    for stop in stops:
        sender(lab, stream).run_until(moment(stop))
    last = sender(lab, stream)
    last.run_until(moment(4))
    left = logged_decisions(service.log.path, moment(-9), moment(9))
    labels = set(service.labels)

    other = PredictionLog(tmp_path / "other" / "predictions.db")
    alone = Service(other)
    try:
        home = {"home": tmp_path / "other", "scoring_port": alone.server.server_port}
        sender(settings.model_copy(update=home), stream).run_until(moment(4))
        assert left == logged_decisions(other.path, moment(-9), moment(9))
        assert (service.count, labels) == (alone.count, set(alone.labels)) == (48, labels)
    finally:
        alone.close()
        other.close()
    assert any(one.startswith("2026-01-") for one in labels)  # of the history
    assert not [one for one in labels if one >= str(LIVE) and one.endswith(DECLINED)]


def test_what_was_due_when_a_sender_was_killed_is_delivered_by_the_next_before_anything_else(
    lab: Settings, stream: Days, service: Service
) -> None:
    first = sender(lab, stream)
    first._send_labels = lambda *_: None  # type: ignore[method-assign] # killed between payments and labels, all along
    first.run_until(moment(2))
    service.labels.clear()
    second = sender(lab, stream)
    assert second.now == moment(2)
    due = [f"{LIVE}_{n}" for n in range(4)] + [f"{LIVE + timedelta(days=1)}_{n}" for n in range(2)]
    assert set(due) <= set(service.labels)


def test_reports_that_a_slow_feed_holds_back_for_weeks_reach_the_sender_of_that_day(lab: Settings, stream: Days, service: Service) -> None:
    stream.drifts.injections.append(scenario("labels_late").inject(LIVE, seed=1, strength=30.0))
    for day in (8, 16, 24, 32, 36):
        sender(lab, stream).run_until(moment(day))
    due = {
        f"{LIVE + timedelta(days=day)}_{n}" for day in range(6) for n in range(12) if day + (2 * n + 1 + n * HOURS + 0.5) / 24 + 30 <= 36
    }
    assert len(due) > 20
    assert {one for one in service.labels if one >= str(LIVE)} == {one for one in due if not one.endswith(DECLINED)}


def test_the_history_hands_over_only_what_was_not_known_when_it_went_live(lab: Settings, stream: Days, log: PredictionLog) -> None:
    labels = hand_over(lab, stream, midnight(LIVE))
    assert labels["report_time"].min() >= pd.Timestamp(midnight(LIVE))
    assert len(labels) > 10
    assert log.parties(str(labels["transaction_id"].iloc[0])) == ("card_1", "term_1")
    assert len(hand_over(lab, stream, moment(40))) == 0  # no feature looks so far back


def test_where_payments_come_from_is_kept_with_their_drift(tmp_path: Path, settings: Settings) -> None:
    assert LiveSource.load(tmp_path) == LiveSource()
    world = WorldStream(settings)
    world.inject(scenario("new_tactic").inject(world.live + timedelta(days=2), seed=5))
    LiveSource.of(world).save(tmp_path)
    again = LiveSource.load(tmp_path).open(settings)
    assert again.drifts == world.drifts
    day = world.live + timedelta(days=3)
    pd.testing.assert_frame_equal(again.day(day).transactions, world.day(day).transactions)


def test_a_file_is_found_again_whatever_folder_the_next_command_runs_in(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recorded(tmp_path, days=24)
    monkeypatch.chdir(tmp_path)
    LiveSource(Path(file.name)).save(tmp_path)
    monkeypatch.chdir("/")
    stream = LiveSource.load(tmp_path).open(replace_days(settings, 21))
    assert isinstance(stream, FileStream)
    assert stream.end == stream.first + timedelta(days=24)
