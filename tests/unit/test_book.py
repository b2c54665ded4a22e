"""The benches compare with the book on its own rows and columns: this is where that is checked."""

from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.metrics import card_precision_at_k
from tests.bench.book import BOOK_FEATURES, FIRST_DAY, Raw, book_features, folds, read_raw, split


def since(raw: Raw, day: int) -> Raw:
    """The rows from `day` on."""
    kept = raw.day >= day
    return Raw(**{column.name: getattr(raw, column.name)[kept] for column in fields(Raw)})


pytestmark = pytest.mark.handbook


@pytest.fixture(scope="module")
def raw(handbook_folder: Path) -> Raw:
    return read_raw(handbook_folder / "handbook_raw_to_2018-09-04.parquet")


def test_the_single_split_has_the_books_rows_and_frauds(raw: Raw) -> None:
    fold = split(raw, date(2018, 7, 25))
    assert (len(fold.train), raw.fraud[fold.train].sum()) == (67_240, 598)
    assert (len(fold.test), raw.fraud[fold.test].sum()) == (58_264, 385)


def test_longer_training_leaves_the_test_rows_alone_and_ends_where_the_books_does(raw: Raw) -> None:
    short, long = split(raw, date(2018, 7, 25)), split(raw, date(2018, 7, 25), train_days=35)
    assert np.array_equal(short.test, long.test)
    assert long.train[-1] == short.train[-1]
    assert len(np.unique(raw.day[long.train])) == 35


def test_perfect_scores_reach_the_known_ceilings_of_card_precision(raw: Raw) -> None:
    def ceiling(start: date) -> float:
        rows = split(raw, start).test
        return card_precision_at_k(raw.fraud[rows], raw.fraud[rows], raw.customer[rows], raw.day[rows]).ceiling

    assert ceiling(date(2018, 7, 25)) == pytest.approx(0.397, abs=5e-4)
    assert np.mean([ceiling(start) for start in folds(date(2018, 8, 15))]) == pytest.approx(0.419, abs=5e-4)


def test_the_books_columns_agree_on_three_weeks_but_for_ties_of_one_customer_in_one_second(raw: Raw, handbook_folder: Path) -> None:
    raw = since(raw, (date(2018, 7, 25) - FIRST_DAY).days - 38)  # the widest window is 30 days behind a delay of 7
    published = pd.read_parquet(handbook_folder / "handbook_transformed_2018-07-25_2018-08-14.parquet")
    rows = pd.Series(np.arange(len(raw.transaction_id)), raw.transaction_id)[published["TRANSACTION_ID"]].to_numpy()
    differs = (np.abs(book_features(raw)[rows] - published[list(BOOK_FEATURES)].to_numpy()) > 1e-6).any(axis=1)
    moments = pd.Series(list(zip(raw.customer[rows], raw.seconds[rows], strict=True)))
    assert 0 < differs.sum() == (differs & moments.duplicated(keep=False).to_numpy()).sum() <= 20
