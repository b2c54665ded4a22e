"""The Fraud Detection Handbook's own derived columns can be recovered from ours: agreement with data nobody here made.

The book counts a customer's payments up to and including the row; ours exclude it. It calls a terminal's fraud known
after seven days; so do the labels given here. Its day is the last 86,400 seconds, as ours is.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from data.features import FEATURE_INDEX, RISK_PRIOR_COUNT
from data.history import build_features

pytestmark = pytest.mark.handbook
FIRST = pd.Timestamp("2018-06-15")  # 40 days before the book's table: further back than any window


@pytest.fixture(scope="module")
def book(handbook_folder: Path) -> tuple[pd.DataFrame, dict[str, NDArray[np.float64]]]:
    """The book's table without ties (two payments of one customer or terminal in one second), and our features of the same rows."""
    derived = pd.read_parquet(handbook_folder / "handbook_transformed_2018-07-25_2018-08-14.parquet").set_index("TRANSACTION_ID")
    raw = pd.read_parquet(handbook_folder / "handbook_raw_to_2018-09-04.parquet")
    raw = raw[(raw["TX_DATETIME"] >= FIRST) & (raw["TX_DATETIME"] <= derived["TX_DATETIME"].max())].reset_index(drop=True)
    moment = raw["TX_DATETIME"].astype("datetime64[ms]").dt.tz_localize("UTC")
    transactions = pd.DataFrame(
        {
            "transaction_id": raw["TRANSACTION_ID"].astype("str"),
            "event_time": moment,
            "card_id": raw["CUSTOMER_ID"].astype("str").astype("category"),
            "terminal_id": raw["TERMINAL_ID"].astype("str").astype("category"),
            "amount_minor": (raw["TX_AMOUNT"] * 100).round().astype("int64"),
            "channel": pd.Categorical(["unknown"] * len(raw)),
            "category": pd.Categorical(["unknown"] * len(raw)),
            "latitude": np.nan,
            "longitude": np.nan,
            "device_id": pd.Categorical([None] * len(raw)),
        }
    )
    labels = pd.DataFrame(
        {"transaction_id": transactions["transaction_id"], "report_time": moment + pd.Timedelta(days=7), "is_fraud": raw["TX_FRAUD"] == 1}
    )
    rows, _ = build_features(transactions, labels)
    tied = raw.duplicated(["CUSTOMER_ID", "TX_DATETIME"], keep=False) | raw.duplicated(["TERMINAL_ID", "TX_DATETIME"], keep=False)
    wanted = (raw["TRANSACTION_ID"].isin(derived.index) & ~tied).to_numpy()
    ours = {name: rows[wanted, column] for name, column in FEATURE_INDEX.items()}
    return derived.loc[raw["TRANSACTION_ID"][wanted]], ours


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_books_customer_columns_are_recovered(book: tuple[pd.DataFrame, dict[str, NDArray[np.float64]]], days: int) -> None:
    theirs, ours = book
    count = ours[f"card_count_{days}d"] + 1
    np.testing.assert_array_equal(count, theirs[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"])
    mean = (ours[f"card_sum_{days}d"] + ours["amount"]) / count
    np.testing.assert_allclose(mean, theirs[f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_books_terminal_columns_are_recovered(book: tuple[pd.DataFrame, dict[str, NDArray[np.float64]]], days: int) -> None:
    theirs, ours = book
    reports, risk = ours[f"terminal_reports_{days}d"], ours[f"terminal_risk_{days}d"]
    payments = theirs[f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"].to_numpy()
    np.testing.assert_allclose(risk, reports / (payments + RISK_PRIOR_COUNT), rtol=1e-12)
    book_risk = np.divide(reports, payments, out=np.zeros_like(reports), where=payments > 0)
    np.testing.assert_allclose(book_risk, theirs[f"TERMINAL_ID_RISK_{days}DAY_WINDOW"], rtol=1e-9)
