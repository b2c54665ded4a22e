"""Files that nobody here made become a Dataset, so that the same loop runs on them. For ingest and the benches.

Parquet and CSV are read. The adapter is found by the column names (data/adapters.py). Amounts become minor units, labels are
reported a fixed delay after the payment, and only frauds are reported: silence means genuine, as with chargebacks.
An import is whole or it is not there: until it has finished the dataset has no `source.json`, and starting it again
after a kill completes it. Importing the same bytes and span again does nothing.
"""

import csv
import hashlib
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from data.adapters import ADAPTERS, Adapter, Payments, refuse
from data.dataset import Dataset, Kind
from data.errors import BadInput, EmptyWindow, MissingFile, UnknownSource
from data.schema import CURRENCY, TRANSACTION_COLUMNS

DAY_MS: Final = 86_400_000
FORMAT: Final = 1  # raise when the same bytes would become other rows
_PARQUET_MAGIC: Final = b"PAR1"


@dataclass(frozen=True)
class SourceFacts:
    """Where a dataset came from; kept in its `source.json`. Equal facts mean equal rows."""

    source: str  # the adapter's name
    file: str  # name without its folder: the bytes are identified by their digest
    sha256: str
    first: date
    days: int
    label_delay_days: int
    rows: int
    frauds: int
    left_out: int  # rows of the span without a label, or with an amount of zero
    notes: tuple[str, ...]
    format: int = FORMAT


def import_file(
    path: Path, dataset: Dataset, *, first: date | None = None, days: int | None = None, label_delay_days: int = 7
) -> SourceFacts:
    """Read the payments of `path` on [first, first + days) into `dataset`; without a span, all of them.

    Raises MissingFile, UnknownSource (columns of no adapter, or of one that cannot feed the loop), BadInput (a value that
    does not fit, or a dataset that already holds something else) and EmptyWindow (no payment in the span). Nothing is
    written before all rows are checked.
    """
    if days is not None and days < 1:
        raise BadInput("The number of days must be at least 1.", next_step="Leave it out to import every day.", where="days")
    request = {
        "sha256": file_digest(path), "asked_first": str(first), "asked_days": days, "label_delay_days": label_delay_days, "format": FORMAT,
    }  # fmt: skip
    finished = _finished(dataset, request)
    if finished is not None:
        return finished
    table = read_table(path)
    adapter = find_adapter(table.column_names)
    if adapter.read is None:
        raise UnknownSource(
            f"{path.name} is the {adapter.name} table: without card, terminal and calendar there is no history to build.",
            next_step="Use it with `python -m tests.bench.ulb`; for the loop give a table with card and terminal ids.",
            where=path.name,
        )
    payments = adapter.read(table)
    tables, left_out = _tables(payments, first, days, label_delay_days)
    present = sorted(tables)
    facts = SourceFacts(
        source=adapter.name,
        file=path.name,
        sha256=str(request["sha256"]),
        first=present[0],
        days=(present[-1] - present[0]).days + 1,
        label_delay_days=label_delay_days,
        rows=sum(t["transactions"].num_rows for t in tables.values()),
        frauds=sum(t["labels"].num_rows for t in tables.values()),
        left_out=left_out,
        notes=payments.notes,
    )
    _write(dataset, request, tables, facts)
    return facts


def find_adapter(columns: list[str]) -> Adapter:
    """The adapter whose columns are all there. Raises UnknownSource naming what was found and what the nearest one misses."""
    for adapter in ADAPTERS:
        if set(adapter.columns) <= set(columns):
            return adapter
    nearest = max(ADAPTERS, key=lambda a: len(set(a.columns) & set(columns)) / len(a.columns))
    missing = [name for name in nearest.columns if name not in columns]
    shown = ", ".join(columns[:12]) + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
    raise UnknownSource(
        f"The columns fit no known table. Found: {shown}. The nearest is {nearest.name}, which also needs: {', '.join(missing)}.",
        next_step=f"Known tables: {', '.join(a.name for a in ADAPTERS)}; rename or add the columns.",
        where="columns",
    )


def read_table(path: Path) -> pa.Table:
    """A Parquet or CSV file as Arrow; CSV cells stay text until an adapter asks for more. Raises BadInput for anything else."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        table = pq.ParquetFile(path).read() if start == _PARQUET_MAGIC else _read_csv(path)
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError, csv.Error):
        raise BadInput(
            f"{path.name} can be read neither as Parquet nor as CSV: it is damaged, cut short or something else.",
            next_step="Give a Parquet file, or a CSV file in UTF-8 with a header line.",
            where=path.name,
        ) from None
    if table.num_rows == 0:
        raise BadInput(f"{path.name} holds no rows.", next_step="Give a file with payments in it.", where=path.name)
    if repeated := [name for name, times in Counter(table.column_names).items() if times > 1]:
        raise BadInput(
            f"{path.name} has {repeated[0]} more than once among its columns.", next_step="Rename or remove one.", where=repeated[0]
        )
    # One kind of text, however the writer kept it.
    fields = [f.with_type(pa.string()) if pa.types.is_large_string(f.type) or pa.types.is_dictionary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes. Raises MissingFile when it is not there, not readable or a folder."""
    if path.is_dir():
        raise MissingFile(
            f"{path.name} is a folder.",
            next_step="Give one Parquet or CSV file; day files of pickled frames must be joined and saved as Parquet first.",
            where=str(path),
        )
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MissingFile(
            f"{path.name} cannot be read ({(error.strerror or 'input/output error').lower()}).",
            next_step="Check the path given with --data.",
            where=str(path),
        ) from error


def _read_csv(path: Path) -> pa.Table:
    """All cells as text, empty ones as null. Raises BadInput for a row longer or shorter than the header, and what the readers raise."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = [name.strip() or f"unnamed {number}" for number, name in enumerate(next(reader, [""]), 1)]
        header_lines = reader.line_num
    if not any(char.isalpha() for char in "".join(names)) or "\x00" in "".join(names):
        raise pa.ArrowInvalid("no header")
    odd: list[arrow_csv.InvalidRow] = []

    def stop(row: arrow_csv.InvalidRow) -> str:
        odd.append(row)
        return "error"

    def read(*, threads: bool) -> pa.Table:
        return arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=header_lines, use_threads=threads),
            parse_options=arrow_csv.ParseOptions(invalid_row_handler=stop),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=["", "NaN", "nan"]
            ),
        )

    try:
        return read(threads=True)
    except pa.ArrowInvalid:
        if not odd:
            raise
    odd.clear()
    with suppress(pa.ArrowInvalid):  # again, as only one thread alone knows the row's number
        read(threads=False)
    row = odd[0]
    raise BadInput(
        f"{path.name} has {row.actual_columns} cells in row {row.number - header_lines}, and {row.expected_columns} in its header.",
        next_step="Correct the row, or save the table as Parquet.",
        where=path.name,
    )


def _tables(payments: Payments, first: date | None, days: int | None, delay_days: int) -> tuple[dict[date, dict[Kind, pa.Table]], int]:
    """Checked tables per day, in order of event time, and how many rows of the span were left out."""
    day = payments.time_ms // DAY_MS
    start = day.min() if first is None else (first - date(1970, 1, 1)).days
    inside = (day >= start) & (day < start + days if days is not None else True)
    minor = np.rint(payments.amount * 100).astype(np.int64)
    usable = inside & payments.known & (minor > 0)
    if not usable.any():
        have = [date(1970, 1, 1) + timedelta(int(d)) for d in (day.min(), day.max())]
        raise EmptyWindow(
            f"No usable payment in the span asked for; the file holds {have[0]} to {have[1]}.",
            next_step="Choose a span inside it, or none to import everything.",
            where="first",
        )
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(payments.time_ms[rows], kind="stable")]
    _refuse_repeats(payments.transaction_id, rows)
    transactions, truth = _transactions(payments, minor, rows), _truth(payments, rows)
    reports = _labels(transactions, delay_days)
    labels_at, fraud = np.cumsum(payments.is_fraud[rows]), pa.array(payments.is_fraud[rows])
    labels = reports.filter(fraud)
    ends = np.append(np.flatnonzero(np.diff(day[rows])) + 1, len(rows))
    found: dict[date, dict[Kind, pa.Table]] = {}
    begin = reported = 0
    for end in map(int, ends):
        known = int(labels_at[end - 1])
        found[date(1970, 1, 1) + timedelta(int(day[rows[begin]]))] = {
            "transactions": transactions.slice(begin, end - begin),
            "labels": labels.slice(reported, known - reported),
            "truth": truth.slice(begin, end - begin),
        }
        begin, reported = end, known
    return found, int(inside.sum() - usable.sum())


def _refuse_repeats(ids: pa.Array, rows: NDArray[np.int64]) -> None:
    """A transaction id is one payment; a repeated one is a broken file, not a retry."""
    chosen = ids.take(pa.array(rows)).dictionary_encode()
    if len(chosen.dictionary) < len(chosen):
        codes = chosen.indices.to_numpy()
        repeated = np.ones(len(ids), dtype=bool)
        repeated[rows[np.unique(codes, return_index=True)[1]]] = False
        outside = np.ones(len(ids), dtype=bool)
        outside[rows] = False
        refuse(repeated & ~outside, "transaction id", "repeats an earlier one")


def _transactions(payments: Payments, minor: NDArray[np.int64], rows: NDArray[np.int64]) -> pa.Table:
    take = pa.array(rows)
    n = len(rows)
    columns: dict[str, Any] = {
        "transaction_id": payments.transaction_id.take(take),
        "event_time": pa.array(payments.time_ms[rows]).cast(pa.timestamp("ms", tz="UTC")),
        "card_id": payments.card_id.take(take),
        "terminal_id": payments.terminal_id.take(take),
        "amount_minor": minor[rows],
        "currency": pa.repeat(CURRENCY, n),
        "channel": pa.repeat("unknown", n),
        "category": pa.repeat("unknown", n),
        "latitude": pa.nulls(n, pa.float64()),
        "longitude": pa.nulls(n, pa.float64()),
        "device_id": pa.nulls(n, pa.string()),
    }
    columns |= {name: column.take(take) for name, column in payments.optional.items()}
    return pa.table({name: columns[name] for name in TRANSACTION_COLUMNS})


def _truth(payments: Payments, rows: NDArray[np.int64]) -> pa.Table:
    take = pa.array(rows)
    kind = pa.nulls(len(rows), pa.string()) if payments.campaign_kind is None else payments.campaign_kind.take(take)
    return pa.table(
        {
            "transaction_id": payments.transaction_id.take(take),
            "is_fraud": payments.is_fraud[rows],
            "campaign_id": pa.nulls(len(rows), pa.string()),
            "campaign_kind": kind,
        }
    )


def _labels(transactions: pa.Table, delay_days: int) -> pa.Table:
    """A fraud report for every row; the caller keeps those of frauds."""
    times = transactions["event_time"].cast(pa.int64()).to_numpy() + delay_days * DAY_MS
    n = transactions.num_rows
    return pa.table(
        {
            "transaction_id": transactions["transaction_id"],
            "event_time": transactions["event_time"],
            "report_time": pa.array(times).cast(pa.timestamp("ms", tz="UTC")),
            "is_fraud": pa.repeat(True, n),
            "source": pa.repeat("chargeback", n),
        }
    )


def _finished(dataset: Dataset, request: dict[str, Any]) -> SourceFacts | None:
    """The facts of an equal import that finished, or None when there is none yet. Raises BadInput when the place is taken.

    An import of which days are missing, because they broke the schema and were set aside, has not finished; the file may be
    another one by now.
    """
    taken = BadInput(
        f"{dataset.root} already holds other data.",
        next_step="Delete that folder and run the same command again, or give the file another name.",
        where=str(dataset.root),
    )
    try:
        found = dataset.description()
    except MissingFile:
        if dataset.days() and not _marker(dataset).exists():
            raise taken from None
        return None
    if set(found.get("written", ())) - {day.isoformat() for day in dataset.days()}:
        _marker(dataset).touch()
        return None
    if found.get("request") != request:
        raise taken
    facts = {name: found[name] for name in SourceFacts.__dataclass_fields__}
    return SourceFacts(**facts | {"first": date.fromisoformat(facts["first"]), "notes": tuple(facts["notes"])})


def _marker(dataset: Dataset) -> Path:
    """Its presence says that the days here are of an import that has not finished."""
    return dataset.root / "importing"


def _write(dataset: Dataset, request: dict[str, Any], tables: dict[date, dict[Kind, pa.Table]], facts: SourceFacts) -> None:
    """Days first, `source.json` last. Days of an import that was killed go first: it may have been of another span."""
    marker = _marker(dataset)
    if marker.exists():
        for kind in ("transactions", "labels", "truth"):
            shutil.rmtree(dataset.root / kind, ignore_errors=True)
    dataset.root.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for day, kinds in tables.items():
        dataset.write_day(day, kinds)
    dataset.describe(asdict(facts) | {"request": request, "written": [day.isoformat() for day in tables]})
    marker.unlink()
