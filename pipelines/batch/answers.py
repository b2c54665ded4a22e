"""From features to answers, many rows at a time: what `services/scoring/decide.py` does with one champion. Pure but for the model.

Model, rules, policy and reason codes are the functions that the service calls, so that the answers are equal to the
last bit. Only `pipelines/batch/scoring.py` uses it.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.bundle import Model
from data.costs import DECISIONS, Policy
from data.errors import ModelFailed
from data.reasons import RANDOM_APPROVE, model_reasons
from data.rules import apply_rules, rule_severity

APPROVE, DECLINE = (DECISIONS.index(name) for name in ("approve", "decline"))
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
    spared = _let_through(model.policy, transaction_ids, np.flatnonzero(severity == DECLINE))
    severity[spared] = APPROVE
    columns = [
        transaction_ids,
        scores,
        pa.DictionaryArray.from_arrays(severity, list(DECISIONS)),
        _reasons(matrix, np.flatnonzero(severity), spared),
        pa.DictionaryArray.from_arrays(np.zeros(len(scores), np.int8), [model.version]),
    ]
    return pa.table(columns, SCORE_SCHEMA)


def _let_through(policy: Policy, transaction_ids: Any, declined: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of the rows due to be declined the policy lets through at random."""
    if policy.random_approve_share == 0:
        return declined[:0]
    return declined[[policy.lets_through(str(transaction_ids[int(row)])) for row in declined]]


def _reasons(matrix: NDArray[np.float64], alerts: NDArray[np.int64], spared: NDArray[np.int64]) -> Any:
    """A list of codes per row: for alerts what the rules and the features say, for the others nothing."""
    codes: dict[int, Sequence[str]] = dict.fromkeys(spared.tolist(), (RANDOM_APPROVE,))
    for row, features in zip(alerts.tolist(), matrix[alerts].tolist(), strict=True):
        codes[row] = apply_rules(features).reasons + model_reasons(features)
    counts = np.zeros(len(matrix) + 1, np.int32)
    rows = sorted(codes)
    counts[np.array(rows, dtype=np.int64) + 1] = [len(codes[row]) for row in rows]
    return pa.ListArray.from_arrays(np.cumsum(counts, dtype=np.int32), pa.array([code for row in rows for code in codes[row]], pa.string()))
