"""A retraining that can refuse: rows that a fault spoilt, labels that did not arrive, nothing to tell apart."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import LabelsMissing, OneClass, PoisonedRows
from data.fault_windows import FaultWindow, covered, fault_windows, record_fault_window
from data.ledger import Ledger
from data.scenarios import SCENARIOS
from pipelines.training.learnable import check_labels_arrive, check_labels_cover, check_rows
from pipelines.training.split import SplitPlan, check_labels, split_at
from tests.payments import START, labels, served

BEFORE = served(28, 500)
SERVED = served(21, 500, seed=1, first_day=28)
CUT = START + timedelta(days=49)
SHARE = 0.01  # of frauds, in both


def test_sound_rows_pass() -> None:
    check_rows(SERVED, BEFORE)


@pytest.mark.parametrize(("scenario", "column"), [("unit_change", "amount"), ("error_code", "amount"), ("null_burst", "latitude")])
def test_rows_that_an_injected_fault_spoilt_are_refused_by_column_and_week(scenario: str, column: str) -> None:
    injection = SCENARIOS[scenario].inject((START + timedelta(days=36)).date(), seed=7)
    spoilt, touched = injection.apply(SERVED)
    assert touched.any()
    with pytest.raises(PoisonedRows, match="week from 2026-02-0") as refused:
        check_rows(spoilt, BEFORE)
    assert refused.value.where == column
    assert "lab drift check" in refused.value.next_step


def test_what_people_do_is_no_fault() -> None:
    check_rows(SERVED.assign(amount_minor=SERVED["amount_minor"] * 2), BEFORE)


def test_rows_of_a_known_fault_window_are_left_out_and_counted() -> None:
    window = FaultWindow(START + timedelta(days=36), START + timedelta(days=39), "latitude", "null_rate")
    hit = covered(SERVED["event_time"], (window,))
    assert hit.sum() == 3 * 500
    injection = SCENARIOS["null_burst"].inject((START + timedelta(days=36)).date(), seed=7)
    check_rows(injection.apply(SERVED)[0][~hit], BEFORE)


def test_a_fault_window_is_on_record_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    window = FaultWindow(START, START + timedelta(days=3), "amount", "unit")
    assert record_fault_window(ledger, window, CUT)
    assert not record_fault_window(ledger, window, CUT)
    assert fault_windows(ledger) == (window,)
    assert ledger.verify() == 1


MANY, MORE = served(28, 500, fraud_share=0.03), served(21, 500, seed=1, first_day=28, fraud_share=0.03)


def reports(frame: pd.DataFrame) -> pd.DataFrame:
    known = labels(frame)
    return known[known["report_time"] <= pd.Timestamp(CUT)]


def test_labels_that_come_as_ever_are_enough() -> None:
    known = reports(pd.concat([MANY, MORE]))
    check_labels_arrive(known["report_time"], CUT)
    check_labels_cover(SERVED, SERVED["fraud"].to_numpy(), SHARE)


def test_a_feed_that_stopped_three_days_ago_is_refused() -> None:
    injection = SCENARIOS["labels_stop"].inject((CUT - timedelta(days=3)).date(), seed=7)
    kept, _ = injection.apply_labels(reports(pd.concat([MANY, MORE])))
    with pytest.raises(LabelsMissing, match="0 came in the last 3 days"):
        check_labels_arrive(kept["report_time"], CUT)


def test_weeks_whose_labels_are_a_month_late_are_refused() -> None:
    injection = SCENARIOS["labels_late"].inject((START + timedelta(days=28)).date(), seed=7)
    late, _ = injection.apply_labels(labels(SERVED))
    known = late[late["report_time"] <= pd.Timestamp(CUT)]
    fraud = SERVED["transaction_id"].isin(known["transaction_id"]).to_numpy()
    with pytest.raises(LabelsMissing, match="where 35 were to be expected"):
        check_labels_cover(SERVED, fraud, SHARE)


def test_alerted_payments_that_nobody_reports_are_refused_though_others_are_reported() -> None:
    rows = served(21, 500, seed=1, first_day=28, skill=2.0)  # a model that misses half
    alerted, fraud = (rows["decision"] == "review").to_numpy(), rows["fraud"].to_numpy()
    promising = rows.assign(score=np.where(alerted, fraud[alerted].mean(), 0.001))
    check_labels_cover(promising, fraud, SHARE)
    with pytest.raises(LabelsMissing, match="LAB_RANDOM_APPROVE_SHARE"):
        check_labels_cover(promising, fraud & ~alerted, SHARE)


def test_a_new_tactic_that_the_model_misses_is_no_reason_to_refuse() -> None:
    """Few frauds among the alerts, but as many as ever in all: what a retraining is there for."""
    alerted = (SERVED["decision"] == "review").to_numpy()
    missed = np.random.default_rng(0).random(len(SERVED)) < 1.2 * SHARE
    promising = SERVED.assign(score=np.where(alerted, 0.5, 0.001))
    check_labels_cover(promising, missed & ~alerted, SHARE)


@pytest.mark.parametrize("everything", [True, False])
def test_rows_of_one_class_are_refused(everything: bool) -> None:
    cut = datetime(2026, 3, 9, tzinfo=UTC)
    split = split_at(cut, SplitPlan())
    event_s = np.arange(int(split.train.start.timestamp()), int(split.test.end.timestamp()), 600, dtype=np.int64)
    with pytest.raises(OneClass):
        check_labels(split, SplitPlan(), event_s, np.full(len(event_s), everything))
