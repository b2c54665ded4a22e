"""Markdown in a terminal: 80 columns, headings at the left, fine without colour."""

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.text import Text


class _LeftHeading(Heading):
    """rich centres headings and draws a box around the first; a guide reads better plain."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.text.plain, style="bold" if self.tag in ("h1", "h2") else "bold dim")


class _Guide(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "heading_open": _LeftHeading}


def print_markdown(out: Console, text: str) -> None:
    """One Markdown text."""
    out.print(_Guide(text, code_theme="ansi_dark", hyperlinks=False))
