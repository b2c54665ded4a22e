"""`lab report`: the evidence report of the last demo, drawn again from its facts."""

from pathlib import Path

from data.settings import Settings
from labs.report.facts import DemoFacts
from labs.report.page import facts_file, page_file, write_report
from labs.terminal import console


def rewrite(out: Path | None) -> None:
    """Write the report to `out`, or to its usual place. Raises MissingFile before the first demo."""
    home = Settings.load().home
    page = write_report(DemoFacts.load(facts_file(home)), out or page_file(home))
    console().print(f"The evidence report is [bold]{page}[/]", soft_wrap=True)
