"""Which rows of a batch break the contract of a payment, and why. Pure; for batch scoring.

What is checked comes from the `Transaction` message, so that a row of a file and a request to the service are held to
one contract. Reasons name columns and checks, never a value.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.features import FEATURES
from data.history_layout import NEVER
from data.schema import MAYBE_CARD_NUMBER, Transaction, looks_like_card_number

Flags = NDArray[np.bool_]
Faults = dict[int, str]  # row -> what is wrong with it
MASKED: Final = "[masked]"
_LAST_MS: Final = NEVER * 1000


def payment_faults(rows: pa.Table) -> Faults:
    """The rows of PAYMENT_SCHEMA that the service would refuse."""
    return _collected(found for name in rows.column_names for found in _field_faults(name, _whole(rows, name)))


def feature_faults(rows: pa.Table, matrix: NDArray[np.float64]) -> Faults:
    """The rows of FEATURE_SCHEMA that cannot be a payment's features; `matrix` holds the same rows, (n, FEATURE_COUNT).

    A missing value is a fact ("no such history"), an infinite one is not, and no feature is made without the amount.
    """
    found = list(_field_faults("transaction_id", _whole(rows, "transaction_id")))
    infinite = np.isinf(matrix)
    if infinite.any():
        found += [(name, "is infinite", infinite[:, i]) for i, name in enumerate(FEATURES)]
    return _collected([*found, ("amount", "is missing", np.isnan(matrix[:, FEATURES.index("amount")]))])


def masked(column: Any) -> Any:
    """A column as text, for people who look into what was set aside: whatever may be a card number is left out."""
    texts = column.cast(pa.string()) if not pa.types.is_string(column.type) else column
    hidden = _holds_card_number(texts)
    if pa.types.is_floating(column.type):
        hidden |= _flags(pc.greater_equal(pc.abs(column), 1e12))  # as text 4.111111111111111e+15, all its digits
    return pc.if_else(pa.array(hidden), MASKED, texts) if hidden.any() else texts


@cache
def _contract() -> dict[str, dict[str, Any]]:
    """Each field of a transaction: its JSON schema, `null` told apart."""
    fields = {}
    for name, declared in Transaction.model_json_schema()["properties"].items():
        kinds = declared.get("anyOf", [declared])
        fields[name] = next(kind for kind in kinds if kind["type"] != "null") | {"nullable": len(kinds) > 1}
    return fields


def _field_faults(name: str, column: Any) -> Iterator[tuple[str, str, Flags]]:
    """(column, check, broken rows) for each check of one field."""
    field = _contract()[name]
    if not field["nullable"]:
        yield name, "is missing", _flags(column.is_null())
    if "pattern" in field:
        yield name, "has letters or a length that are not allowed", _by_level(column, lambda levels: ~_matches(levels, field["pattern"]))
        yield name, "looks like a card number", _by_level(column, _holds_card_number)
    if levels := field.get("enum", [field["const"]] if "const" in field else []):
        yield name, "is none of the schema's", _by_level(column, lambda texts: ~_flags(pc.is_in(texts, pa.array(levels))))
    if "minimum" in field:
        yield name, f"is not between {field['minimum']:,} and {field['maximum']:,}", _outside(column, field["minimum"], field["maximum"])
    if field.get("format") == "date-time":
        yield name, "is out of range", _outside(column.cast(pa.int64()), 0, _LAST_MS - 1)


def _collected(found: Any) -> Faults:
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    for name, check, broken in found:
        for row in np.flatnonzero(broken).tolist():
            reasons[row].append(f"{name} {check}")
    return {row: "; ".join(why) for row, why in sorted(reasons.items())}


def _by_level(column: Any, broken: Callable[[Any], Flags]) -> Flags:
    """`broken`, asked once per distinct text where the column is stored that way; a null is never broken."""
    if not pa.types.is_dictionary(column.type):
        return broken(column) & _flags(column.is_valid())
    table = np.append(broken(column.dictionary), False)
    flags: Flags = table[column.indices.fill_null(len(table) - 1).to_numpy()]
    return flags


def _matches(texts: Any, pattern: str) -> Flags:
    return _flags(pc.match_substring_regex(texts, pattern.replace("$", r"\z")))  # $ would let a line break through


def _holds_card_number(texts: Any) -> Flags:
    found = _flags(pc.match_substring_regex(texts, MAYBE_CARD_NUMBER))
    for row in np.flatnonzero(found):
        found[row] = looks_like_card_number(texts[row].as_py())
    return found


def _outside(column: Any, low: float, high: float) -> Flags:
    return _flags(pc.or_(pc.less(column, low), pc.greater(column, high)))  # NaN, as null, is no value


def _flags(mask: Any) -> Flags:
    flags: Flags = np.array(mask.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
    return flags


def _whole(rows: pa.Table, name: str) -> Any:
    column = rows[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
