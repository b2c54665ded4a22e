"""Where batch scoring writes: a folder that appears whole, under its name, or not at all.

    <out>/part-00000.parquet         the answers, in the order of the input; every part in SCORE_SCHEMA
    <out>/_quarantine/rows.parquet   the rows that could not be scored, as text, each with its place and the reason
    <out>/_summary.json              what was done; Parquet readers pass over names that begin with _

Until it is published everything is in `.<out>.<process>.partial` beside it. A killed run leaves that behind, and the next
run to the same place removes it and starts from the beginning. Only `pipelines/batch/scoring.py` uses it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import BadInput, DiskFull
from pipelines.batch.answers import SCORE_SCHEMA
from pipelines.lease import is_running, this_process

PART_ROWS: Final = 1_000_000  # of a part, give or take a piece
_STORED: Final = {  # ids never repeat: a dictionary of them costs as much as all the rest, and bytes on top
    "compression": "zstd", "use_dictionary": ["decision", "reasons.list.element", "model_version"],
}  # fmt: skip
_QUARANTINE: Final = Path("_quarantine") / "rows.parquet"
_SUMMARY: Final = "_summary.json"


class BatchOutput:
    """A folder in the making; leaving the block without `publish` removes it."""

    def __init__(self, out: Path) -> None:
        """Raises BadInput when something is there already."""
        self._out = out.absolute()
        require_free(self._out)
        _remove_leftovers(self._out)
        self._partial = self._out.with_name(f".{self._out.name}.{this_process()}.partial")
        self._part: pq.ParquetWriter | None = None
        self._part_rows = 0
        self._aside: pq.ParquetWriter | None = None
        self._parts = 0

    def __enter__(self) -> Self:
        with _disk(self._out):
            self._partial.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for writer in (self._part, self._aside):
            if writer is not None:
                writer.close()
        shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, answers: pa.Table) -> None:
        """Write answers, SCORE_SCHEMA, behind those before. Raises DiskFull."""
        with _disk(self._out):
            if self._part is None:
                name = f"part-{self._parts:05d}.parquet"
                self._part, self._part_rows = pq.ParquetWriter(self._partial / name, SCORE_SCHEMA, **_STORED), 0
                self._parts += 1
            self._part.write_table(answers)
            self._part_rows += answers.num_rows
            if self._part_rows >= PART_ROWS:
                self._part.close()
                self._part = None

    def set_aside(self, rows: pa.Table) -> None:
        """Write rows that could not be scored. Raises DiskFull."""
        with _disk(self._out):
            if self._aside is None:
                (self._partial / _QUARANTINE).parent.mkdir()
                self._aside = pq.ParquetWriter(self._partial / _QUARANTINE, rows.schema, compression="zstd")
            self._aside.write_table(rows)

    def publish(self, summary: dict[str, Any]) -> None:
        """Give the folder its name, with all of it on the disk. Raises DiskFull, and BadInput when another run was faster."""
        if self._parts == 0:
            self.add(SCORE_SCHEMA.empty_table())  # no rows are an answer, too
        with _disk(self._out):
            for writer in (self._part, self._aside):
                if writer is not None:
                    writer.close()
            self._part = self._aside = None
            (self._partial / _SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
            for path in (*self._partial.rglob("*"), self._partial):
                _sync(path)
            require_free(self._out)
            self._partial.rename(self._out)
            _sync(self._out.parent)


def require_free(out: Path) -> None:
    """Raises BadInput when something is at `out`: answers are never written over."""
    if os.path.lexists(out):
        raise BadInput(f"{out.name} is there already.", next_step="Choose another place, or delete that one first.", where=str(out))


def _remove_leftovers(out: Path) -> None:
    """What runs to this place left when they were killed; a run that goes on keeps its own."""
    name = re.compile(rf"\.{re.escape(out.name)}\.(\d+@[\d.]+)\.partial")  # as `this_process` says it
    for folder in out.parent.glob(".*.partial") if out.parent.is_dir() else ():
        if (found := name.fullmatch(folder.name)) and not is_running(found[1]):
            shutil.rmtree(folder)


@contextmanager
def _disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFull(
            f"{out.name} could not be written ({error.strerror or type(error).__name__}).",
            next_step="Free some space or choose another place, then run the same command again; nothing was left behind.",
            where=str(out),
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
