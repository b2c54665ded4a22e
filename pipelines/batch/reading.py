"""Parquet that is larger than memory, read a piece at a time: what batch scoring takes in.

A source is a file, a folder of files (read in the order of their names) or a dataset of days. Every file's columns and
types are checked before the first row is read, so that a run does not fail on the last file. Reading is buffered: a row
group of any size costs no more memory than a small one. Only `pipelines/batch/scoring.py` uses it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.dataset import Dataset, Kind, arrow_schema
from data.errors import BadInput, MissingFile
from data.features import FEATURES

_BUFFER_BYTES: Final = 1 << 20  # per column; as fast as whole column chunks, which grow with the row group
_LEVELS: Final = pa.dictionary(pa.int32(), pa.string())
_REPEATED: Final = ("card_id", "terminal_id", "currency", "channel", "category", "device_id")  # few distinct texts: kept as codes

PAYMENT_SCHEMA: Final = pa.schema([f.with_type(_LEVELS) if f.name in _REPEATED else f for f in arrow_schema("transactions")])
FEATURE_SCHEMA: Final = pa.schema([("transaction_id", pa.string()), *((name, pa.float64()) for name in FEATURES)])
REPORT_SCHEMA: Final = pa.schema([f for f in arrow_schema("labels") if f.name in ("transaction_id", "report_time", "is_fraud")])


@dataclass(frozen=True)
class Piece:
    """Rows of one file, in order."""

    file: Path
    first_row: int  # its place in the file
    rows: pa.Table  # in the schema asked for; values unchecked


class ParquetSource:
    """Files with the columns of one schema; other columns are left unread."""

    def __init__(self, path: Path, schema: pa.Schema, kind: Kind = "transactions") -> None:
        """Find the files and check their columns; `kind` is read of a dataset. Raises MissingFile, and BadInput naming file and column."""
        self.files = _find(path, kind)
        self._schema = schema
        self.row_count = sum(_checked_rows(file, schema) for file in self.files)

    def pieces(self, rows: int) -> Iterator[Piece]:
        """All rows, at least `rows` to a piece but for the last of a file, and fewer than twice as many. Raises BadInput."""
        for file in self.files:
            first_row, waiting = 0, []
            for batch in self._batches(file, rows):
                waiting.append(batch)
                if sum(one.num_rows for one in waiting) >= rows:
                    yield self._piece(file, first_row, waiting)
                    first_row, waiting = first_row + sum(one.num_rows for one in waiting), []
            if waiting:
                yield self._piece(file, first_row, waiting)

    def _batches(self, file: Path, rows: int) -> Iterator[pa.RecordBatch]:
        levels = [field.name for field in self._schema if field.type == _LEVELS]
        try:
            with pq.ParquetFile(file, read_dictionary=levels, buffer_size=_BUFFER_BYTES, pre_buffer=False) as opened:
                batches = opened.iter_batches(batch_size=rows, columns=self._schema.names, use_threads=False)
                yield from (batch for batch in batches if batch.num_rows)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(file) from error

    def _piece(self, file: Path, first_row: int, batches: Sequence[pa.RecordBatch]) -> Piece:
        table = pa.Table.from_batches(batches)
        columns = [_cast(table[field.name], field, file) for field in self._schema]
        return Piece(file, first_row, pa.table(columns, self._schema).unify_dictionaries().combine_chunks())


def _find(path: Path, kind: Kind) -> list[Path]:
    """The files of a source, in order. Names that begin with _ or . are not data, as everywhere with Parquet."""
    if path.is_file():
        return [path]
    root = path / kind if Dataset(path).days() else path
    files = [f for f in sorted(root.rglob("*.parquet")) if not any(part[0] in "._" for part in f.relative_to(root).parts)]
    if not files:
        what = "holds no Parquet file" if path.is_dir() else "is not there"
        raise MissingFile(f"{path.name} {what}.", next_step="Name a Parquet file, or a folder of them.", where=str(path))
    return files


def _checked_rows(file: Path, schema: pa.Schema) -> int:
    """How many rows the file has, once its columns are right."""
    try:
        with pq.ParquetFile(file) as opened:
            present, rows = opened.schema_arrow, int(opened.metadata.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file) from error
    missing = [name for name in schema.names if name not in present.names]
    if missing:
        raise _refused(file, missing[0], f"lacks the column{'s' * (len(missing) > 1)} {_listed(missing)}")
    for field in schema:
        if present.names.count(field.name) > 1:
            raise _refused(file, field.name, f"has two columns {field.name}")
        found = present.field(field.name).type
        if not _becomes(found, field.type):
            raise _refused(file, field.name, f"has {field.name} as {found}, not as {_words(field.type)}")
    return rows


def _becomes(found: Any, wanted: Any) -> bool:
    """Whether a stored type holds the values of the wanted one, unrounded."""
    kind = found.value_type if pa.types.is_dictionary(found) else found
    if pa.types.is_null(kind):  # a column without any value
        return True
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(kind) and kind.tz is not None)
    if pa.types.is_floating(wanted):  # float32 has been rounded: its scores would not be those of the service
        return bool(pa.types.is_float64(kind) or pa.types.is_integer(kind))
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(kind))
    if pa.types.is_boolean(wanted):
        return bool(pa.types.is_boolean(kind))
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _words(wanted: Any) -> str:
    if pa.types.is_timestamp(wanted):
        return "a timestamp with a time zone"
    return str(wanted.value_type if pa.types.is_dictionary(wanted) else wanted)


def _cast(column: pa.ChunkedArray, field: pa.Field, file: Path) -> pa.ChunkedArray:
    if column.type == field.type:
        return column
    try:
        if pa.types.is_dictionary(field.type):
            return column.cast(pa.string()).dictionary_encode()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        # Finer times are cut to milliseconds, as the service cuts them; numbers must fit.
        return pc.cast(column, field.type, safe=not pa.types.is_timestamp(field.type))
    except pa.ArrowException as error:
        raise _refused(file, field.name, f"has a {field.name} that does not fit into {_words(field.type)}") from error


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _damaged(file: Path) -> BadInput:
    return BadInput(f"{file.name} is damaged, or no Parquet file.", next_step="Write it again, then run the same command.", where=str(file))


def _refused(file: Path, column: str, why: str) -> BadInput:
    return BadInput(f"{file.name} {why}.", next_step="Correct the file, then run the same command again.", where=f"{file}: {column}")
