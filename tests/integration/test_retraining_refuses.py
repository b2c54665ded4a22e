"""A retraining over a real prediction log with injected drifts: what it refuses, what it leaves out, and what it says."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.costs import Policy
from data.dataset import Dataset, to_frame
from data.errors import EmptyWindow, LabelsMissing, LabError, NotEnoughLabels, OneClass, PoisonedRows
from data.fault_windows import FaultWindow
from data.features import FEATURE_COUNT
from data.prediction_log import PredictionLog
from data.prediction_store import PredictionRecord, payment_facts
from data.scenarios import SCENARIOS, Injection
from data.schema import Label, Transaction
from data.world import World, WorldConfig, make_days
from pipelines.training.request import LogSource, TrainingRequest, WorldSource
from pipelines.training.split import SplitPlan
from pipelines.training.train import Prepared, prepare

CONFIG = WorldConfig(seed=5, transactions_per_day=400, fraud_share=0.05)
HISTORY, LOGGED = 24, 16  # days
LIVE = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(HISTORY)
CUT = LIVE + timedelta(LOGGED)
PLAN = SplitPlan(test_days=4, validation_days=3, gap_days=0, train_days=20)
Lie = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Served:
    """What arrived live, and what the champion made of it."""

    dataset: Dataset
    payments: pd.DataFrame  # with `score`
    labels: pd.DataFrame

    def log(self, folder: Path, *, messages: Injection | None = None, feed: Lie | None = None) -> Path:
        """A log of these payments under a fault of messages, with the labels that `feed` lets through."""
        payments = self.payments if messages is None else messages.apply(self.payments)[0]
        labels = self.labels[self.labels["report_time"] <= pd.Timestamp(CUT)]
        path = folder / "predictions.db"
        with closing(PredictionLog(path)) as log:
            log.append([_record(row) for row in payments.to_dict("records")])
            log.add_labels([_label(row) for row in (feed(labels) if feed else labels).to_dict("records")])
        return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    dataset = Dataset(tmp_path_factory.mktemp("data"))
    make_days(CONFIG, dataset, HISTORY, on_day=lambda _: None)
    tables = [World(CONFIG).day(LIVE.date() + timedelta(day)) for day in range(LOGGED)]
    payments = to_frame(pa.concat_tables([table["transactions"] for table in tables]), "transactions")
    labels = to_frame(pa.concat_tables([table["labels"] for table in tables]), "labels")
    labels = labels[labels["is_fraud"]].reset_index(drop=True)
    fraud, luck = payments["transaction_id"].isin(labels["transaction_id"]), np.random.default_rng(0).random(len(payments))
    return Served(dataset, payments.assign(score=np.where(fraud & (luck < 0.5) | (luck < 0.01), 0.6, 0.01)), labels)


def _record(row: dict[Any, Any]) -> PredictionRecord:
    fields = {name: None if pd.isna(row[name]) else row[name] for name in Transaction.model_fields}
    score = float(row["score"])
    decision = Policy(0.5, 0.9).decide(score)
    return PredictionRecord(
        payment_facts(Transaction(**fields)), np.full(FEATURE_COUNT, score), score, decision, (), "champion", "1", "1", score
    )


def _label(row: dict[Any, Any]) -> Label:
    return Label.model_validate({name: row[name] for name in Label.model_fields})


def train(served: Served, log: Path, **changes: object) -> Prepared:
    source = LogSource(LIVE, **changes)  # type: ignore[arg-type]
    return prepare(TrainingRequest(WorldSource(CONFIG, HISTORY), CUT, log=source, split=PLAN), served.dataset, log.parent, log)


def since(name: str, day: date, strength: float | None = None) -> Injection:
    return SCENARIOS[name].inject(day, seed=7, strength=strength)


ONSET = (LIVE + timedelta(5)).date()


def test_sound_rows_are_learned_from(served: Served, tmp_path: Path) -> None:
    prepared = train(served, served.log(tmp_path))
    assert prepared.parts["test"].is_fraud.sum() > 20
    assert [part.rows for part in prepared.excluded] == [0, 0]


@pytest.mark.parametrize(("scenario", "strength", "column"), [("unit_change", 0.1, "amount"), ("error_code", None, "amount")])
def test_rows_spoilt_by_a_fault_are_refused_until_it_is_on_record_and_then_left_out(
    served: Served, tmp_path: Path, scenario: str, strength: float | None, column: str
) -> None:
    log = served.log(tmp_path, messages=since(scenario, ONSET, strength))
    with pytest.raises(PoisonedRows) as refused:
        train(served, log)
    assert refused.value.where == column
    on_record = FaultWindow(datetime.combine(ONSET, datetime.min.time(), UTC), CUT, column, "unit")
    with pytest.raises(NotEnoughLabels, match=r"The test rows .* rows left out: in a known fault window"):  # the rest is too little
        train(served, log, faults=(on_record,))


def test_a_short_fault_on_record_costs_its_rows_and_no_training(served: Served, tmp_path: Path) -> None:
    start = LIVE + timedelta(1)
    log = served.log(tmp_path, messages=since("null_burst", start.date()))
    prepared = train(served, log, faults=(FaultWindow(start, start + timedelta(3), "latitude", "null_rate"),))
    assert 1_000 < prepared.excluded[0].rows < 2_000
    assert "in a known fault window" in str(prepared.excluded[0])


def _stopped(labels: pd.DataFrame) -> pd.DataFrame:
    return since("labels_stop", CUT.date() - timedelta(4)).apply_labels(labels)[0]


def _late(labels: pd.DataFrame) -> pd.DataFrame:
    late = since("labels_late", LIVE.date()).apply_labels(labels)[0]
    return late[late["report_time"] <= pd.Timestamp(CUT)]


@pytest.mark.parametrize("feed", [_stopped, _late])
def test_labels_that_stopped_or_are_late_are_not_learned_as_honest_payments(served: Served, tmp_path: Path, feed: Lie) -> None:
    with pytest.raises(LabelsMissing) as refused:
        train(served, served.log(tmp_path, feed=feed))
    assert "label" in refused.value.next_step


def test_blocked_payments_that_nobody_reports_are_not_learned_as_honest(served: Served, tmp_path: Path) -> None:
    alerted = served.payments.loc[served.payments["score"] >= 0.5, "transaction_id"]

    def blocked(labels: pd.DataFrame) -> pd.DataFrame:
        hit = labels["transaction_id"].isin(alerted).to_numpy()
        gone = hit.copy()
        gone[hit] = since("selective_labels", LIVE.date()).blocked(labels[hit])
        return labels[~gone]

    with pytest.raises(LabelsMissing, match="blocked is never reported"):
        train(served, served.log(tmp_path, feed=blocked))


def test_an_empty_log_is_refused(served: Served, tmp_path: Path) -> None:
    with closing(PredictionLog(tmp_path / "predictions.db")):
        pass
    with pytest.raises(EmptyWindow, match="no payment to learn from"):
        train(served, tmp_path / "predictions.db")


def test_every_refusal_has_a_code_of_its_own_and_a_next_step() -> None:
    kinds: tuple[type[LabError], ...] = (PoisonedRows, LabelsMissing, OneClass, NotEnoughLabels, EmptyWindow)
    assert len({kind.code for kind in kinds}) == len(kinds)
