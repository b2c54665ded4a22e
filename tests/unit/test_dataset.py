"""Days on disk: what is written comes back exactly, and nothing is ever there by half."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from data.dataset import Dataset, to_table
from data.errors import DiskFull, EmptyWindow
from data.schema import LABEL_COLUMNS, TRANSACTION_COLUMNS

DAY = date(2026, 1, 5)


def transactions(day: date, rows: int = 3) -> pd.DataFrame:
    times = pd.date_range(pd.Timestamp(day, tz="UTC"), periods=rows, freq="h", unit="ms")
    frame = pd.DataFrame({"transaction_id": [f"tx_{day}_{i}" for i in range(rows)], "event_time": times})
    frame = frame.assign(card_id="card_1", terminal_id="term_1", amount_minor=1234, currency="EUR", channel="chip", category="grocery")
    return frame.assign(latitude=52.0, longitude=float("nan"), device_id=None)


def labels(day: date, delays_days: list[float]) -> pd.DataFrame:
    frame = transactions(day, len(delays_days))[["transaction_id", "event_time"]]
    reported = frame["event_time"] + pd.to_timedelta(delays_days, unit="D")
    return frame.assign(report_time=reported.dt.as_unit("ms"), is_fraud=True, source="chargeback")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "world")
    for day in (DAY, date(2026, 1, 6)):
        tables = {"transactions": to_table(transactions(day), "transactions"), "labels": to_table(labels(day, [9.0, 0.5]), "labels")}
        dataset.write_day(day, tables)  # type: ignore[arg-type]
    return dataset


def test_a_day_comes_back_with_the_declared_types_and_the_same_values(dataset: Dataset) -> None:
    frame = dataset.read("transactions", DAY, date(2026, 1, 6))
    assert list(frame.columns) == list(TRANSACTION_COLUMNS)
    for name, (dtype, _) in TRANSACTION_COLUMNS.items():
        assert dtype == "str" or str(frame[name].dtype) == dtype, name
    assert frame["amount_minor"].tolist() == [1234] * 3
    assert frame["longitude"].isna().all()
    assert frame["device_id"].isna().all()


def test_several_days_come_back_in_order_as_one_frame(dataset: Dataset) -> None:
    frame = dataset.read("transactions", DAY, date(2026, 1, 8))
    assert frame["event_time"].is_monotonic_increasing
    assert len(frame) == 6


def test_only_labels_reported_by_the_moment_are_known(dataset: Dataset) -> None:
    known = dataset.labels_known_by(datetime(2026, 1, 7, tzinfo=UTC), DAY, date(2026, 1, 8))
    assert list(known.columns) == list(LABEL_COLUMNS)
    assert known["transaction_id"].tolist() == ["tx_2026-01-05_1", "tx_2026-01-06_1"]


def test_a_window_without_days_says_what_is_there_and_what_to_do(dataset: Dataset) -> None:
    with pytest.raises(EmptyWindow, match=r"2026-01-05 to 2026-01-06.*Choose a window"):
        dataset.read("transactions", date(2027, 1, 1), date(2027, 1, 2))


def test_a_write_that_fails_leaves_the_earlier_day_and_no_leftovers(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dataset.path("transactions", DAY).read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DiskFull, match="LAB_HOME"):
        dataset.write_day(DAY, {"transactions": to_table(transactions(DAY, 9), "transactions")})
    assert dataset.path("transactions", DAY).read_bytes() == before
    assert not list(dataset.root.rglob("*.partial"))


def test_one_changed_amount_changes_the_digest(dataset: Dataset) -> None:
    span = (DAY, date(2026, 1, 8))
    before = dataset.digest(*span)
    changed = transactions(DAY)
    changed.loc[1, "amount_minor"] = 1235
    dataset.write_day(DAY, {"transactions": to_table(changed, "transactions")})
    assert dataset.digest(*span) != before
