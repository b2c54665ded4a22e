"""How the demo tells what happens: a heading per step, a line per thing that happened, a bar where it takes long.

Told on standard output for a person; with `--json` it goes to standard error, and standard output carries the facts alone.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from data.errors import StepFailed
from labs.report.facts import Step
from labs.terminal import WIDTH


class Story:
    """The terminal side of one run. `steps` holds what is over, for the report."""

    def __init__(self, *, to_stderr: bool) -> None:
        plain = Console(highlight=False, stderr=to_stderr)
        self.console = plain if plain.width <= WIDTH else Console(highlight=False, stderr=to_stderr, width=WIDTH)
        self.steps: list[Step] = []
        self.started = time.monotonic()
        self._summary = ""

    @property
    def seconds(self) -> float:
        """Since the run began, by the wall."""
        return time.monotonic() - self.started

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One numbered step; a failure inside is recorded and passes through."""
        began = time.monotonic()
        self.console.print(f"\n[bold]{len(self.steps) + 1}  {name}[/]")
        self._summary = ""
        try:
            yield
        except BaseException:
            self.steps.append(Step(name, self._summary, time.monotonic() - began, passed=False))
            raise
        took = time.monotonic() - began
        self.steps.append(Step(name, self._summary, took, passed=True))
        self.console.print(f"  [dim]{took:.1f} s[/]")

    def say(self, text: str) -> None:
        """One thing that happened; the last one of a step is its line in the report."""
        self._summary = Text.from_markup(text).plain
        self.console.print(Padding(f"[green]·[/] {text}", (0, 0, 0, 2), expand=False))

    def note(self, text: str) -> None:
        """A detail that a reader may skip."""
        self.console.print(Padding(f"[dim]{text}[/]", (0, 0, 0, 4), expand=False))

    def show(self, rows: Table) -> None:
        """Several things side by side."""
        self.console.print(Padding(rows, (0, 0, 0, 4), expand=False))

    def expect(self, condition: bool, promise: str, found: str) -> None:
        """Go on when the step did what it says; otherwise raise StepFailed with what was found instead."""
        if not condition:
            raise StepFailed(
                f"Expected: {promise}. Found: {found}.",
                next_step="The report so far is written; `lab doctor` looks for the usual causes, `lab demo` runs it again.",
                where=promise,
            )

    @contextmanager
    def bar(self, text: str, total: float) -> Iterator[Progress]:
        """A progress bar that leaves no trace; advance task 0."""
        columns = (TextColumn("  [dim]{task.description}"), BarColumn(24), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            progress.add_task(text, total=total)
            yield progress
