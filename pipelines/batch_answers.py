"""From features to answers, many rows at a time: what `services/scoring/decide.py` does with one champion. Pure but for the model.

Model, rules, policy and reason codes are the functions that the service calls, so that the answers are equal to the
last bit. Only `pipelines/batch_scoring.py` uses it.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.bundle import Model
from data.costs import DECISIONS
from data.errors import ModelFailed
from data.reasons import model_reasons
from data.rules import apply_rules, rule_severity

SCORE_SCHEMA: Final = pa.schema(
    [
        pa.field("transaction_id", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),  # calibrated probability of fraud
        pa.field("decision", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),  # the strongest first; empty for an approval
        pa.field("model_version", pa.dictionary(pa.int8(), pa.string()), nullable=False),
    ]
)


def answer_rows(model: Model, transaction_ids: Any, matrix: NDArray[np.float64]) -> pa.Table:
    """The answers, SCORE_SCHEMA, to payments with these ids and features (n, FEATURE_COUNT), in order. Raises ModelFailed."""
    if not len(matrix):
        return SCORE_SCHEMA.empty_table()
    scores = model.score_many(matrix)
    if not np.isfinite(scores).all():
        raise ModelFailed(
            "A score is not a number.", next_step="Score with another version (`lab registry` lists them).", where=model.version
        )
    severity = np.maximum(model.policy.severities(scores), rule_severity(matrix))
    columns = [
        transaction_ids,
        scores,
        pa.DictionaryArray.from_arrays(severity, list(DECISIONS)),
        _reasons(matrix, np.flatnonzero(severity)),
        pa.DictionaryArray.from_arrays(np.zeros(len(scores), np.int8), [model.version]),
    ]
    return pa.table(columns, SCORE_SCHEMA)


def _reasons(matrix: NDArray[np.float64], alerts: NDArray[np.int64]) -> Any:
    """A list of codes per row: for alerts what the rules and the features say, for the others nothing."""
    codes: list[Sequence[str]] = [apply_rules(row).reasons + model_reasons(row) for row in matrix[alerts].tolist()]
    counts = np.zeros(len(matrix) + 1, np.int32)
    counts[alerts + 1] = [len(some) for some in codes]
    return pa.ListArray.from_arrays(np.cumsum(counts, dtype=np.int32), pa.array([code for some in codes for code in some], pa.string()))
