"""Batch scoring: the service's answers to the last bit, no row dropped, nothing half, memory that does not grow with the rows."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.bundle import Model
from data.dataset import Dataset, arrow_schema, to_table
from data.errors import BadInput, DiskFull, MissingFile, ModelFailed
from data.features import FEATURE_INDEX, FEATURES
from data.history import build_features
from data.settings import REPOSITORY
from pipelines.batch import output as batch_output
from pipelines.batch import scoring as batch_scoring
from pipelines.batch.answers import SCORE_SCHEMA
from pipelines.batch.repeats import CONFLICT
from pipelines.batch.scoring import BatchRequest, BatchSummary, score_table
from tests.bundles import POLICY, make_bundle, random_features
from tests.payments import START, transactions

CARD_NUMBER = "4111111111111111"  # a test number of the card networks, Luhn-valid
Frame = pd.DataFrame


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("bundle")
    make_bundle(folder / "1", folder / "keys")
    return Model.load(folder / "1", "1")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_scoring, "PAYMENT_PIECE_ROWS", 97)
    monkeypatch.setattr(batch_scoring, "FEATURE_PIECE_ROWS", 97)


@pytest.fixture
def score(model: Model, tmp_path: Path) -> Callable[..., tuple[BatchSummary, Frame]]:
    """Scores into a new folder: the summary, and the answers as any reader of Parquet finds them."""
    runs = iter(range(100))

    def run(source: Path, *, by: Any = model, **how: Any) -> tuple[BatchSummary, Frame]:
        out = tmp_path / f"out{next(runs)}"
        return score_table(by, BatchRequest(source, out, **how)), pd.read_parquet(out)

    return run


def feature_table(rows: int, seed: int = 3, **columns: Any) -> pa.Table:
    matrix = random_features(rows, seed)
    matrix[:, FEATURE_INDEX["amount"]] = np.nan_to_num(matrix[:, FEATURE_INDEX["amount"]], nan=9.0)
    made = {"transaction_id": [f"tx_{i}" for i in range(rows)]} | {name: matrix[:, i] for name, i in FEATURE_INDEX.items()}
    return pa.table(made | columns)


def write(table: pa.Table | Frame, path: Path, **how: Any) -> Path:
    pq.write_table(to_table(table, "transactions") if isinstance(table, Frame) else table, path, **how)
    return path


def quarantined(summary: BatchSummary) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(Path(summary.out) / "_quarantine" / "rows.parquet").to_pylist()
    return rows


def test_ready_features_get_the_models_score_the_policys_decision_and_reasons(
    model: Model, score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path
) -> None:
    table = feature_table(1_000)
    summary, answers = score(write(table, tmp_path / "in.parquet"), features_ready=True)
    matrix = np.stack([table[name].to_numpy() for name in FEATURES], axis=1)
    assert answers["transaction_id"].tolist() == table["transaction_id"].to_pylist()
    assert answers["score"].tolist() == [model.score(row) for row in matrix]
    assert set(answers["model_version"]) == {"1"}
    assert summary.decisions == {name: int((answers["decision"] == name).sum()) for name in ("approve", "review", "decline")}
    assert summary.alert_rate == pytest.approx((answers["decision"] != "approve").mean())
    assert json.loads((Path(summary.out) / "_summary.json").read_text()) == summary.to_json()


def test_null_and_nan_both_mean_no_such_history(score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path) -> None:
    table = feature_table(300)
    nulls = pa.table(
        {
            name: pc.if_else(pc.is_nan(c), None, c) if name in FEATURES else c
            for name, c in zip(table.column_names, table.columns, strict=True)
        }
    )
    assert nulls["speed_kmh"].null_count > 0
    one = score(write(table, tmp_path / "nan.parquet"), features_ready=True)[1]
    assert one.equals(score(write(nulls, tmp_path / "null.parquet"), features_ready=True)[1])


def test_answers_do_not_depend_on_how_the_file_is_cut(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, small_pieces: None
) -> None:
    """Row groups of all sizes, none among them; files with none; pieces that end anywhere."""
    frame = transactions(2, 500)
    whole = score(write(frame, tmp_path / "whole.parquet"))[1]
    table, folder = to_table(frame, "transactions"), tmp_path / "cut"
    folder.mkdir()
    write(table.slice(0, 0), folder / "a.parquet")
    with pq.ParquetWriter(folder / "b.parquet", table.schema) as writer:
        for start, rows in ((0, 1), (1, 0), (1, 300), (301, 7)):
            writer.write_table(table.slice(start, rows))
    write(table.slice(308), folder / "c.parquet", row_group_size=100)
    write(table, folder / "_not_data.parquet")
    summary, answers = score(folder)
    assert (summary.files, summary.rows, len(answers)) == (3, 1_000, 1_000)
    assert answers.equals(whole)


def test_answers_come_in_parts_whose_names_keep_the_order(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_output, "PART_ROWS", 200)
    summary, answers = score(write(feature_table(1_000), tmp_path / "in.parquet"), features_ready=True)
    parts = sorted(Path(summary.out).glob("*.parquet"))
    assert [part.name for part in parts] == [f"part-{number:05d}.parquet" for number in range(4)]
    assert all(pq.read_metadata(part).num_rows >= 200 for part in parts[:-1])
    assert answers["transaction_id"].tolist() == [f"tx_{i}" for i in range(1_000)]


def test_no_rows_give_an_empty_table_with_all_columns(score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path) -> None:
    summary, answers = score(write(feature_table(0), tmp_path / "in.parquet"), features_ready=True)
    assert (summary.rows, summary.quarantined, summary.alert_rate) == (0, 0, 0.0)
    assert list(answers.columns) == SCORE_SCHEMA.names and answers.empty


def test_payments_score_on_the_features_of_their_history_and_of_the_frauds_known_by_then(
    model: Model, score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, small_pieces: None
) -> None:
    frame = transactions(6, 200)
    labels = pd.DataFrame(
        {"transaction_id": frame["transaction_id"][::9], "event_time": frame["event_time"][::9], "is_fraud": True, "source": "dispute"}
    )
    labels["report_time"] = labels["event_time"] + pd.Timedelta(hours=30)
    matrix, _ = build_features(frame, labels)
    day = START + pd.Timedelta(days=2)
    before, after = frame[frame["event_time"] < day], frame[frame["event_time"] >= day]
    _, history = build_features(before, labels[labels["transaction_id"].isin(before["transaction_id"])])
    history.save(tmp_path / "history")
    dataset = Dataset(tmp_path / "dataset")
    for midnight, rows in after.groupby(after["event_time"].dt.date):
        these = labels[labels["transaction_id"].isin(rows["transaction_id"])]
        dataset.write_day(midnight, {"transactions": to_table(rows, "transactions"), "labels": to_table(these, "labels")})  # type: ignore[arg-type]
    summary, answers = score(dataset.root, history=tmp_path / "history", labels=dataset.root)
    assert summary.files == 4
    assert answers["score"].tolist() == model.score_many(matrix[len(before) :]).tolist()
    assert answers["score"].tolist() != score(dataset.root, history=tmp_path / "history")[1]["score"].tolist(), "the reports count"


def test_a_label_that_says_nothing_is_refused(score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path) -> None:
    frame = transactions(1, 50)
    labels = frame[["transaction_id", "event_time"]].assign(report_time=frame["event_time"], is_fraud=True, source="dispute").astype(object)
    labels.loc[7, "is_fraud"] = None
    nullable = pa.schema([field.with_nullable(True) for field in arrow_schema("labels")])
    source = write(to_table(frame, "transactions"), tmp_path / "in.parquet")
    unsaid = write(pa.Table.from_pandas(labels, schema=nullable, preserve_index=False), tmp_path / "labels.parquet")
    with pytest.raises(BadInput, match="A label has no is_fraud"):
        score(source, labels=unsaid)


def test_every_row_that_breaks_the_contract_is_set_aside_with_its_place_and_reason_and_no_other_answer_changes(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, small_pieces: None
) -> None:
    frame = transactions(1, 400)
    faults: dict[int, dict[str, Any]] = {
        3: {"transaction_id": None}, 11: {"transaction_id": "two words"}, 97: {"card_id": CARD_NUMBER}, 98: {"amount_minor": 0},
        120: {"currency": "USD"}, 200: {"channel": "carrier_pigeon"}, 300: {"latitude": 91.0}, 301: {"event_time": None},
        350: {"device_id": "x" * 65}, 399: {"transaction_id": "line\n", "category": None, "longitude": float("inf")},
    }  # fmt: skip
    table = to_table(frame, "transactions")
    columns = table.to_pydict()
    for row, changes in faults.items():
        for name, value in changes.items():
            columns[name][row] = value
    broken = pa.table(columns, pa.schema([field.with_nullable(True) for field in table.schema]))
    summary, answers = score(write(broken, tmp_path / "in.parquet", row_group_size=150))
    rows = {row["row"]: row for row in quarantined(summary)}
    assert rows.keys() == faults.keys() and summary.quarantined == len(faults)
    assert [name for row, changes in faults.items() for name in changes if name not in rows[row]["reason"]] == []
    assert {row["file"] for row in rows.values()} == {"in.parquet"}
    assert rows[98]["amount_minor"] == "0"
    good = frame.drop(index=list(faults))
    assert answers.equals(score(write(good, tmp_path / "good.parquet"))[1])


def test_a_card_number_reaches_no_file(score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path) -> None:
    frame = transactions(1, 50)
    columns = to_table(frame, "transactions").to_pydict()
    columns["card_id"][4], columns["transaction_id"][5], columns["amount_minor"][6] = CARD_NUMBER, f"tx_{CARD_NUMBER}", int(CARD_NUMBER)
    columns["card_id"][7], columns["latitude"][8] = f"20260105-{CARD_NUMBER}", float(CARD_NUMBER)
    source = write(pa.table(columns, to_table(frame, "transactions").schema), tmp_path / "in.parquet")
    summary, _ = score(source)
    assert summary.quarantined == 5
    everything = str([pq.read_table(file).to_pylist() for file in Path(summary.out).rglob("*.parquet")])
    assert CARD_NUMBER not in everything and "4.111111111111111e+15" not in everything


@pytest.mark.parametrize(("column", "value", "why"), [("speed_kmh", np.inf, "is infinite"), ("amount", np.nan, "is missing")])
def test_features_that_no_payment_has_are_set_aside(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, column: str, value: float, why: str
) -> None:
    table = feature_table(200)
    values = table[column].to_numpy().copy()
    values[150] = value
    source = write(table.set_column(table.column_names.index(column), column, pa.array(values)), tmp_path / "in.parquet")
    summary, answers = score(source, features_ready=True)
    assert [(row["row"], row["reason"]) for row in quarantined(summary)] == [(150, f"{column} {why}")]
    assert answers["transaction_id"].tolist() == [f"tx_{i}" for i in range(200) if i != 150]


def test_a_payment_delivered_twice_is_answered_twice_and_counted_once(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, small_pieces: None
) -> None:
    frame = transactions(1, 300)
    order = [*range(100), 5, 99, *range(100, 200), 110, 120, 199, *range(200, 300)]  # within a piece, and from the one before
    once = score(write(frame, tmp_path / "once.parquet"))[1]
    summary, answers = score(write(frame.iloc[order], tmp_path / "twice.parquet"))
    assert summary.quarantined == 0
    assert answers.equals(once.iloc[order].reset_index(drop=True))


def test_two_payments_under_one_id_are_told_apart_and_the_second_is_set_aside(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, small_pieces: None
) -> None:
    frame = transactions(1, 300)
    changed = frame.copy()
    changed.loc[[40, 150], "transaction_id"] = [frame["transaction_id"][30], frame["transaction_id"][100]]
    summary, answers = score(write(changed, tmp_path / "in.parquet"))
    assert [(row["row"], row["reason"]) for row in quarantined(summary)] == [(40, CONFLICT), (150, CONFLICT)]
    assert answers.equals(score(write(frame.drop(index=[40, 150]), tmp_path / "good.parquet"))[1])


def as_type(name: str, kind: Any) -> Callable[[pa.Table], pa.Table]:
    return lambda t: t.set_column(t.column_names.index(name), name, t[name].cast(kind))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop_columns(["card_id", "currency"]), "lacks the columns card_id, currency"),
        (as_type("amount_minor", pa.float64()), "has amount_minor as double, not as int64"),
        (as_type("event_time", pa.timestamp("ms")), "has event_time as timestamp[ms], not as a timestamp with a time zone"),
        (as_type("event_time", pa.string()), "has event_time as string"),
        (lambda t: t.append_column("card_id", t["card_id"]), "has two columns card_id"),
    ],
)
def test_columns_that_do_not_fit_are_named_before_anything_is_written(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    table = to_table(transactions(1, 20), "transactions")
    write(table, folder / "a.parquet")
    write(change(table), folder / "b.parquet")
    with pytest.raises(BadInput, match=r"b\.parquet ") as refused:
        score(folder)
    assert said in refused.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_features_rounded_to_single_precision_are_refused(score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path) -> None:
    table = as_type("amount", pa.float32())(feature_table(5))
    with pytest.raises(BadInput, match="has amount as float, not as double"):
        score(write(table, tmp_path / "in.parquet"), features_ready=True)


def test_other_spellings_of_the_same_columns_give_the_same_answers(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path
) -> None:
    table = to_table(transactions(1, 200), "transactions")
    other = table.append_column("note", pa.array(["unread"] * 200)).select([*reversed(table.column_names), "note"])
    for name, kind in (
        ("event_time", pa.timestamp("us", "Europe/Berlin")),
        ("amount_minor", pa.int32()),
        ("transaction_id", pa.large_string()),
    ):
        other = as_type(name, kind)(other)
    other = other.set_column(other.column_names.index("channel"), "channel", other["channel"].dictionary_encode())
    assert score(write(other, tmp_path / "b.parquet"))[1].equals(score(write(table, tmp_path / "a.parquet"))[1])


def test_what_is_no_parquet_is_said_in_a_sentence(score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="is not there"):
        score(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFile, match="holds no Parquet file"):
        score(tmp_path / "empty")
    (tmp_path / "in.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(BadInput, match="damaged"):
        score(tmp_path / "in.parquet")


def test_a_file_damaged_in_the_middle_leaves_nothing(score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path) -> None:
    source = write(feature_table(5_000), tmp_path / "in.parquet", row_group_size=1_000, compression="zstd")
    content = bytearray(source.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 40_000):
        content[place] ^= 0xFF
    source.write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        score(source, features_ready=True)
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


class Broken:
    """A model that fails on the second piece, in a way of its choice."""

    version, policy = "1", POLICY

    def __init__(self, failure: Callable[[], None] = lambda: None) -> None:
        self.failure, self.calls = failure, 0

    def score_many(self, matrix: Any) -> Any:
        self.calls += 1
        if self.calls == 2:
            self.failure()
        return np.full(len(matrix), 0.1 if self.calls < 2 else np.nan)


def test_a_score_that_is_no_number_ends_the_run_and_leaves_nothing(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path, small_pieces: None
) -> None:
    with pytest.raises(ModelFailed):
        score(write(feature_table(500), tmp_path / "in.parquet"), features_ready=True, by=Broken())
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_answers_are_never_written_over(model: Model, tmp_path: Path) -> None:
    source = write(feature_table(10), tmp_path / "in.parquet")
    request = BatchRequest(source, tmp_path / "out", features_ready=True)
    score_table(model, request)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    with pytest.raises(BadInput, match="is there already"):
        score_table(model, request)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_a_place_that_cannot_be_written_is_said_in_a_sentence(model: Model, tmp_path: Path) -> None:
    source = write(feature_table(10), tmp_path / "in.parquet")
    with pytest.raises(DiskFull, match="could not be written"):
        score_table(model, BatchRequest(source, source / "out", features_ready=True))


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.batch import output as batch_output
from pipelines.batch import scoring as batch_scoring
from tests.unit.test_batch_scoring import Broken
batch_scoring.FEATURE_PIECE_ROWS = 97
request = batch_scoring.BatchRequest(Path(sys.argv[1]), Path(sys.argv[2]), features_ready=True)
batch_scoring.score_table(Broken(lambda: os.kill(os.getpid(), signal.SIGKILL)), request)
"""


def test_a_killed_run_leaves_nothing_under_the_name_and_the_next_starts_again(model: Model, tmp_path: Path) -> None:
    source, out = write(feature_table(500), tmp_path / "in.parquet"), tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(source), str(out)], cwd=REPOSITORY, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists() and len(list(tmp_path.glob(".out.*.partial/part-00000.parquet"))) == 1
    neighbour = tmp_path / f".out.more.{os.getpid()}@1.00.partial"  # of a run to another place
    neighbour.mkdir()
    assert score_table(model, BatchRequest(source, out, features_ready=True)).scored == 500
    assert len(pd.read_parquet(out)) == 500
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.parquet", "out", neighbour.name])


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from pipelines.batch.scoring import BatchRequest, score_table
from tests.bundles import POLICY
from tests.peak_memory import peak_megabytes
class Even:
    version, policy = "1", POLICY
    def score_many(self, matrix):
        return np.full(len(matrix), 0.1)
summary = score_table(Even(), BatchRequest(Path(sys.argv[1]), Path(sys.argv[2]), features_ready=True))
print(summary.rows, peak_megabytes())
"""


def test_memory_does_not_grow_with_the_rows_nor_with_the_row_groups(tmp_path: Path) -> None:
    """A row group holds all rows of its file: read whole, the larger would take 160 MB more."""
    table = feature_table(65_536)
    peaks = []
    for name, times in (("small", 2), ("large", 8)):
        source = write(pa.concat_tables([table] * times), tmp_path / f"{name}.parquet", row_group_size=10**9, use_dictionary=False)
        arguments = [sys.executable, "-c", MEASURE, str(source), str(tmp_path / name)]
        done = subprocess.run(arguments, cwd=REPOSITORY, check=True, capture_output=True, text=True)
        rows, peak = map(float, done.stdout.split())
        assert rows == 65_536 * times
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 60, peaks


def test_another_file_than_a_history_is_refused_and_nothing_is_said_of_deleting_it(
    score: Callable[..., tuple[BatchSummary, Frame]], tmp_path: Path
) -> None:
    source = write(to_table(transactions(1, 50), "transactions"), tmp_path / "in.parquet")
    with pytest.raises(BadInput) as refused:
        score(source, history=source)
    assert "not a readable history" in str(refused.value) and "Delete" not in str(refused.value)
