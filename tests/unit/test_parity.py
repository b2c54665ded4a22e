"""Served features against the batch path: equal to the last bit, or a finding that names column and row."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.features import FEATURE_INDEX
from data.history import History, build_features
from data.prediction_log import PredictionLog
from data.prediction_store import Payment
from data.schema import event_seconds
from pipelines.monitoring.detectors import fired
from pipelines.monitoring.monitor import watch
from pipelines.monitoring.parity import compare, recompute
from pipelines.monitoring.reference import WatchPlan, freeze_reference
from tests.payments import START, labels, served, transactions
from tests.records import fraud_label, record

PAYMENTS = transactions(3, 200)
NO_LABELS = labels(served(1, 50)).iloc[:0]


def logged(frame: pd.DataFrame) -> list[Payment]:
    """Payments as the log hands them out."""
    rows = frame.assign(event_time=frame["event_time"].map(event_seconds)).astype(object)
    columns = ["card_id", "terminal_id", "event_time", "amount_minor", "channel", "category", "latitude", "longitude", "device_id"]
    return [Payment(number, *row) for number, row in enumerate(rows.where(rows.notna(), None)[columns].to_numpy().tolist(), 1)]


def test_rows_served_as_their_history_gives_them_pass() -> None:
    features, _ = build_features(PAYMENTS, NO_LABELS)
    result = compare(PAYMENTS["transaction_id"], features, recompute(logged(PAYMENTS), History()))
    assert (result.rows, result.differing, result.findings) == (600, 0, ())


def test_one_bit_names_the_column_and_the_first_row() -> None:
    features, _ = build_features(PAYMENTS, NO_LABELS)
    wrong = features.copy()
    wrong[[40, 90], FEATURE_INDEX["amount"]] = np.nextafter(wrong[[40, 90], FEATURE_INDEX["amount"]], np.inf)
    wrong[90, FEATURE_INDEX["hour"]] += 1
    result = compare(PAYMENTS["transaction_id"], wrong, features)
    assert result.differing == 2
    assert [(c.column, c.rows) for c in result.columns] == [("amount", 2), ("hour", 1)]
    assert result.columns[0].first == PAYMENTS["transaction_id"].iloc[40]
    assert result.findings[0].column == "amount"


def test_a_mis_join_that_no_test_of_a_column_sees_is_a_fault_of_the_pipeline() -> None:
    reference, window = served(14, 700), served(7, 700, seed=1, first_day=14)
    features, _ = build_features(window, NO_LABELS)
    parity = compare(window["transaction_id"], np.roll(features, 1, axis=0), features)
    plan = WatchPlan()
    frozen = freeze_reference(reference, labels(reference), plan)
    result = watch(window, frozen, labels(window), now=START + pd.Timedelta(days=21).to_pytimedelta(), plan=plan, parity=parity)
    assert fired(result.detections) == {"parity"}
    assert result.verdict.decision == "fix_pipeline"


def test_a_log_is_replayed_in_its_own_order_reports_included(tmp_path: Path) -> None:
    with closing(PredictionLog(tmp_path / "predictions.db")) as log:
        log.append([record(0), record(7)])  # one card pays every seventh of them
        log.add_labels([fraud_label(0, days=0)])
        log.append([record(14)])
        again = recompute(log.events_since(0), History())
    assert again[:, FEATURE_INDEX["card_count_30d"]].tolist() == [0, 1, 2]
    assert again[:, FEATURE_INDEX["card_reports_30d"]].tolist() == [0, 0, 1]


@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_any_missing_value_equals_any_other(nan: float) -> None:
    features = np.full((1, len(FEATURE_INDEX)), np.nan)
    assert compare(pd.Series(["tx"]), features, np.full_like(features, nan)).differing == 0
