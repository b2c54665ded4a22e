"""Batch scoring: a table of payments that is larger than memory, scored with one model, out to Parquet.

The answers are those of the scoring service for the same payments in the same order, to the last bit: the same features,
model, rules and policy, from the same functions. Payments come as raw transactions, whose features are made here piece
by piece, or with the features ready. Nothing is done per row in Python, but to name the reasons of an alert.

    source ──► pieces ──► bad rows aside ──► features ──► model, rules, policy ──► parts ──► published whole

Memory holds a piece at a time; raw payments add the state behind the features, which grows with cards and terminals, and
the fraud reports. A killed run is started again from the beginning (`pipelines/batch/output.py`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.bundle import Model
from data.costs import DECISIONS
from data.dataset import to_frame
from data.errors import BadInput
from data.features import FEATURES
from data.history import History, build_features
from data.schema import Decision
from pipelines.batch.answers import answer_rows
from pipelines.batch.checks import Faults, feature_faults, masked, payment_faults
from pipelines.batch.output import BatchOutput, require_free
from pipelines.batch.reading import FEATURE_SCHEMA, PAYMENT_SCHEMA, REPORT_SCHEMA, ParquetSource, Piece
from pipelines.batch.repeats import CONFLICT, Repeats

FEATURE_PIECE_ROWS: Final = 32_768  # 13 MB of features
PAYMENT_PIECE_ROWS: Final = 131_072  # a card meets its other payments, and each id is looked up once per piece
Score = Callable[[pa.Table], tuple[pa.Table, Faults]]  # a piece's rows -> the answers, and the rows that get none


@dataclass(frozen=True)
class BatchRequest:
    """What to score, and where to."""

    source: Path  # a Parquet file, a folder of them, or a dataset of days
    out: Path  # a folder that is not there yet
    features_ready: bool = False  # FEATURES in the source, instead of TRANSACTION_COLUMNS
    history: Path | None = None  # of raw payments: what `History.save` wrote just before the first of them; None: nothing yet
    labels: Path | None = None  # of raw payments: Parquet with LABEL_COLUMNS; each fraud counts from its report on


@dataclass(frozen=True)
class BatchSummary:
    """What a run did."""

    out: str
    model_version: str
    files: int
    rows: int  # read
    quarantined: int
    decisions: dict[Decision, int]  # of the others

    @property
    def scored(self) -> int:
        return self.rows - self.quarantined

    @property
    def alert_rate(self) -> float:
        """Share of scored payments that are reviewed or declined; 0 when none was scored."""
        return 1 - self.decisions["approve"] / self.scored if self.scored else 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"scored": self.scored, "alert_rate": self.alert_rate}


def score_table(model: Model, request: BatchRequest, on_progress: Callable[[int, int], None] = lambda *_: None) -> BatchSummary:
    """Score every row of `request.source`, publish `request.out`, and tell what was done. `on_progress` hears rows done, of all.

    Raises MissingFile; BadInput for columns that are missing or of the wrong type, a damaged file, or a place that is
    taken; ModelFailed for a score that is no number; DiskFull. `out` is then not there.
    """
    ready, source = request.features_ready, open_source(request)
    score = _of_features(model) if ready else _of_payments(model, request)
    rows, quarantined, decisions = 0, 0, Counter[str]()
    with BatchOutput(request.out) as out:
        for piece in source.pieces(FEATURE_PIECE_ROWS if ready else PAYMENT_PIECE_ROWS):
            answers, faults = score(piece.rows)
            out.add(answers)
            if faults:
                out.set_aside(_with_reasons(piece, faults))
            rows, quarantined = rows + piece.rows.num_rows, quarantined + len(faults)
            decisions.update({str(count["values"]): count["counts"].as_py() for count in answers["decision"].value_counts()})
            on_progress(rows, source.row_count)
        counts = {name: decisions[name] for name in DECISIONS}
        summary = BatchSummary(str(request.out), model.version, len(source.files), rows, quarantined, counts)
        out.publish(summary.to_json())
    return summary


def open_source(request: BatchRequest) -> ParquetSource:
    """The payments, once it is sure that they can be read and where the answers go. Raises MissingFile, BadInput."""
    if request.features_ready and (request.history or request.labels):
        raise BadInput("Ready features take no history and no labels.", next_step="Leave them out, or give raw payments.", where="history")
    require_free(request.out)
    return ParquetSource(request.source, FEATURE_SCHEMA if request.features_ready else PAYMENT_SCHEMA)


def _of_features(model: Model) -> Score:
    def score(rows: pa.Table) -> tuple[pa.Table, Faults]:
        matrix = feature_matrix(rows)
        faults = feature_faults(rows, matrix)
        if faults:
            good = _others(rows.num_rows, faults)
            rows, matrix = rows.take(pa.array(good)), matrix[good]
        return answer_rows(model, rows["transaction_id"], matrix), faults

    return score


def _of_payments(model: Model, request: BatchRequest) -> Score:
    history = _history_before(request.history)
    reports = _reports(request.labels).to_pandas()

    def answer(rows: pa.Table) -> pa.Table:
        matrix, _ = build_features(to_frame(rows, "transactions"), reports, history)
        return answer_rows(model, rows["transaction_id"], matrix)

    repeats = Repeats(answer)

    def score(rows: pa.Table) -> tuple[pa.Table, Faults]:
        faults = payment_faults(rows)
        good = _others(rows.num_rows, faults)
        answers, refused = repeats.answers(rows.take(pa.array(good)) if faults else rows)
        return answers, faults | dict.fromkeys(good[refused].tolist(), CONFLICT)

    return score


def _history_before(saved: Path | None) -> History:
    """What was saved, or nothing yet. Raises BadInput: the file is the caller's, so nothing is said of deleting it."""
    if saved is None:
        return History()
    try:
        return History.load(saved)
    except BadInput as error:
        raise BadInput(
            error.message,
            next_step="Give what training left in LAB_HOME, history/snapshot, or leave --history out: then IN has no past.",
            where=str(saved),
        ) from error


def feature_matrix(rows: pa.Table) -> NDArray[np.float64]:
    """The features of FEATURE_SCHEMA as the model takes them, (n, FEATURE_COUNT); a missing value becomes NaN."""
    return np.stack([rows[name].chunk(0).to_numpy(zero_copy_only=False) for name in FEATURES], axis=1)


def _reports(labels: Path | None) -> pa.Table:
    """The frauds among the labels, all of them: a hundred bytes each, half a percent of the payments."""
    if labels is None:
        return REPORT_SCHEMA.empty_table()
    pieces = ParquetSource(labels, REPORT_SCHEMA, "labels").pieces(PAYMENT_PIECE_ROWS)
    frauds = pa.concat_tables(
        [REPORT_SCHEMA.empty_table(), *(piece.rows.filter(pc.fill_null(piece.rows["is_fraud"], True)) for piece in pieces)]
    )
    for name in REPORT_SCHEMA.names:
        if frauds[name].null_count:
            raise BadInput(f"A label has no {name}.", next_step="Correct the labels, then run the same command again.", where=name)
    return frauds


def _others(count: int, faults: Faults) -> NDArray[np.int64]:
    """The rows without a fault."""
    good = np.ones(count, dtype=bool)
    good[list(faults)] = False
    return np.flatnonzero(good)


def _with_reasons(piece: Piece, faults: Faults) -> pa.Table:
    """The faulty rows for whoever corrects them: file, row, reason, and the values as text."""
    places = sorted(faults)
    rows = piece.rows.take(pa.array(places)).combine_chunks()
    told = {
        "file": pa.array([piece.file.name] * len(places)),
        "row": pa.array([piece.first_row + place for place in places]),
        "reason": pa.array([faults[place] for place in places]),
    }
    return pa.table(told | {name: masked(rows[name]) for name in rows.column_names})
