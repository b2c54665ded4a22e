"""Markdown and progress in a terminal: 80 columns, headings at the left, fine without colour."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text


class _LeftHeading(Heading):
    """rich centres headings and draws a box around the first; a guide reads better plain."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.text.plain, style="bold" if self.tag in ("h1", "h2") else "bold dim")


class _Guide(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "heading_open": _LeftHeading}


def print_markdown(out: Console, text: str) -> None:
    """One Markdown text. A blank that has a line to itself is no rule across the page."""
    text = re.sub(r"(?m)^(\s*)(_{3,}\s*)$", r"\1\\\2", text)
    out.print(_Guide(text, code_theme="ansi_dark", hyperlinks=False))


@contextmanager
def way(out: Console) -> Iterator[Callable[[str, float], None]]:
    """A bar that leaves no trace; tell it what is done now, and the share of the way behind. Without a terminal, a line for each thing."""
    if not out.is_terminal:
        yield lambda what, _: out.print(f"[dim]{escape(what)}[/]")
        return
    columns = (BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, behind: progress.update(task, description=escape(what), completed=behind)
