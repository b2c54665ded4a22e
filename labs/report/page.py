"""Puts the evidence report together: one HTML file without scripts or anything to fetch."""

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
    parts = [section(facts) for section in SECTIONS]
    style = (_HERE / "page.css").read_text()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Evidence report</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )
