"""Bad batches are refused and set aside whole; odd but valid ones pass."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.dataset import Dataset, to_frame
from data.errors import BadBatch
from data.world.config import WorldConfig
from data.world.days import make_days
from pipelines.training.validate import check_days, validate_days

START = date(2026, 1, 5)
CONFIG = WorldConfig(start=START, transactions_per_day=300)
CARD_NUMBER = "4111111111111111"  # the card networks' own test number: passes the Luhn check
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = Dataset(tmp_path / "dataset")
    make_days(CONFIG, made, 3, workers=1)
    return made


def rewrite(dataset: Dataset, change: Change, kind: str = "transactions", day: date = START) -> None:
    """Change a day's file without the care that `Dataset.write_day` takes."""
    file = dataset.path(kind, day)  # type: ignore[arg-type]
    frame = change(pq.ParquetFile(file).read().to_pandas())
    for name in frame.select_dtypes("datetimetz"):
        frame[name] = frame[name].dt.as_unit("ms")
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)


def cell(column: str, value: object, row: int = 3) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


def clash(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[1, "transaction_id"] = frame.loc[0, "transaction_id"]
    return frame


def next_day(frame: pd.DataFrame) -> pd.DataFrame:
    frame["event_time"] = frame["event_time"] + pd.Timedelta(days=1)
    return frame


BAD: dict[str, tuple[str, str, Change, str]] = {
    # name: (kind, column, change, words of the finding)
    "lost column": ("transactions", "channel", lambda f: f.drop(columns="channel"), "column is missing"),
    "extra column": ("transactions", "is_fraud", lambda f: f.assign(is_fraud=True), "not in the schema"),
    "amounts as text": ("transactions", "amount_minor", lambda f: f.assign(amount_minor=f["amount_minor"].astype(str)), "not int64"),
    "amounts in major units": (
        "transactions", "amount_minor", lambda f: f.assign(amount_minor=f["amount_minor"] / 100), "is double, not int64",
    ),
    "negative amount": ("transactions", "amount_minor", lambda f: f.assign(amount_minor=-f["amount_minor"]), "greater_than_or_equal_to"),
    "missing card": ("transactions", "card_id", cell("card_id", None), "is missing"),
    "other currency": ("transactions", "currency", cell("currency", "USD"), "is not EUR"),
    "impossible place": ("transactions", "latitude", lambda f: f.assign(latitude=123.0), "less_than_or_equal_to"),
    "unknown channel": ("transactions", "channel", cell("channel", "fax"), "none of the schema's"),
    "card number as card": ("transactions", "card_id", cell("card_id", CARD_NUMBER), "looks like a card number"),
    "card number as category": ("transactions", "category", cell("category", CARD_NUMBER), "looks like a card number"),
    "category with spaces": ("transactions", "category", cell("category", "gift cards"), "is not a word"),
    "id with spaces": ("transactions", "terminal_id", cell("terminal_id", "a till"), "is not a token"),
    "another day's rows": ("transactions", "event_time", next_day, "is not on 2026-01-05"),
    "two payments, one id": ("transactions", "transaction_id", clash, "names two different payments"),
    "label before payment": (
        "labels", "report_time", lambda f: f.assign(report_time=f["event_time"] - pd.Timedelta(hours=1)), "before the payment",
    ),
    "label of no payment": ("labels", "transaction_id", cell("transaction_id", "tx_nobody", 0), "of no payment"),
    "label from nowhere": ("labels", "source", lambda f: f.assign(source="rumour"), "none of the schema's"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_batch_is_refused_naming_column_and_check(name: str, dataset: Dataset, tmp_path: Path) -> None:
    kind, column, change, words = BAD[name]
    rewrite(dataset, change, kind)
    with pytest.raises(BadBatch) as refused:
        validate_days(dataset, START, START + timedelta(3), tmp_path / "quarantine")
    report = json.loads((tmp_path / "quarantine" / "2026-01-05" / "report.json").read_text())
    assert any(finding["column"] == column and words in finding["check"] for finding in report["findings"]), report
    assert "2026-01-05" in str(refused.value)


def test_a_bad_day_is_set_aside_whole_and_the_others_stay(dataset: Dataset, tmp_path: Path) -> None:
    rewrite(dataset, cell("currency", "USD"))
    with pytest.raises(BadBatch):
        validate_days(dataset, START, START + timedelta(3), tmp_path / "quarantine")
    assert dataset.days() == [START + timedelta(1), START + timedelta(2)]
    kept = {file.name for file in (tmp_path / "quarantine" / "2026-01-05").iterdir()}
    assert kept == {"transactions.parquet", "labels.parquet", "report.json", "report.txt"}
    validate_days(dataset, START, START + timedelta(3), tmp_path / "quarantine")  # the rest is fine
    make_days(CONFIG, dataset, 3, workers=1)
    validate_days(dataset, START, START + timedelta(3), tmp_path / "quarantine")  # and the day can be made again


def test_a_report_gives_positions_and_counts_but_never_a_value(dataset: Dataset, tmp_path: Path) -> None:
    rewrite(dataset, lambda f: cell("card_id", CARD_NUMBER, 7)(cell("card_id", CARD_NUMBER, 9)(f)))
    with pytest.raises(BadBatch) as refused:
        validate_days(dataset, START, START + timedelta(3), tmp_path / "quarantine")
    folder = tmp_path / "quarantine" / "2026-01-05"
    texts = [(folder / "report.json").read_text(), (folder / "report.txt").read_text(), str(refused.value)]
    assert all(CARD_NUMBER not in text for text in texts)
    assert "2 rows (first at rows 7, 9)" in texts[1]


def test_a_cut_off_file_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    file = dataset.path("transactions", START)
    file.write_bytes(file.read_bytes()[:2_000])
    with pytest.raises(BadBatch, match="missing or damaged"):
        validate_days(dataset, START, START + timedelta(3), tmp_path / "quarantine")


def test_one_id_on_two_days_is_refused_though_each_day_is_fine(dataset: Dataset, tmp_path: Path) -> None:
    first = pq.ParquetFile(dataset.path("transactions", START)).read().to_pandas()["transaction_id"][0]
    rewrite(dataset, cell("transaction_id", first), day=START + timedelta(1))
    rewrite(dataset, lambda f: f.iloc[:0], "labels", START + timedelta(1))
    with pytest.raises(BadBatch, match="contradict"):
        validate_days(dataset, START, START + timedelta(3), tmp_path / "quarantine")


ODD: dict[str, Change] = {
    "unseen category": cell("category", "space_tourism"),
    "payment delivered twice": lambda f: pd.concat([f, f.iloc[[5]]], ignore_index=True),
    "late rows first": lambda f: f.iloc[::-1].reset_index(drop=True),
    "no place anywhere": lambda f: f.assign(latitude=float("nan"), longitude=float("nan")),
    "one huge payment": cell("amount_minor", 900_000_000),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_but_valid_batch_passes(name: str, dataset: Dataset) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = ODD[name](frame)
        return changed.astype({"amount_minor": "int64"})

    rewrite(dataset, change)
    assert check_days(dataset, [START]) == []


def test_a_day_without_payments_passes(dataset: Dataset) -> None:
    for kind in ("transactions", "labels"):
        file = dataset.path(kind, START)  # type: ignore[arg-type]
        pq.write_table(pq.ParquetFile(file).read()[:0], file)
    assert check_days(dataset, [START]) == []
    assert to_frame(pq.ParquetFile(dataset.path("transactions", START)).read(), "transactions").empty
