"""Foreign files become datasets whole, once and checked; what does not fit is refused in one sentence."""

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.dataset import Dataset
from data.errors import BadInput, EmptyWindow, LabError, MissingFile, UnknownSource
from data.schema import TRANSACTION_COLUMNS
from data.sources import import_file

SECRET = "sEcReT"  # a value that no message may repeat
CARD_NUMBER = "4111111111111111"  # the networks' public test number; passes the Luhn check
CARD_NUMBER_IN_GROUPS = "4111.1111.1111.1111"


def handbook(rows: int = 40) -> pd.DataFrame:
    """Ten payments a day from 2018-04-01, every fifth a fraud, one of them of nothing."""
    index = np.arange(rows)
    frame = pd.DataFrame(
        {
            "TRANSACTION_ID": index,
            "TX_DATETIME": pd.Timestamp("2018-04-01 00:00:31") + pd.to_timedelta(index * 8640, unit="s"),
            "CUSTOMER_ID": index % 7,
            "TERMINAL_ID": index % 3,
            "TX_AMOUNT": 10.0 + index / 100,
            "TX_TIME_SECONDS": index * 8640 + 31,
            "TX_TIME_DAYS": index // 10,
            "TX_FRAUD": (index % 5 == 0).astype(int),
            "TX_FRAUD_SCENARIO": (index % 5 == 0) * 2,
        }
    )
    frame.loc[3, "TX_AMOUNT"] = 0.0
    return frame


def s_ffsd() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Time": range(6),
            "Source": [f"S{i}" for i in range(6)],
            "Target": "T1000",
            "Amount": [13.74, 0.0, 2.5, 3.0, 4.0, 5.0],
            "Location": "L100",
            "Type": "TP100",
            "Labels": [2, 0, 1, 0, 2, 1],
        }
    )


def own() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "transaction_id": ["a", "b"],
            "event_time": ["2026-01-05T09:30:00Z", "2026-01-06T09:30:00Z"],
            "card_id": ["c1", "c2"],
            "terminal_id": ["t1", "t1"],
            "amount_minor": [1234, 50],
            "currency": "EUR",
            "channel": "online",
            "category": ["travel", "cash"],
            "device_id": ["d1", None],
            "is_fraud": [False, True],
        }
    )


def ulb() -> pd.DataFrame:
    return pd.DataFrame({"Time": [0.0], **{f"V{i}": [0.1] for i in range(1, 29)}, "Amount": [1.0], "Class": [0]})


def saved(frame: pd.DataFrame, folder: Path, name: str = "file.parquet") -> Path:
    file = folder / name
    if name.endswith("csv"):
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file)
    return file


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path / "dataset")


def whole(dataset: Dataset) -> str:
    return dataset.digest(date(1970, 1, 1), date(2100, 1, 1))


def test_the_handbooks_rows_become_days_with_minor_units_tokens_and_late_labels(tmp_path: Path, dataset: Dataset) -> None:
    facts = import_file(saved(handbook(), tmp_path), dataset, label_delay_days=5)
    assert (facts.source, facts.rows, facts.frauds, facts.left_out) == ("Fraud Detection Handbook", 39, 8, 1)
    assert dataset.days() == [date(2018, 4, 1 + i) for i in range(4)]
    day = dataset.read("transactions", date(2018, 4, 2), date(2018, 4, 3))
    assert list(day.columns) == list(TRANSACTION_COLUMNS)
    assert [str(day[name].dtype) for name in TRANSACTION_COLUMNS][1:] == [dtype for dtype, _ in TRANSACTION_COLUMNS.values()][1:]
    first = day.iloc[0]
    assert (first.transaction_id, first.card_id, first.terminal_id, first.amount_minor) == ("hb_10", "card_3", "term_1", 1010)
    assert first.event_time == pd.Timestamp("2018-04-02 00:00:31", tz="UTC")
    labels = dataset.read("labels", date(2018, 4, 2), date(2018, 4, 3))
    assert list(labels.transaction_id) == ["hb_10", "hb_15"]
    assert labels.is_fraud.all()
    assert (labels.report_time - labels.event_time == pd.Timedelta(days=5)).all()
    truth = dataset.read("truth", date(2018, 4, 2), date(2018, 4, 3))
    assert list(truth.transaction_id[truth.is_fraud]) == ["hb_10", "hb_15"]
    assert set(truth.campaign_kind.dropna()) == {"handbook_scenario_2"}


def test_rows_out_of_order_come_out_in_order_of_event_time(tmp_path: Path, dataset: Dataset) -> None:
    import_file(saved(handbook().sample(frac=1, random_state=1), tmp_path), dataset)
    assert dataset.read("transactions", date(2018, 4, 1), date(2018, 5, 1)).event_time.is_monotonic_increasing
    other = Dataset(tmp_path / "ordered")
    import_file(saved(handbook(), tmp_path, "ordered.parquet"), other)
    assert whole(dataset) == whole(other)


@pytest.mark.parametrize("make", [handbook, s_ffsd, own])
def test_csv_and_parquet_give_the_same_dataset(make: Callable[[], pd.DataFrame], tmp_path: Path, dataset: Dataset) -> None:
    import_file(saved(make(), tmp_path), dataset)
    other = Dataset(tmp_path / "csv")
    import_file(saved(make(), tmp_path, "file.csv"), other)
    assert whole(dataset) == whole(other)


def test_an_index_that_pandas_wrote_is_no_column_of_ours(tmp_path: Path, dataset: Dataset) -> None:
    own().to_csv(tmp_path / "indexed.csv")
    assert import_file(tmp_path / "indexed.csv", dataset).rows == 2


@pytest.mark.parametrize("name", ["file.csv", "file.parquet"])
def test_ids_of_eighteen_digits_stay_apart(name: str, tmp_path: Path, dataset: Dataset) -> None:
    ids = [900_719_925_474_099_301, 900_719_925_474_099_302]  # a float does not tell them apart
    frame = handbook().iloc[:2].assign(CUSTOMER_ID=ids, TX_AMOUNT=1.0)
    import_file(saved(frame, tmp_path, name), dataset)
    cards = dataset.read("transactions", date(2018, 4, 1), date(2018, 5, 1)).card_id
    assert set(cards) == {f"card_{number}" for number in ids}


@pytest.mark.parametrize("latitude", [47.5, 48.5])
def test_a_day_that_was_set_aside_is_imported_anew_also_from_a_corrected_file(latitude: float, tmp_path: Path, dataset: Dataset) -> None:
    import_file(saved(own().assign(latitude=47.5, longitude=8.0), tmp_path), dataset)
    dataset.path("transactions", date(2026, 1, 5)).unlink()
    facts = import_file(saved(own().assign(latitude=latitude, longitude=8.0), tmp_path), dataset)
    day = dataset.read("transactions", date(2026, 1, 5), date(2026, 1, 6))
    assert facts.rows == 2 and dataset.days() == [date(2026, 1, 5), date(2026, 1, 6)] and day.latitude.tolist() == [latitude]


def test_a_span_takes_its_days_only(tmp_path: Path, dataset: Dataset) -> None:
    facts = import_file(saved(handbook(), tmp_path), dataset, first=date(2018, 4, 2), days=2)
    assert dataset.days() == [date(2018, 4, 2), date(2018, 4, 3)]
    assert (facts.first, facts.days, facts.rows, facts.left_out) == (date(2018, 4, 2), 2, 20, 0)


def test_importing_again_returns_the_same_facts_and_writes_nothing(tmp_path: Path, dataset: Dataset) -> None:
    file = saved(handbook(), tmp_path)
    facts = import_file(file, dataset)
    before = {f: f.stat().st_mtime_ns for f in dataset.root.rglob("*.*")}
    assert import_file(file, dataset) == facts
    assert {f: f.stat().st_mtime_ns for f in dataset.root.rglob("*.*")} == before


class KilledAfter(Dataset):
    """A dataset whose process dies after so many days."""

    def __init__(self, root: Path, days: int) -> None:
        super().__init__(root)
        self.left = days

    def write_day(self, day: date, tables: dict) -> None:  # type: ignore[type-arg]
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().write_day(day, tables)


@pytest.mark.parametrize("killed_span", [None, 3], ids=["the same span", "another span"])
def test_an_import_killed_half_way_and_started_again_ends_as_if_never_killed(
    killed_span: int | None, tmp_path: Path, dataset: Dataset
) -> None:
    file = saved(handbook(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        import_file(file, KilledAfter(dataset.root, 2), days=killed_span)
    with pytest.raises(MissingFile):
        dataset.description()
    import_file(file, dataset, first=date(2018, 4, 2))
    fresh = Dataset(tmp_path / "fresh")
    import_file(file, fresh, first=date(2018, 4, 2))
    assert dataset.days() == fresh.days()
    assert whole(dataset) == whole(fresh)


def test_a_place_that_holds_other_data_is_left_alone(tmp_path: Path, dataset: Dataset) -> None:
    import_file(saved(handbook(), tmp_path), dataset)
    before = whole(dataset)
    with pytest.raises(BadInput, match="already holds other data"):
        import_file(saved(handbook(30), tmp_path, "other.parquet"), dataset)
    (dataset.root / "source.json").unlink()  # days of unknown origin
    with pytest.raises(BadInput, match="already holds other data"):
        import_file(saved(handbook(), tmp_path), dataset)
    assert whole(dataset) == before


def test_a_bad_file_leaves_nothing_behind(tmp_path: Path, dataset: Dataset) -> None:
    frame = handbook()
    frame.loc[39, "TX_AMOUNT"] = -1
    with pytest.raises(BadInput):
        import_file(saved(frame, tmp_path), dataset)
    assert not dataset.root.exists()


def test_s_ffsd_gives_minutes_for_its_index_and_leaves_unlabelled_and_empty_payments_out(tmp_path: Path, dataset: Dataset) -> None:
    facts = import_file(saved(s_ffsd(), tmp_path), dataset)
    assert (facts.source, facts.rows, facts.frauds, facts.left_out) == ("S-FFSD", 3, 2, 3)
    assert any("no clock" in note for note in facts.notes)
    assert any("without a label" in note for note in facts.notes)
    rows = dataset.read("transactions", date(2024, 1, 1), date(2024, 1, 2))
    assert list(rows.transaction_id) == ["sf_2", "sf_3", "sf_5"]
    assert list(rows.category) == ["tp100"] * 3
    assert list(rows.event_time.dt.minute) == [2, 3, 5]


def test_own_tables_keep_their_optional_columns(tmp_path: Path, dataset: Dataset) -> None:
    import_file(saved(own(), tmp_path), dataset)
    row = dataset.read("transactions", date(2026, 1, 5), date(2026, 1, 6)).iloc[0]
    assert (row.channel, row.category, row.device_id, row.amount_minor, row.card_id) == ("online", "travel", "d1", 1234, "c1")
    assert row.isna()[["latitude", "longitude"]].all()


def test_own_tables_need_no_optional_column(tmp_path: Path, dataset: Dataset) -> None:
    import_file(saved(own().drop(columns=["channel", "category", "device_id"]), tmp_path), dataset)
    row = dataset.read("transactions", date(2026, 1, 5), date(2026, 1, 6)).iloc[0]
    assert row.category == "unknown" and row.isna()[["latitude", "longitude", "device_id"]].all()


def test_ulb_is_recognised_and_sent_to_its_bench(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(UnknownSource, match=r"ULB credit card.*without card.*tests\.bench\.ulb"):
        import_file(saved(ulb(), tmp_path), dataset)


def test_an_unknown_table_is_told_its_nearest_kin_and_what_it_lacks(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(UnknownSource, match=r"Found: TRANSACTION_ID.*nearest is Fraud Detection Handbook.*needs: TX_AMOUNT, TX_FRAUD\."):
        import_file(saved(handbook().drop(columns=["TX_AMOUNT", "TX_FRAUD"]), tmp_path), dataset)


def _with(make: Callable[[], pd.DataFrame], column: str, value: object) -> pd.DataFrame:
    """A table whose last row holds `value`; text makes the whole column text."""
    frame = make()
    frame[column] = frame[column].astype(object) if column in frame else None
    frame.loc[len(frame) - 1, column] = value
    return frame


CORPUS = [
    (handbook, "TX_AMOUNT", SECRET, "TX_AMOUNT is not a number in 1 of 40 rows, first in row 40"),
    (handbook, "TX_AMOUNT", None, "TX_AMOUNT is empty in 1 of 40 rows"),
    (handbook, "TX_AMOUNT", -0.5, "TX_AMOUNT is negative"),
    (handbook, "TX_AMOUNT", 1e9, "TX_AMOUNT is above 10,000,000"),
    (handbook, "TX_FRAUD", 7, "TX_FRAUD is neither 0 nor 1"),
    (handbook, "TX_FRAUD", None, "TX_FRAUD is empty"),
    (handbook, "TRANSACTION_ID", 0, "transaction id repeats an earlier one in 1 of 40 rows, first in row 40"),
    (handbook, "CUSTOMER_ID", None, "CUSTOMER_ID is empty"),
    (handbook, "CUSTOMER_ID", int(CARD_NUMBER), "CUSTOMER_ID looks like a card number"),
    (handbook, "TX_DATETIME", SECRET, "TX_DATETIME is not a time"),
    (handbook, "CUSTOMER_ID", 2.5, "CUSTOMER_ID is not a whole number in 1 of 40 rows, first in row 40"),
    (handbook, "CUSTOMER_ID", 1e300, "CUSTOMER_ID is too large a number"),
    (handbook, "CUSTOMER_ID", 10**19, "CUSTOMER_ID is too large a number"),
    (handbook, "TX_DATETIME", "2018-02-31 10:00:00", "TX_DATETIME holds a date that does not exist, first in row 40"),
    (handbook, "TX_DATETIME", "9999-12-31 00:00:00", "TX_DATETIME is not between 1970 and 2106 in 1 of 40 rows, first in row 40"),
    (handbook, "TX_DATETIME", "1969-12-31 00:00:00", "TX_DATETIME is not between 1970 and 2106"),
    (handbook, "TX_DATETIME", None, "TX_DATETIME is "),
    (s_ffsd, "Labels", 3, "Labels is not 0, 1 or 2"),
    (s_ffsd, "Source", CARD_NUMBER, "Source looks like a card number"),
    (s_ffsd, "Source", "a b", "Source is no token"),
    (s_ffsd, "Type", "TP-1", "Type is no word of up to 32 lower-case letters"),
    (s_ffsd, "Time", 10**17, "Time is out of range"),
    (own, "currency", "USD", "currency is not EUR"),
    (own, "currency", None, "currency is empty"),
    (own, "channel", "telepathy", "channel is not one of chip"),
    (own, "card_id", CARD_NUMBER, "card_id looks like a card number"),
    (own, "card_id", CARD_NUMBER_IN_GROUPS, "card_id looks like a card number"),
    (own, "category", CARD_NUMBER, "category looks like a card number"),
    (own, "category", None, "category is empty in 1 of 2 rows"),
    (own, "category", "Gift Cards", "category is no word of up to 32 lower-case letters"),
    (own, "device_id", CARD_NUMBER, "device_id looks like a card number"),
    (own, "amount_minor", -1, "amount_minor is negative"),
    (own, "amount_minor", 12.99, "amount_minor is not a whole number of cents in 1 of 2 rows"),
    (own, "latitude", 191, "latitude is not between -90 and 90"),
    (own, "latitude", "north", "latitude is not a number"),
    (own, "longitude", CARD_NUMBER, "longitude is not between -180 and 180"),
    (own, "amount_minor", int(CARD_NUMBER), "amount_minor is above 1,000,000,000"),
    (own, "is_fraud", SECRET, "is_fraud is neither 0 nor 1"),
    (own, "event_time", "2026-01-06T09:30:00", "event_time carries an offset where the first row does not"),
]


@pytest.mark.parametrize(("make", "column", "value", "sentence"), CORPUS, ids=[f"{c}={v}" for _, c, v, _ in CORPUS])
def test_each_bad_value_has_one_sentence_with_its_column_and_never_the_value(
    make: Callable[[], pd.DataFrame], column: str, value: object, sentence: str, tmp_path: Path, dataset: Dataset
) -> None:
    with pytest.raises(BadInput) as raised:
        import_file(saved(_with(make, column, value), tmp_path, "file.csv"), dataset)
    assert sentence in str(raised.value)
    assert SECRET not in str(raised.value)
    assert CARD_NUMBER not in str(raised.value)
    assert raised.value.__cause__ is None
    assert not dataset.root.exists()


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"", BadInput, "neither as Parquet nor as CSV"),
        (b"PAR1 cut short", BadInput, "neither as Parquet nor as CSV"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", BadInput, "neither as Parquet nor as CSV"),
        (b"\x80\x04\x95 a pickle \x00", BadInput, "neither as Parquet nor as CSV"),
        (b"Time,Source,Target,Amount,Location,Type,Labels\n", BadInput, "holds no rows"),
        (b"Time,Source,Target,Amount,Location,Type,Labels\n1,2\n", BadInput, "has 2 cells in row 1, and 7 in its header"),
        (b'a,b\n"1\n2",2\n1,2\n1\n', BadInput, "has 1 cells in row 3, and 2 in its header"),
        (b"card_id,card_id\n1,2\n", BadInput, "has card_id more than once among its columns"),
        (b"one,two\n1,2\n", UnknownSource, "fit no known table"),
    ],
)
def test_files_that_are_no_tables_are_told_so(
    content: bytes, error: type[LabError], sentence: str, tmp_path: Path, dataset: Dataset
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(error, match=sentence):
        import_file(file, dataset)


def test_a_file_that_is_not_there_and_a_folder_are_missing_files(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(MissingFile, match="cannot be read"):
        import_file(tmp_path / "nowhere.parquet", dataset)
    with pytest.raises(MissingFile, match="is a folder"):
        import_file(tmp_path, dataset)


def test_an_empty_span_says_what_the_file_holds(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(EmptyWindow, match="holds 2018-04-01 to 2018-04-04"):
        import_file(saved(handbook(), tmp_path), dataset, first=date(2019, 1, 1))
    with pytest.raises(BadInput, match="at least 1"):
        import_file(saved(handbook(), tmp_path), dataset, days=0)


@pytest.mark.handbook
def test_the_whole_handbook_imports_in_ten_seconds_of_cpu(handbook_folder: Path, dataset: Dataset) -> None:
    began = time.process_time()
    facts = import_file(handbook_folder / "handbook_raw_to_2018-09-04.parquet", dataset)
    assert time.process_time() - began < 10
    assert (facts.rows, facts.frauds, facts.left_out, len(dataset.days())) == (1_504_595, 12_484, 33, 157)
