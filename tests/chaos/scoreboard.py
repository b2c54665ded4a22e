"""One row per promise kept or broken: a table for people, JSON for the console and CI."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """What one test counted. `figure` is a short text with its unit, such as `p99 x1.2`."""

    promise: int
    name: str
    n: int
    failures: int
    figure: str
    kept: bool


class Scoreboard:
    """Collects rows; a row that says a promise was broken also fails its test."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows = list(rows)

    def record(self, *, promise: int, name: str, n: int, failures: int, figure: str, passed: bool) -> None:
        """Add a row. Raises AssertionError, once it is on the board, when the promise was not kept."""
        self.rows.append(Row(promise, name, n, failures, figure, passed))
        assert passed, f"promise {promise}, {name}: {failures} failures of {n}; {figure}"

    def table(self) -> str:
        """All rows by promise, as aligned text."""
        head = ("promise", "what", "N", "failures", "figure", "kept")
        cells = [head, *(_cells(row) for row in sorted(self.rows, key=lambda row: (row.promise, row.name)))]
        widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
        return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)

    def write(self, file: Path, *, tier: str) -> None:
        """The same as JSON, whole or not at all."""
        rows = [asdict(row) for row in sorted(self.rows, key=lambda row: (row.promise, row.name))]
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps({"tier": tier, "kept": all(row.kept for row in self.rows), "rows": rows}, indent=1) + "\n")
        partial.replace(file)


def _cells(row: Row) -> tuple[str, ...]:
    return str(row.promise), row.name, f"{row.n:,}", f"{row.failures:,}", row.figure, "yes" if row.kept else "NO"
