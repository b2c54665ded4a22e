"""Where an exercise's outcome rests: one JSON file and one page beside it."""

from pathlib import Path

from labs.exercises.contract import Exercise, to_bytes


def keep(outcome: Exercise, page: str, folder: Path) -> Path:
    """Write the outcome and its page into `folder`, under a name of their own; returns the page's file."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join((outcome.catalogue_id, outcome.scenario, *outcome.dose.replace(",", "").split()))
    (folder / f"{name}.json").write_bytes(to_bytes(outcome))
    file = folder / f"{name}.html"
    file.write_text(page, encoding="utf-8")
    return file
