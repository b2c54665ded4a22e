"""A dataset on disk: one Parquet file per day and kind, so that any span of days is read without the rest.

    <root>/transactions/2026-01-05.parquet   what was paid, in order of arrival (event time)
    <root>/labels/2026-01-05.parquet         what becomes known about that day's payments, and when
    <root>/truth/2026-01-05.parquet          the answers; only for judging the world and the monitors
    <root>/source.json                       where the rows came from, and their digest

Days are written to a temporary name and renamed, so a killed writer leaves no half day.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import DiskFull, EmptyWindow, MissingFile
from data.partial import partial_of
from data.schema import LABEL_COLUMNS, TRANSACTION_COLUMNS, TRUTH_COLUMNS

Kind = Literal["transactions", "labels", "truth"]
_A_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].parquet"
_COLUMNS = {"transactions": TRANSACTION_COLUMNS, "labels": LABEL_COLUMNS, "truth": TRUTH_COLUMNS}


def arrow_schema(kind: Kind) -> pa.Schema:
    """The on-disk schema of one kind of file. Categories rest as strings; Parquet encodes them as dictionaries."""
    types = {
        "str": pa.string(),
        "category": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "datetime64[ms, UTC]": pa.timestamp("ms", tz="UTC"),
    }
    return pa.schema([pa.field(name, types[dtype], nullable) for name, (dtype, nullable) in _COLUMNS[kind].items()])


class Dataset:
    """Days of transactions, labels and truth under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def days(self) -> list[date]:
        """The days present, in order. A day counts once its transactions are there (they are written last)."""
        return sorted(date.fromisoformat(file.stem) for file in (self.root / "transactions").glob(_A_DAY))

    def path(self, kind: Kind, day: date) -> Path:
        return self.root / kind / f"{day.isoformat()}.parquet"

    def write_day(self, day: date, tables: dict[Kind, pa.Table]) -> None:
        """Write one day, each file whole or not at all. Raises DiskFull; an earlier version of the day then stays."""
        for kind in sorted(tables, key=lambda k: k == "transactions"):
            target = self.path(kind, day)
            target.parent.mkdir(parents=True, exist_ok=True)
            schema = arrow_schema(kind).with_metadata(tables[kind].schema.metadata)  # a maker may leave its mark
            table = tables[kind].cast(schema)
            _write_whole(target, lambda partial, table=table: pq.write_table(table, partial, compression="zstd"))  # type: ignore[misc]

    def read(self, kind: Kind, start: date, end: date) -> pd.DataFrame:
        """Rows of days in [start, end), in order. Raises EmptyWindow when no such day is there."""
        files = [self.path(kind, day) for day in self.days() if start <= day < end]
        if not files:
            have = self.days()
            raise EmptyWindow(
                f"No {kind} between {start} and {end} in {self.root}"
                + (f"; it holds {have[0]} to {have[-1]}." if have else "; it is empty."),
                next_step="Choose a window inside that span, or run `lab train` to make the data.",
                where=kind,
            )
        categories = [name for name, (dtype, _) in _COLUMNS[kind].items() if dtype == "category"]
        schema = arrow_schema(kind)
        tables = [pq.read_table(f, schema=schema, read_dictionary=categories, partitioning=None) for f in files]
        return to_frame(pa.concat_tables(tables).unify_dictionaries(), kind)

    def labels_known_by(self, moment: datetime, start: date, end: date) -> pd.DataFrame:
        """Labels of payments in [start, end) that had been reported by `moment`, in order of report."""
        labels = self.read("labels", start, end)
        known = labels[labels["report_time"] <= pd.Timestamp(moment)]
        return known.sort_values(["report_time", "transaction_id"], kind="stable", ignore_index=True)

    def digest(self, start: date, end: date) -> str:
        """SHA-256 over the bytes of the transaction and label files of [start, end): the identity of training data."""
        whole = hashlib.sha256()
        for day in self.days():
            if start <= day < end:
                for kind in ("transactions", "labels"):
                    whole.update(f"{kind}/{day}".encode())
                    whole.update(hashlib.sha256(self.path(kind, day).read_bytes()).digest())
        return whole.hexdigest()

    def describe(self, facts: dict[str, Any]) -> None:
        """Record where the rows came from. Raises DiskFull; an earlier record then stays."""
        self.root.mkdir(parents=True, exist_ok=True)
        text = json.dumps(facts, indent=2, sort_keys=True, default=str) + "\n"
        _write_whole(self.root / "source.json", lambda partial: partial.write_text(text))

    def description(self) -> dict[str, Any]:
        """What `describe` recorded. Raises MissingFile when the dataset was never finished."""
        file = self.root / "source.json"
        if not file.exists():
            raise MissingFile(f"{self.root} holds no finished dataset.", next_step="Run `lab train` to make it.", where=str(file))
        facts: dict[str, Any] = json.loads(file.read_text())
        return facts


def _write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, then give it its own. Raises DiskFull; an earlier file then stays."""
    partial = partial_of(target)
    try:
        write(partial)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DiskFull(
            f"{target} could not be written ({error.strerror}).",
            next_step="Free some space or point LAB_HOME at another disk, then run the same command again.",
            where=str(target),
        ) from error


def to_frame(table: pa.Table, kind: Kind) -> pd.DataFrame:
    """An Arrow table as the pandas frame described by the schema (dtypes exactly as declared)."""
    frame: pd.DataFrame = table.to_pandas()
    return frame.astype({name: dtype for name, (dtype, _) in _COLUMNS[kind].items() if str(frame[name].dtype) != dtype and dtype != "str"})


def to_table(frame: pd.DataFrame, kind: Kind) -> pa.Table:
    """The reverse: a frame as an Arrow table with the declared columns only."""
    columns: Iterable[str] = _COLUMNS[kind]
    return pa.Table.from_pandas(frame[list(columns)], preserve_index=False).cast(arrow_schema(kind))
