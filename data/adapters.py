"""What foreign tables of card payments look like, and how each becomes the lab's own columns. Called by data/sources.py.

An adapter is known by its column names. It maps an Arrow table to `Payments`; every complaint names the column and
the first row, never a value.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.errors import BadInput
from data.schema import (
    CHANNELS,
    CURRENCY,
    LEVEL_PATTERN,
    MAYBE_CARD_NUMBER,
    MOMENT_END,
    TOKEN_PATTERN,
    event_milliseconds,
    looks_like_card_number,
)

MINUTE_MS: Final = 60_000
END_MS: Final = event_milliseconds(MOMENT_END)
S_FFSD_START_MS: Final = 1_704_067_200_000  # 2024-01-01T00:00Z, a date of ours: the file has none
_WHOLE_IN_FLOAT: Final = 2**53  # beyond it a float is not every whole number
_TOO_LARGE: Final = "is too large a number to be told from its neighbours"
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
    lowered = table.set_column(table.column_names.index("Type"), "Type", pc.utf8_lower(strings(table, "Type")))
    labels = numbers(table, "Labels")
    refuse(~np.isin(labels, (0, 1, 2)), "Labels", "is not 0, 1 or 2")
    index = numbers(table, "Time")
    refuse((index < 0) | (index >= (END_MS - S_FFSD_START_MS) // MINUTE_MS), "Time", "is out of range")
    return Payments(
        transaction_id=_tokens("sf_", np.arange(len(index))),
        time_ms=(S_FFSD_START_MS + index * MINUTE_MS).astype(np.int64),
        card_id=words(table, "Source"),
        terminal_id=words(table, "Target"),
        amount=amounts(table, "Amount"),
        is_fraud=labels == 1,
        known=labels != 2,
        optional={"category": words(lowered, "Type", LEVEL_PATTERN)},
        notes=(
            "no clock in the file: its index was taken as minutes since 2024-01-01, so hours and windows mean order, not time",
            "payments without a label were left out: the loop takes a payment that nobody reported for genuine",
        ),
    )


def own(table: pa.Table) -> Payments:
    """A table of one's own in the lab's columns (data.schema.TRANSACTION_COLUMNS) with `is_fraud`; the rest is optional."""
    if "currency" in table.column_names:
        refuse(~_mask(pc.equal(strings(table, "currency"), CURRENCY)), "currency", f"is not {CURRENCY}, the lab's one currency")
    if "channel" in table.column_names:
        channels = pc.is_in(strings(table, "channel"), value_set=pa.array(CHANNELS))
        refuse(~_mask(channels), "channel", f"is not one of {', '.join(CHANNELS)}")
    readers: dict[str, Callable[[str], pa.Array]] = {
        "channel": lambda name: strings(table, name),
        "category": lambda name: words(table, name, LEVEL_PATTERN),
        "latitude": lambda name: degrees(table, name, 90),
        "longitude": lambda name: degrees(table, name, 180),
        "device_id": lambda name: words(table, name, empty=True),
    }
    minor = numbers(table, "amount_minor")
    refuse(minor != np.floor(minor), "amount_minor", "is not a whole number of cents")
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
        optional={name: read(name) for name, read in readers.items() if name in table.column_names},
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


def numbers(table: pa.Table, name: str, *, empty: bool = False) -> NDArray[Any]:
    """A column as whole or floating numbers; `empty` cells, if they may be, are NaN. Raises BadInput for text that is no number,
    for whole numbers that 64 bits do not hold, and for empty cells."""
    column = table[name].combine_chunks()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        column = _parsed(pc.utf8_trim_whitespace(_text(table, name)), name)
    if not empty:
        refuse(_mask(pc.is_null(column, nan_is_null=True)), name, "is empty")
    if pa.types.is_integer(column.type) and column.null_count == 0:
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        refuse(values > np.iinfo(np.int64).max, name, _TOO_LARGE)
        return values.astype(np.int64)
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    refuse(np.isinf(values), name, "is not finite")
    if not np.array_equal(values, np.floor(values)):  # nor are empty cells
        return values
    refuse(np.abs(values) > _WHOLE_IN_FLOAT, name, _TOO_LARGE)
    return values.astype(np.int64)


def _parsed(text: pa.Array, name: str) -> pa.Array:
    """Text as int64 where all of it is whole numbers, as float64 otherwise: a float holds 15 digits of an id."""
    numeric = pc.match_substring_regex(text, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    refuse(~_mask(numeric, missing=True), name, "is not a number")
    if not _mask(pc.match_substring_regex(text, r"^[+-]?\d+$"), missing=True).all():
        return text.cast(pa.float64())
    refuse(_mask(pc.match_substring_regex(text, r"^[+-]?0*[1-9]\d{18,}$")), name, _TOO_LARGE)
    return pc.replace_substring_regex(text, r"^\+", "").cast(pa.int64())


def amounts(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of amounts in major units."""
    values = numbers(table, name).astype(np.float64)
    refuse(values < 0, name, "is negative")
    refuse(values > LARGEST_AMOUNT, name, f"is above {LARGEST_AMOUNT:,.0f}")
    return values


def degrees(table: pa.Table, name: str, most: float) -> pa.Array:
    """A column of degrees from -`most` to `most`, null where it is empty."""
    values = numbers(table, name, empty=True).astype(np.float64)
    refuse(np.abs(values) > most, name, f"is not between -{most:g} and {most:g}")
    return pa.array(values, from_pandas=True)


def flags(table: pa.Table, name: str) -> NDArray[np.bool_]:
    """A column of 0 and 1, or of true and false."""
    if pa.types.is_string(table[name].type):
        said = pc.utf8_lower(pc.utf8_trim_whitespace(table[name].combine_chunks()))
        refuse(_mask(pc.is_null(said)), name, "is empty")
        true, false = (_mask(pc.is_in(said, value_set=pa.array(texts))) for texts in (("1", "1.0", "true"), ("0", "0.0", "false")))
        refuse(~(true | false), name, "is neither 0 nor 1")
        return true
    values = numbers(table, name)
    refuse(~np.isin(values, (0, 1)), name, "is neither 0 nor 1")
    return np.asarray(values == 1)


def times(table: pa.Table, name: str) -> NDArray[np.int64]:
    """A column of times as milliseconds since 1970, to 2106; without an offset they are taken as UTC."""
    column = table[name].combine_chunks()
    if pa.types.is_string(column.type):
        pattern = r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$"
        refuse(~_mask(pc.match_substring_regex(column, pattern), missing=True), name, "is not a time like 2018-04-01 00:00:31")
        refuse(_mask(pc.is_null(column)), name, "is empty")
        zoned = _mask(pc.match_substring_regex(column, r"(Z|[+-]\d\d:?\d\d)$"))
        refuse(zoned != zoned[:1], name, "carries an offset where the first row does not, or the reverse")
        column = _moments(pc.replace_substring_regex(column, r"(\.\d{3})\d+", r"\1"), name, "UTC" if len(zoned) and zoned[0] else None)
    if not pa.types.is_timestamp(column.type):
        raise BadInput(f"Column {name} holds no times.", next_step="Give event times like 2018-04-01 00:00:31.", where=name)
    refuse(_mask(pc.is_null(column)), name, "is empty")
    moments: NDArray[np.int64] = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64()).to_numpy()
    refuse((moments < 0) | (moments >= END_MS), name, "is not between 1970 and 2106")
    return moments


def _moments(text: pa.Array, name: str, zone: str | None) -> pa.Array:
    """Texts that look like times. Raises BadInput naming the first row with a date that does not exist."""
    kind = pa.timestamp("ms", tz=zone)

    def is_sound(part: pa.Array) -> bool:
        try:
            part.cast(kind)
        except pa.ArrowInvalid:
            return False
        return True

    if not is_sound(text):
        row = bisect_left(range(len(text)), True, key=lambda row: not is_sound(text.slice(0, row + 1)))
        raise BadInput(
            f"Column {name} holds a date that does not exist, first in row {row + 1}.",
            next_step="Correct the file and import it again.",
            where=name,
        )
    return text.cast(kind)


def _text(table: pa.Table, name: str) -> pa.Array:
    """A column as text, empty cells as null. Raises BadInput for lists, bytes and whatever else is none."""
    try:
        return table[name].cast(pa.string()).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadInput(
            f"Column {name} holds neither text nor numbers, or text that is not UTF-8.",
            next_step="Correct the file and import it again.",
            where=name,
        ) from None


def strings(table: pa.Table, name: str) -> pa.Array:
    """A column as text. Raises BadInput for empty cells."""
    column = _text(table, name)
    refuse(_mask(pc.is_null(column)), name, "is empty")
    return column


def words(table: pa.Table, name: str, pattern: str = TOKEN_PATTERN, *, empty: bool = False) -> pa.Array:
    """A column of what the service would take as ids or levels. Raises BadInput for other texts, for card numbers, and for empty
    cells unless `empty` ones are allowed."""
    column = _text(table, name) if empty else strings(table, name)
    refuse(~_mask(pc.match_substring_regex(column, pattern), missing=True), name, _NOT[pattern])
    return _without_card_numbers(column, name)


def _numbered(prefix: str, table: pa.Table, name: str) -> pa.Array:
    """Ids made of a column of whole numbers."""
    values = numbers(table, name)
    refuse(values != np.floor(values), name, "is not a whole number")
    return _without_card_numbers(_tokens(prefix, values), name)


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
