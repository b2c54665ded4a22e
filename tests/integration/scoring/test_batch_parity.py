"""What the scoring service answered to payments, batch scoring answers to the same payments in the same order, to the last bit."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.bundle import Model
from data.dataset import to_table
from data.features import FEATURES
from data.prediction_frames import labels_frame, window_frame, window_matrix
from data.schema import LABEL_COLUMNS, TRANSACTION_COLUMNS
from data.settings import Settings
from pipelines.batch import scoring as batch_scoring
from pipelines.batch.scoring import BatchRequest, score_table
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import body, serve_ready
from tests.records import START

PAYMENTS = 600
REPORTED = {60: 4, 200: 11, 201: 12, 450: 300}  # before payment number .. the fraud of payment number .. is reported
Answers = list[dict[str, Any]]


def payment(number: int) -> dict[str, Any]:
    """Every fifth is large and online, so that some are alerts; every hundredth repeats the one before it."""
    number -= number % 100 == 99
    return body(number, amount_minor=90_000 + number, channel="online", device_id=f"new_{number}") if number % 5 == 0 else body(number)


def serve_all(client: httpx.Client) -> Answers:
    answers: Answers = []
    stops = [0, *REPORTED, PAYMENTS]
    for start, stop in pairwise(stops):
        if start in REPORTED:
            label = {"transaction_id": body(REPORTED[start])["transaction_id"], "report_time": body(start)["event_time"], "is_fraud": True}
            assert client.post("/v1/labels", json={"labels": [label]}).status_code == 200
        sent = client.post("/v1/score/batch", json={"transactions": [payment(i) for i in range(start, stop)]})
        answers += sent.json()["predictions"]
    return answers


def batch(model: Model, request: BatchRequest) -> Answers:
    score_table(model, request)
    return [answer | {"arm": "champion"} for answer in pq.read_table(request.out).to_pylist()]


@pytest.fixture
def served(lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> Answers:
    monkeypatch.setattr(batch_scoring, "PAYMENT_PIECE_ROWS", 128)
    with serve_ready(lab, registry) as client:
        answers = serve_all(client)
    assert len({answer["decision"] for answer in answers}) > 1
    return answers


def test_raw_payments_get_the_answers_of_the_service(served: Answers, lab: Settings, bundles: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame([payment(i) for i in range(PAYMENTS)])
    frame["event_time"] = pd.to_datetime(frame["event_time"], format="ISO8601").astype("datetime64[ms, UTC]")
    frame = frame.reindex(columns=list(TRANSACTION_COLUMNS)).fillna({"currency": "EUR"})
    pq.write_table(to_table(frame, "transactions"), tmp_path / "in.parquet", row_group_size=50)
    labels = labels_frame(lab.home / "predictions.db")
    assert len(labels) == len(REPORTED)
    pq.write_table(to_table(labels[list(LABEL_COLUMNS)], "labels"), tmp_path / "labels.parquet")
    request = BatchRequest(tmp_path / "in.parquet", tmp_path / "out", labels=tmp_path / "labels.parquet")
    assert batch(Model.load(bundles / "1", "1"), request) == served


def test_the_features_that_were_logged_get_the_answers_of_the_service(
    served: Answers, lab: Settings, bundles: Path, tmp_path: Path
) -> None:
    span = lab.home / "predictions.db", START, START + timedelta(days=400)
    matrix = window_matrix(*span)
    columns = {"transaction_id": window_frame(*span)["transaction_id"].to_numpy()} | {name: matrix[:, i] for i, name in enumerate(FEATURES)}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    request = BatchRequest(tmp_path / "in.parquet", tmp_path / "out", features_ready=True)
    once = list({answer["transaction_id"]: answer for answer in served}.values())
    assert batch(Model.load(bundles / "1", "1"), request) == once
