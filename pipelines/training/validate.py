"""Check a batch before anything uses it; a bad day goes to quarantine whole, with a report, and is never half-used.

Columns, types and missing values come from `data/schema.py`, ranges from its `Transaction` message, so that a file, a
frame and an API request are held to one contract. What is odd but valid passes: an unseen category, a payment
delivered twice, an empty day. Reports name columns, checks, counts and row positions, never a value.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from annotated_types import Ge, Le

from data.dataset import Dataset, Kind, arrow_schema, to_frame
from data.errors import BadBatch
from data.schema import (
    CURRENCY,
    LABEL_COLUMNS,
    LABEL_SOURCES,
    LEVEL_PATTERN,
    MAYBE_CARD_NUMBER,
    TOKEN_PATTERN,
    TRANSACTION_COLUMNS,
    Label,
    Transaction,
    looks_like_card_number,
)

_KINDS: Final[tuple[Kind, ...]] = ("transactions", "labels")
_COLUMNS: Final = {"transactions": TRANSACTION_COLUMNS, "labels": LABEL_COLUMNS}
_SHOWN_ROWS: Final = 5
_TEXTS: Final = {  # column -> its pattern, and what a text is that does not fit it
    **dict.fromkeys(("transaction_id", "card_id", "terminal_id", "device_id"), (TOKEN_PATTERN, "is not a token")),
    "category": (LEVEL_PATTERN, "is not a word of lower-case letters, digits and _"),
}


@dataclass(frozen=True)
class Finding:
    """One broken rule: where, which, how many rows, and the first of them by position in the file."""

    column: str
    check: str
    rows: int
    first_rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        place = f" (first at rows {', '.join(map(str, self.first_rows))})" if self.first_rows else ""
        return f"{self.column}: {self.check}, {self.rows} rows{place}" if self.rows else f"{self.column}: {self.check}"


def validate_days(dataset: Dataset, start: date, end: date, quarantine: Path) -> None:
    """Check the days of [start, end). Raises BadBatch after moving each bad day to `quarantine`/<day>/ with its report.

    All days are checked as one frame, which is quick; only when that finds something are they looked at one by one.
    """
    days = [day for day in dataset.days() if start <= day < end]
    found = check_days(dataset, days)
    if not found:
        return
    bad = {day: findings for day in days if (findings := check_days(dataset, [day]))}
    for day, findings in bad.items():
        _set_aside(dataset, day, findings, quarantine / day.isoformat())
    if not bad:
        raise BadBatch(
            f"The days contradict each other: {'; '.join(map(str, found[:3]))}.",
            next_step=f"Delete {dataset.root} and run the same command again.",
            where=found[0].column,
        )
    first = min(bad)
    raise BadBatch(
        f"{len(bad)} of {len(days)} days broke the schema and were set aside; on {first}: {'; '.join(map(str, bad[first][:3]))}.",
        next_step=f"Read {quarantine / first.isoformat() / 'report.txt'}, correct the source and run the same command again.",
        where=str(first),
    )


def check_days(dataset: Dataset, days: list[date]) -> list[Finding]:
    """What is wrong with the files of these days, taken together; empty when nothing is."""
    frames: dict[Kind, pd.DataFrame] = {}
    findings: list[Finding] = []
    for kind in _KINDS:
        tables = []
        for day in days:
            table, found = _read(dataset.path(kind, day), kind, day)
            findings += found
            tables += [table] if table is not None else []
        if tables and not findings:
            frames[kind] = to_frame(pa.concat_tables(tables).unify_dictionaries(), kind)
    if findings or not frames:
        return findings
    return check_transactions(frames["transactions"]) + check_reports(frames["labels"], frames["transactions"])


def check_transactions(frame: pd.DataFrame) -> list[Finding]:
    """What is wrong with a frame of payments."""
    findings = _schema_findings(frame, TRANSACTION_COLUMNS, _ranges(Transaction))
    if findings:
        return findings
    findings += [found for name, contract in _TEXTS.items() for found in _text_findings(name, frame[name], *contract)]
    findings += _rows_where(~frame["currency"].isin([CURRENCY]), "currency", f"is not {CURRENCY}")
    findings += _rows_where(~frame["channel"].isin(_literals(Transaction, "channel")), "channel", "is none of the schema's")
    return findings + _conflicts(frame)


def check_reports(labels: pd.DataFrame, transactions: pd.DataFrame) -> list[Finding]:
    """What is wrong with a frame of labels of those payments."""
    findings = _schema_findings(labels, LABEL_COLUMNS, _ranges(Label))
    if findings:
        return findings
    findings += _rows_where(~labels["source"].isin(LABEL_SOURCES), "source", "is none of the schema's")
    findings += _rows_where(labels["report_time"] < labels["event_time"], "report_time", "lies before the payment")
    known = pc.is_in(pa.array(labels["transaction_id"]), value_set=pa.array(transactions["transaction_id"]))  # pandas' own takes a second
    return findings + _rows_where(~known.to_pandas(), "transaction_id", "is of no payment here")


def _read(file: Path, kind: Kind, day: date) -> tuple[pa.Table | None, list[Finding]]:
    """The file as it is, or what keeps it from being read. Parquet readers given a schema fill a lost column with nulls."""
    declared = arrow_schema(kind)
    try:
        names = pq.read_schema(file).names
        if found := _column_findings(names, declared.names):
            return None, found
        levels = [name for name, (dtype, _) in _COLUMNS[kind].items() if dtype == "category"]
        table = pq.ParquetFile(file, read_dictionary=levels).read()
    except (OSError, pa.ArrowInvalid):
        return None, [Finding(kind, "the file is missing or damaged", 0)]
    types = {field.name: _plain(field.type) for field in table.schema}
    found = [Finding(f.name, f"is {types[f.name]}, not {f.type}", table.num_rows) for f in declared if types[f.name] != f.type]
    if not found:
        days = pc.floor_temporal(table["event_time"], unit="day").cast(pa.date32())
        found = _rows_where(pc.not_equal(days, pa.scalar(day)).fill_null(False).to_pandas(), "event_time", f"is not on {day}")
    # Files of several writers differ in what they say of nulls; the frame check looks at the values.
    alike = pa.schema([(f.name, pa.dictionary(pa.int32(), pa.string()) if f.name in levels else f.type) for f in declared])
    return (None, found) if found else (table.select(declared.names).cast(alike), [])


def _column_findings(present: list[str], declared: list[str]) -> list[Finding]:
    missing = [Finding(name, "column is missing", 0) for name in declared if name not in present]
    return missing + [Finding(name, "column is not in the schema", 0) for name in present if name not in declared]


def _plain(kind: Any) -> Any:
    """The type of the values, however they are stored: as a dictionary, with long offsets."""
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if pa.types.is_large_string(values) else values


def _schema_findings(
    frame: pd.DataFrame, columns: dict[str, tuple[str, bool]], ranges: dict[str, tuple[float | None, float | None]]
) -> list[Finding]:
    """Everything pandera finds at once: columns, dtypes, nulls and ranges."""
    import pandera.pandas as pandera

    def column(name: str, dtype: str, nullable: bool) -> Any:
        low, high = ranges.get(name, (None, None))
        checks = [pandera.Check.ge(low)] if low is not None else []
        checks += [pandera.Check.le(high)] if high is not None else []
        return pandera.Column(dtype, checks, nullable=nullable)

    schema = pandera.DataFrameSchema({name: column(name, *facts) for name, facts in columns.items()}, strict=True)
    try:
        schema.validate(frame.reset_index(drop=True), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return _findings(errors.failure_cases)
    return []


def _findings(cases: pd.DataFrame) -> list[Finding]:
    """pandera's failure cases, one per row and check, summed up per column and check; the values are left behind."""
    whole = cases["check"].isin(["column_in_dataframe", "column_in_schema"])
    names = cases["column"].where(~whole, cases["failure_case"])
    words = cases["check"].map({"column_in_dataframe": "column is missing", "column_in_schema": "column is not in the schema"})
    described = words.fillna(cases["check"].map({"not_nullable": "is missing"})).fillna(cases["check"])
    found = []
    for (name, check), group in cases.groupby([names.rename("name"), described.rename("rule")], sort=False):
        positions = [int(i) for i in group["index"].dropna()]
        found.append(Finding(str(name), str(check), len(positions), tuple(positions[:_SHOWN_ROWS])))
    return found


def _ranges(message: type[Transaction] | type[Label]) -> dict[str, tuple[float | None, float | None]]:
    """The numeric limits of a message's fields."""
    limits: dict[str, tuple[float | None, float | None]] = {}
    for name, field in message.model_fields.items():
        low = next((m.ge for m in field.metadata if isinstance(m, Ge)), None)
        high = next((m.le for m in field.metadata if isinstance(m, Le)), None)
        if low is not None or high is not None:
            limits[name] = (low, high)  # type: ignore[assignment]  # annotated_types promises comparable, the schema numbers
    return limits


def _literals(message: type[Transaction], name: str) -> tuple[str, ...]:
    return get_args(message.model_fields[name].annotation)


def _text_findings(name: str, column: "pd.Series[Any]", pattern: str, complaint: str) -> list[Finding]:
    malformed = _by_level(column, lambda levels: ~levels.str.fullmatch(pattern))
    exposed = _by_level(column, _hold_card_numbers)
    return _rows_where(malformed, name, complaint) + _rows_where(exposed, name, "looks like a card number")


def _hold_card_numbers(levels: "pd.Series[Any]") -> "pd.Series[bool]":
    found = levels.str.contains(MAYBE_CARD_NUMBER, regex=True).to_numpy(dtype=bool, copy=True)
    found[found] = [looks_like_card_number(text) for text in levels[found]]
    return pd.Series(found, index=levels.index)


def _by_level(column: "pd.Series[Any]", broken: "Callable[[pd.Series[Any]], pd.Series[bool]]") -> "pd.Series[bool]":
    """`broken`, asked once per distinct text."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return broken(column.astype("str"))
    levels = pd.Series(column.cat.categories.astype("str"))
    table = np.append(broken(levels).to_numpy(dtype=bool), False)  # a null has code -1: the last
    return pd.Series(table[column.cat.codes.to_numpy()], index=column.index)


def _conflicts(frame: pd.DataFrame) -> list[Finding]:
    """The same payment delivered twice is fine; two payments under one id are not."""
    repeated = frame["transaction_id"].duplicated(keep=False)
    if not repeated.any():
        return []
    distinct = frame[repeated].drop_duplicates()
    clashing = distinct.loc[distinct["transaction_id"].duplicated(keep=False), "transaction_id"]
    return _rows_where(frame["transaction_id"].isin(clashing), "transaction_id", "names two different payments")


def _rows_where(broken: "pd.Series[bool]", column: str, check: str) -> list[Finding]:
    positions = np.flatnonzero(broken.to_numpy(dtype=bool))
    return [Finding(column, check, len(positions), tuple(map(int, positions[:_SHOWN_ROWS])))] if len(positions) else []


def _set_aside(dataset: Dataset, day: date, findings: Iterable[Finding], folder: Path) -> None:
    """Move the day's files out of the dataset, transactions first: from then on the day does not count as present."""
    folder.mkdir(parents=True, exist_ok=True)
    found = list(findings)
    (folder / "report.json").write_text(json.dumps({"day": day.isoformat(), "findings": [asdict(f) for f in found]}, indent=2) + "\n")
    (folder / "report.txt").write_text(f"{day} was refused:\n" + "".join(f"- {finding}\n" for finding in found))
    for kind in _KINDS:
        if dataset.path(kind, day).exists():
            dataset.path(kind, day).replace(folder / f"{kind}.parquet")
