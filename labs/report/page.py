"""Puts the evidence report together: one HTML file without scripts or anything to fetch."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from labs.report.facts import DemoFacts
from labs.report.sections import SECTIONS

_HERE = Path(__file__).parent


def facts_file(home: Path) -> Path:
    """Where the facts of the last demo rest."""
    return home / "evidence" / "facts.json"


def page_file(home: Path) -> Path:
    """Where its report rests."""
    return home / "evidence" / "report.html"


def write_report(facts: DemoFacts, path: Path) -> Path:
    """Draw `facts` into one self-contained page at `path` (whole or not at all) and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(render(facts), encoding="utf-8")
    partial.replace(path)
    return path


def render(facts: DemoFacts) -> str:
    """The page as text. Parts that the demo did not reach are left out."""
    return document("Evidence report", (section(facts) for section in SECTIONS))


def document(title: str, parts: Iterable[str], style: str = "") -> str:
    """A page of these parts, empty ones left out, in the report's dress and, after it, `style`. Other pages of the lab use it too."""
    dress = (_HERE / "page.css").read_text() + style
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{dress}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )
