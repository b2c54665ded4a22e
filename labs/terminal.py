"""How facts look in a terminal: at most 80 columns (a table that needs them, 100), fine without colour. Used by the commands of `lab`."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 80
COLOURS = {"approve": "green", "review": "yellow", "decline": "red"}  # of a decision


def console(*, to_stderr: bool = False, width: int = WIDTH) -> Console:
    """A console never wider than `width` columns, so that a log reads like a screen; on stderr when stdout carries JSON."""
    plain = Console(highlight=False, stderr=to_stderr)
    return plain if plain.width <= width else Console(highlight=False, stderr=to_stderr, width=width)


def table(*headings: str) -> Table:
    """A quiet table: a rule under the headings and nothing else."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def print_json(facts: Any) -> None:
    """Facts for a program: one JSON document on standard output."""
    sys.stdout.write(json.dumps(facts, indent=2, default=str) + "\n")
