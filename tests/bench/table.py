"""How a bench shows what it measured: a table on the terminal, the same facts as JSON under LAB_HOME/bench, and its end."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from data.settings import Settings

PIPED_WIDTH = 160  # a log has no width of its own; rich would take 80 and break every cell


def publish(name: str, title: str, columns: list[str], rows: list[list[object]], facts: dict[str, Any]) -> None:
    """Print `rows` under `columns` and write them with `facts` to <home>/bench/<name>.json, replacing an earlier run."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)

    file = Settings.load().home / "bench" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {"title": title, "columns": columns, "rows": rows, **facts}
    file.write_text(json.dumps(facts, indent=2, default=str) + "\n")


def conclude(misses: Sequence[str]) -> int:
    """Say which goals were missed, and by how much, a line each; returns the exit status of the bench."""
    for miss in misses:
        sys.stdout.write(f"✗ {miss}\n")
    return int(bool(misses))
