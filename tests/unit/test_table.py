"""The training table from both sources: what is labelled, what is left out, and features as they were served."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.dataset import Dataset
from data.errors import EmptyWindow
from data.prediction_log import PredictionLog
from data.world.config import WorldConfig
from data.world.days import make_days
from pipelines.training.request import LogSource
from pipelines.training.table import dataset_table, served_rows, stack
from tests.records import START, fraud_label, record

FIRST = date(2026, 1, 5)
MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    made = Dataset(tmp_path_factory.mktemp("world"))
    make_days(WorldConfig(transactions_per_day=300, fraud_share=0.05), made, 12, workers=1)
    return made


def test_a_row_is_fraud_only_if_that_was_known_at_the_cut(dataset: Dataset) -> None:
    until = MIDNIGHT + timedelta(6)
    early, _ = dataset_table(dataset, keep_from=MIDNIGHT, until=until, cut=until)
    late, _ = dataset_table(dataset, keep_from=MIDNIGHT, until=until, cut=until + timedelta(60))
    labels = dataset.read("labels", FIRST, until.date())
    known = labels[labels["is_fraud"] & (labels["report_time"] <= pd.Timestamp(until))]["transaction_id"].nunique()
    assert early.is_fraud.sum() == known
    assert late.is_fraud.sum() > known
    assert np.all(late.is_fraud[early.is_fraud])


def test_later_reports_change_labels_but_neither_features_nor_the_history_left_behind(dataset: Dataset) -> None:
    until = MIDNIGHT + timedelta(6)
    early, history = dataset_table(dataset, keep_from=MIDNIGHT, until=until, cut=until)
    late, later_history = dataset_table(dataset, keep_from=MIDNIGHT, until=until, cut=until + timedelta(60))
    np.testing.assert_array_equal(early.features, late.features)
    assert history.digest() == later_history.digest()
    assert early.digest != late.digest


def test_rows_before_the_kept_span_shape_the_features_but_are_no_rows(dataset: Dataset) -> None:
    until = MIDNIGHT + timedelta(10)
    whole, _ = dataset_table(dataset, keep_from=MIDNIGHT, until=until, cut=until)
    tail, _ = dataset_table(dataset, keep_from=MIDNIGHT + timedelta(5), until=until, cut=until)
    np.testing.assert_array_equal(tail.features, whole.features[-len(tail) :])
    assert tail.event_s.min() >= int((MIDNIGHT + timedelta(5)).timestamp())


def test_served_rows_carry_the_features_they_were_scored_on_and_declined_ones_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "predictions.db"
    records = [record(n, decision="decline" if n % 5 == 0 else "approve") for n in range(40)]
    log = PredictionLog(file)
    log.append(records)
    log.add_labels([fraud_label(7), fraud_label(9, days=30), fraud_label(11, is_fraud=False)])
    log.close()
    served = served_rows(file, LogSource(START), START + timedelta(days=10))
    table = served.table
    kept = [r for n, r in enumerate(records) if n % 5]
    np.testing.assert_array_equal(table.features, np.stack([r.features for r in kept]))
    numbers = [n for n in range(40) if n % 5]
    assert [numbers[i] for i in np.flatnonzero(table.is_fraud)] == [7]  # 9 was not known yet, 11 was not fraud
    assert table.amount.tolist() == [(1_000 + n) / 100 for n in numbers]
    assert [(e.why.split(",")[0], e.rows) for e in served.excluded] == [("in a known fault window", 0), ("declined", 8)]


def test_a_log_without_a_payment_let_through_is_an_empty_window(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db")
    log.append([record(n, decision="decline") for n in range(3)])
    log.close()
    with pytest.raises(EmptyWindow):
        served_rows(tmp_path / "predictions.db", LogSource(START), START + timedelta(days=1))


def test_one_card_has_one_number_in_both_sources(dataset: Dataset, tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db")
    log.append([record(n) for n in range(1, 4)])
    log.close()
    served = served_rows(tmp_path / "predictions.db", LogSource(START), START + timedelta(days=1)).table
    again = served_rows(tmp_path / "predictions.db", LogSource(START + timedelta(minutes=2)), START + timedelta(days=1)).table
    assert served.card[1] == again.card[0]
    known, _ = dataset_table(dataset, keep_from=MIDNIGHT, until=MIDNIGHT + timedelta(2), cut=MIDNIGHT + timedelta(2))
    both = stack(known, served)
    assert len(both) == len(known) + len(served)
    assert np.all(np.diff(both.event_s) >= 0)
