"""What is wrong with a window before any statistics: typed findings instead of a crash, and a frame that is safe to test.

Twelve kinds of malformed window (all-null, missing, extra, words for numbers, empty, one row, nullable dtypes, inf,
constant, duplicate columns, other order, mixed types) each end in a finding. Called by `monitor` and `report`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

FindingKind = Literal[
    "missing_column", "extra_column", "duplicate_column", "column_order", "mixed_types", "not_numeric", "all_null",
    "infinite", "constant", "nullable_dtype", "empty_window", "small_window",
    "null_rate", "range", "unseen_level", "value_spike", "unit", "clock", "volume", "lost_payments", "duplicates", "parity", "season",
]  # fmt: skip

# Findings that say "the pipeline is broken": no model can be judged, let alone retrained, on such rows.
FAULTS: Final[frozenset[FindingKind]] = frozenset(
    {
        "missing_column", "duplicate_column", "mixed_types", "not_numeric", "all_null", "infinite",
        "null_rate", "range", "value_spike", "unit", "clock", "lost_payments", "duplicates", "parity",
    }
)  # fmt: skip
# Those that a handful of payments shows by chance: two without a device are no broken feed.
NEED_ROWS: Final[frozenset[FindingKind]] = frozenset(
    {"all_null", "null_rate", "range", "value_spike", "unit", "clock", "lost_payments", "duplicates"}
)
MINIMUM_ROWS: Final = 500  # under this the tests have no power and effects are noise


@dataclass(frozen=True)
class Finding:
    """One thing that is off: what, where, on how many rows. `share` is of the window's rows."""

    kind: FindingKind
    column: str
    message: str
    rows: int = 0
    share: float = 0.0
    p_value: float | None = None

    @property
    def is_fault(self) -> bool:
        return self.kind in FAULTS


@dataclass(frozen=True)
class CheckedWindow:
    """The window with plain numpy dtypes and only columns that can be tested, and what was found on the way."""

    frame: pd.DataFrame
    columns: tuple[str, ...]
    findings: tuple[Finding, ...]


def check_window(frame: pd.DataFrame, reference: pd.DataFrame, columns: Sequence[str], *, words: frozenset[str]) -> CheckedWindow:
    """Check `columns` of a window against its reference; `words` are those that hold levels rather than numbers."""
    findings: list[Finding] = []
    doubled = frame.columns[frame.columns.duplicated()].unique()
    findings += [_about("duplicate_column", name, "arrives twice; the first is used") for name in doubled]
    frame = frame.loc[:, ~frame.columns.duplicated()]
    findings += _layout(frame, reference)
    if len(frame) == 0:
        return CheckedWindow(frame, (), (*findings, Finding("empty_window", "", "No payments in this window.")))
    if len(frame) < MINIMUM_ROWS:
        few = f"{len(frame)} payments are too few to compare; at least {MINIMUM_ROWS} are needed."
        findings.append(Finding("small_window", "", few, len(frame), 1.0))
    kept: dict[str, pd.Series] = {}
    for name in columns:
        if name not in frame.columns:
            findings.append(_about("missing_column", name, "is missing"))
            continue
        values, found = (_check_words if name in words else _check_numbers)(name, frame[name])
        findings += found
        if values is not None:
            kept[name] = values
            if values.nunique(dropna=False) == 1 and reference[name].nunique(dropna=False) > 1:
                findings.append(_about("constant", name, "holds one single value, unlike its reference", values))
    return CheckedWindow(frame.assign(**kept), tuple(kept), tuple(findings))


def _layout(frame: pd.DataFrame, reference: pd.DataFrame) -> list[Finding]:
    extra = [str(name) for name in frame.columns if name not in reference.columns]
    findings = [_about("extra_column", name, "is not in the reference; it is ignored") for name in extra]
    shared = [name for name in frame.columns if name in reference.columns]
    if shared != [name for name in reference.columns if name in frame.columns]:
        findings.append(Finding("column_order", "", "Columns come in another order than in the reference; names decide."))
    return findings


def _check_numbers(name: str, column: pd.Series) -> tuple[pd.Series | None, list[Finding]]:
    findings = _dtype(name, column)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiu" and not np.isinf(column).any() and column.notna().any():
        return column.astype(np.float64), findings
    values = pd.Series(pd.to_numeric(column.astype(object), errors="coerce"), index=column.index).astype(np.float64)
    unreadable = values.isna() & column.notna()
    if unreadable.any():
        text = column.map(lambda v: isinstance(v, str))
        kind: FindingKind = "not_numeric" if text.all() else "mixed_types"
        findings.append(_about(kind, name, "holds words where numbers belong", column[unreadable], len(column)))
    elif column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        findings.append(_about("not_numeric", name, "arrives as text", column))
    infinite = np.isinf(values)
    if infinite.any():
        findings.append(_about("infinite", name, "holds infinite values", column[infinite], len(column)))
        values = values.mask(infinite)
    if values.isna().all():
        return None, [*findings, _about("all_null", name, "is null on every row", column)]
    return values, findings


def _check_words(name: str, column: pd.Series) -> tuple[pd.Series | None, list[Finding]]:
    findings = _dtype(name, column)
    if isinstance(column.dtype, pd.CategoricalDtype) and column.notna().any() and all(isinstance(c, str) for c in column.dtype.categories):
        return column, findings
    plain = column.astype(object)
    if plain.isna().all():
        return None, [*findings, _about("all_null", name, "is null on every row", column)]
    odd = plain.notna() & ~plain.map(lambda v: isinstance(v, str))
    if odd.any():
        findings.append(_about("mixed_types", name, "holds numbers where words belong", column[odd], len(column)))
    return plain.where(plain.isna(), plain.astype(str)), findings


def _dtype(name: str, column: pd.Series) -> list[Finding]:
    """A note on dtypes that Evidently cannot read (it raises on nullable and Arrow dtypes); we cast them."""
    foreign = isinstance(column.dtype, pd.api.extensions.ExtensionDtype) and not isinstance(
        column.dtype, (pd.CategoricalDtype, pd.StringDtype, pd.DatetimeTZDtype)
    )
    return [_about("nullable_dtype", name, f"has dtype {column.dtype}; it is read as plain numbers or words", column)] if foreign else []


def _about(kind: FindingKind, name: object, text: str, rows: pd.Series | None = None, of: int | None = None) -> Finding:
    count = 0 if rows is None else len(rows)
    return Finding(kind, str(name), f"Column {name} {text}.", count, count / (of or count) if count else 0.0)
