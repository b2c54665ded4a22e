"""What foreign tables of card payments look like, and how each becomes the lab's own columns. Called by data/sources.py.

An adapter is known by its column names. It maps an Arrow table to `Payments`; every complaint names the column and
the first row, never a value.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.errors import BadInput
from data.schema import CHANNELS, CURRENCY, LEVEL_PATTERN, MAYBE_CARD_NUMBER, TOKEN_PATTERN, looks_like_card_number

MINUTE_MS: Final = 60_000
S_FFSD_START_MS: Final = 1_704_067_200_000  # 2024-01-01T00:00Z, a date of ours: the file has none
_NOT: Final = {  # what a text is that does not fit the pattern
    TOKEN_PATTERN: "is no token of up to 64 letters, digits and _.:-",
    LEVEL_PATTERN: "is no word of up to 32 lower-case letters, digits and _",
}
LARGEST_AMOUNT: Final = 10_000_000.0  # EUR; the limit of data.schema.Transaction.amount_minor


@dataclass(frozen=True)
class Payments:
    """Columns of equal length n, in file order."""

    transaction_id: pa.Array
    time_ms: NDArray[np.int64]
    card_id: pa.Array
    terminal_id: pa.Array
    amount: NDArray[np.float64]  # major units
    is_fraud: NDArray[np.bool_]
    known: NDArray[np.bool_]  # whether the row has a label; the others are left out
    campaign_kind: pa.Array | None = None  # the file's own account of the fraud
    optional: dict[str, pa.Array] = field(default_factory=dict)  # further columns of data.schema.TRANSACTION_COLUMNS
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adapter:
    """One known table: `columns` must all be there; `read` maps it, or is None when the table cannot feed the loop."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[pa.Table], Payments] | None


def handbook(table: pa.Table) -> Payments:
    """The Fraud Detection Handbook's simulated transactions; its derived features, if there, are ignored."""
    scenario = numbers(table, "TX_FRAUD_SCENARIO")
    return Payments(
        transaction_id=_numbered("hb_", table, "TRANSACTION_ID"),
        time_ms=times(table, "TX_DATETIME"),
        card_id=_numbered("card_", table, "CUSTOMER_ID"),
        terminal_id=_numbered("term_", table, "TERMINAL_ID"),
        amount=amounts(table, "TX_AMOUNT"),
        is_fraud=flags(table, "TX_FRAUD"),
        known=np.ones(len(scenario), dtype=bool),
        campaign_kind=pc.if_else(pa.array(scenario > 0), _tokens("handbook_scenario_", scenario), pa.scalar(None, pa.string())),
        notes=("simulated; times are taken as UTC; no channel, category, place or device",),
    )


def s_ffsd(table: pa.Table) -> Payments:
    """S-FFSD: ids and an order but no clock, and labels for some rows only (2 means not labelled)."""
    labels = numbers(table, "Labels")
    refuse(~np.isin(labels, (0, 1, 2)), "Labels", "is not 0, 1 or 2")
    index = numbers(table, "Time")
    return Payments(
        transaction_id=_tokens("sf_", np.arange(len(index))),
        time_ms=(S_FFSD_START_MS + index * MINUTE_MS).astype(np.int64),
        card_id=words(table, "Source"),
        terminal_id=words(table, "Target"),
        amount=amounts(table, "Amount"),
        is_fraud=labels == 1,
        known=labels != 2,
        optional={"category": pc.utf8_lower(words(table, "Type"))},
        notes=(
            "no clock in the file: its index was taken as minutes since 2024-01-01, so hours and windows mean order, not time",
            "payments without a label were left out: the loop takes a payment that nobody reported for genuine",
        ),
    )


def own(table: pa.Table) -> Payments:
    """A table of one's own in the lab's columns (data.schema.TRANSACTION_COLUMNS) with `is_fraud`; the rest is optional."""
    there = [name for name in ("channel", "category", "latitude", "longitude", "device_id") if name in table.column_names]
    if "currency" in table.column_names:
        refuse(~_mask(pc.equal(strings(table, "currency"), CURRENCY)), "currency", f"is not {CURRENCY}, the lab's one currency")
    if "channel" in there:
        channels = pc.is_in(strings(table, "channel"), value_set=pa.array(CHANNELS))
        refuse(~_mask(channels), "channel", f"is not one of {', '.join(CHANNELS)}")
    texts = {"category": words(table, "category", LEVEL_PATTERN)} if "category" in there else {}
    if "device_id" in there:
        texts["device_id"] = words(table, "device_id", empty=True)
    minor = numbers(table, "amount_minor")
    refuse(minor < 0, "amount_minor", "is negative")
    refuse(minor > 100 * LARGEST_AMOUNT, "amount_minor", f"is above {100 * LARGEST_AMOUNT:,.0f}")
    is_fraud = flags(table, "is_fraud")
    return Payments(
        transaction_id=words(table, "transaction_id"),
        time_ms=times(table, "event_time"),
        card_id=words(table, "card_id"),
        terminal_id=words(table, "terminal_id"),
        amount=minor / 100,
        is_fraud=is_fraud,
        known=np.ones(len(is_fraud), dtype=bool),
        optional={name: table[name].combine_chunks() for name in there} | texts,
    )


ADAPTERS: Final = (
    Adapter(
        "Fraud Detection Handbook",
        ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD", "TX_FRAUD_SCENARIO"),
        handbook,
    ),
    Adapter("ULB credit card", ("Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"), None),
    Adapter("S-FFSD", ("Time", "Source", "Target", "Amount", "Location", "Type", "Labels"), s_ffsd),
    Adapter("fraudlab", ("transaction_id", "event_time", "card_id", "terminal_id", "amount_minor", "is_fraud"), own),
)


def numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """A column as whole or floating numbers. Raises BadInput for text that is no number and for empty cells."""
    column = table[name]
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        numeric = pc.match_substring_regex(text, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
        refuse(~_mask(numeric, missing=True), name, "is not a number")
        column = text.cast(pa.float64())
    refuse(_mask(pc.is_null(column, nan_is_null=True)), name, "is empty")
    values: NDArray[Any] = column.combine_chunks().to_numpy(zero_copy_only=False)
    refuse(~np.isfinite(values), name, "is not finite")
    return values.astype(np.int64) if np.array_equal(values, np.floor(values)) else values


def amounts(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of amounts in major units."""
    values = numbers(table, name).astype(np.float64)
    refuse(values < 0, name, "is negative")
    refuse(values > LARGEST_AMOUNT, name, f"is above {LARGEST_AMOUNT:,.0f}")
    return values


def flags(table: pa.Table, name: str) -> NDArray[np.bool_]:
    """A column of 0 and 1, or of true and false."""
    if pa.types.is_string(table[name].type):
        low = pc.utf8_lower(table[name])
        swapped = pc.if_else(pc.equal(low, "true"), "1", pc.if_else(pc.equal(low, "false"), "0", low))
        table = table.set_column(table.column_names.index(name), name, swapped)
    values = numbers(table, name)
    refuse(~np.isin(values, (0, 1)), name, "is neither 0 nor 1")
    return np.asarray(values == 1)


def times(table: pa.Table, name: str) -> NDArray[np.int64]:
    """A column of times as milliseconds since 1970; without an offset they are taken as UTC."""
    column = table[name].combine_chunks()
    if pa.types.is_string(column.type):
        pattern = r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$"
        refuse(~_mask(pc.match_substring_regex(column, pattern), missing=True), name, "is not a time like 2018-04-01 00:00:31")
        refuse(_mask(pc.is_null(column)), name, "is empty")
        zoned = _mask(pc.match_substring_regex(column, r"(Z|[+-]\d\d:?\d\d)$"))
        refuse(zoned != zoned[:1], name, "carries an offset where the first row does not, or the reverse")
        kind = pa.timestamp("ns", tz="UTC") if len(zoned) and zoned[0] else pa.timestamp("ns")
        try:
            column = column.cast(kind)
        except pa.ArrowInvalid:
            raise BadInput(
                f"Column {name} holds a date that does not exist.", next_step="Correct the file and import it again.", where=name
            ) from None
    if not pa.types.is_timestamp(column.type):
        raise BadInput(f"Column {name} holds no times.", next_step="Give event times like 2018-04-01 00:00:31.", where=name)
    refuse(_mask(pc.is_null(column)), name, "is empty")
    moments: NDArray[np.int64] = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64()).to_numpy()
    return moments


def strings(table: pa.Table, name: str) -> pa.Array:
    """A column as text. Raises BadInput for empty cells."""
    column = table[name].cast(pa.string()).combine_chunks()
    refuse(_mask(pc.is_null(column)), name, "is empty")
    return column


def words(table: pa.Table, name: str, pattern: str = TOKEN_PATTERN, *, empty: bool = False) -> pa.Array:
    """A column of what the service would take as ids or levels. Raises BadInput for other texts, for card numbers, and for empty
    cells unless `empty` ones are allowed."""
    column = table[name].cast(pa.string()).combine_chunks() if empty else strings(table, name)
    refuse(~_mask(pc.match_substring_regex(column, pattern), missing=True), name, _NOT[pattern])
    return _without_card_numbers(column, name)


def _numbered(prefix: str, table: pa.Table, name: str) -> pa.Array:
    """Ids made of a column of numbers."""
    return _without_card_numbers(_tokens(prefix, numbers(table, name)), name)


def _without_card_numbers(column: pa.Array, name: str) -> pa.Array:
    """The same column. Raises BadInput when a text in it may be a card number, of which no copy is to be made."""
    found = _mask(pc.match_substring_regex(column, MAYBE_CARD_NUMBER))  # few rows reach the slow Luhn check
    suspects = np.flatnonzero(found)
    found[suspects] = [looks_like_card_number(column[int(i)].as_py()) for i in suspects]
    refuse(found, name, "looks like a card number; replace card numbers by tokens first")
    return column


def refuse(bad: NDArray[np.bool_], column: str, complaint: str) -> None:
    """Raise BadInput when any row is bad, saying how many and which is the first."""
    if bad.any():
        raise BadInput(
            f"Column {column} {complaint} in {int(bad.sum()):,} of {len(bad):,} rows, first in row {int(np.argmax(bad)) + 1}.",
            next_step="Correct the file and import it again.",
            where=column,
        )


def _mask(flagged: pa.Array | pa.ChunkedArray, *, missing: bool = False) -> NDArray[np.bool_]:
    """An Arrow boolean column as numpy, null as `missing`."""
    mask: NDArray[np.bool_] = np.asarray(pc.fill_null(flagged, missing)).astype(bool)
    return mask


def _tokens(prefix: str, ids: NDArray[Any]) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(ids).cast(pa.string()), "")
