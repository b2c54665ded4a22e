"""What is said of a payment and its answer, as a row of the log's tables and back. For the logs in SQLite and Postgres."""

import json
from collections.abc import Container
from typing import Any, Final

import numpy as np

from data.log_writer import COLUMNS, FACTS, Row
from data.prediction_store import Answer, PaymentFacts, PredictionRecord, Stored
from data.schema import Label, event_milliseconds

STORED: Final = f"transaction_id, score, decision, reasons, model_version, arm, {FACTS}"  # what `read_stored` takes
_FLOATS: Final = np.dtype("<f8")


def prediction_row(record: PredictionRecord, doubtful: Container[str]) -> Row:
    """For `LogWriter`: whether the id may be stored already, and the columns of predictions after the place."""
    payment, features, score, decision, reasons, *rest = record
    return (
        payment.transaction_id in doubtful, *payment, features.astype(_FLOATS, copy=False).tobytes(), score, decision,
        json.dumps(reasons) if reasons else "[]", *rest,
    )  # fmt: skip


def label_row(label: Label) -> Row:
    """The same for labels, without the place of the payment."""
    return False, label.transaction_id, event_milliseconds(label.report_time), int(label.is_fraud), label.source


def read_stored(row: tuple[Any, ...]) -> Stored:
    """Of the columns of STORED."""
    key, score, decision, reasons, version, arm, *facts = row
    return Stored(PaymentFacts(key, *facts), Answer(key, score, decision, tuple(json.loads(reasons)), version, arm))


def read_record(row: tuple[Any, ...]) -> PredictionRecord:
    """Of all columns of predictions."""
    facts = dict(zip(COLUMNS, row, strict=True))
    payment = PaymentFacts(*(facts.pop(name) for name in PaymentFacts._fields))
    del facts["sequence"]
    facts["features"] = np.frombuffer(facts["features"], dtype="<f8").astype(np.float64)
    facts["reasons"] = tuple(json.loads(facts["reasons"]))
    return PredictionRecord(payment, **facts)
