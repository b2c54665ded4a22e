"""The few forms of HTML that the report is made of. Pure.

`text` escapes; every other function takes HTML that is safe already. Used by labs/report/sections.py.
"""

from collections.abc import Iterable
from html import escape
from math import isfinite

from labs.report.facts import Estimate


def text(value: str) -> str:
    """Any text, made safe."""
    return escape(value)


def number(value: float, digits: int) -> str:
    """A number with thousands separated; a dash for one that could not be computed."""
    return f"{value:,.{digits}f}" if isfinite(value) else "–"


def estimate(metric: Estimate, digits: int) -> str:
    """A metric with its interval in small figures below."""
    if metric.low is None or metric.high is None:
        return number(metric.value, digits)
    return f'{number(metric.value, digits)}<br><span class="note">{number(metric.low, digits)} – {number(metric.high, digits)}</span>'


def mark(good: bool, yes: str = "passed", no: str = "failed") -> str:
    """A tick or a cross, with the word for it for those who do not see it."""
    sign, kind, word = ("✓", "good", yes) if good else ("✗", "bad", no)
    return f'<span class="mark {kind}" role="img" aria-label="{word}">{sign}</span> '


def section(title: str, lead: str, *parts: str) -> str:
    """A section of the page; empty parts are left out."""
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{title}</h2>\n<p>{lead}</p>\n{body}\n</section>"


def figure(svg: str, caption: str) -> str:
    """A plot with its caption."""
    return f"<figure>\n{svg}<figcaption>{caption}</figcaption>\n</figure>"


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], numbers: Iterable[int] = ()) -> str:
    """A table whose columns `numbers` are aligned to the right; on a narrow screen it scrolls by itself."""
    right = frozenset(numbers)
    kinds = [' class="number"' if i in right else "" for i in range(len(headings))]
    head = "".join(f'<th scope="col"{kind}>{heading}</th>' for heading, kind in zip(headings, kinds, strict=True))
    body = "\n".join("<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def pairs(named: Iterable[tuple[str, str]]) -> str:
    """Names and what is said of them, in two columns."""
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in named) + "</dl>"
