"""The tables of REFERENCE.md and the README's table of labs, made from the code.

`python -m tests.reference` writes them, tests/unit/test_docs.py compares.

A table follows its heading; the sentences between the two are written by hand and kept.
"""

import re
from collections.abc import Callable, Iterator
from inspect import getdoc
from math import isfinite
from pathlib import Path
from typing import Any, cast

from fastapi.routing import APIRoute
from prometheus_client.metrics_core import Metric
from typer.main import get_command

from data import errors
from data.adapters import ADAPTERS
from data.errors import LabError
from data.faults.features import CARD_BLOCK
from data.faults.mechanisms import MECHANISMS, Mechanism
from data.scenarios import SCENARIOS
from data.settings import REPOSITORY, Settings
from labs.cli import app
from labs.engine.course import Course
from labs.failures import Unexpected
from labs.work.gauges import WorkGauges, judgement_gauges, report_gauges, window_gauges
from labs.work.reports import Reports
from services.archive import Lag
from services.scoring import edge
from services.scoring.metrics import Metrics
from services.scoring.routes import Service, scoring_routes
from tests.work_facts import LOOK, WINDOW

REFERENCE = REPOSITORY / "REFERENCE.md"
README = REPOSITORY / "README.md"
Rows = list[tuple[str, ...]]


def verbs() -> Rows:
    """Each verb of the Makefile with its line of help."""
    found = re.findall(r"^([a-z-]+):.*?## (.*)$", (REPOSITORY / "Makefile").read_text(), re.M)
    return [("verb", "what it does"), *((f"`make {verb}`", text) for verb, text in found)]


def commands() -> Rows:
    """Each command of `lab` with the first line of its help."""
    return [("command", "what it does"), *((f"`lab {name}`", text) for name, text in _commands(get_command(app)))]


def _commands(group: Any, above: str = "") -> Iterator[tuple[str, str]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command.help.splitlines()[0]


def settings() -> Rows:
    """Each setting as the environment variable that it is."""
    rows: Rows = [("variable", "default", "meaning")]
    for name, field in Settings.model_fields.items():
        default = field.default.relative_to(REPOSITORY) if isinstance(field.default, Path) else field.default
        rows.append((f"`LAB_{name.upper()}`", f"`{default}`", field.description or ""))
    return rows


def failures() -> Rows:
    """Each failure that a user can meet."""
    rows: Rows = [("code", "exit status", "HTTP status", "meaning")]
    kinds = dict.fromkeys(value for module in (errors, edge) for value in vars(module).values() if _is_failure(value))
    return rows + [(f"`{k.code}`", str(k.exit_status), str(k.http_status), _first_line(k)) for k in (*kinds, Unexpected)]


def _is_failure(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, LabError)


def scenarios() -> Rows:
    """Each drift that can be injected."""
    rows: Rows = [("scenario", "catalogue", "what happens", "strength", "acts on", "must fire", "right decision")]
    return rows + [
        (
            f"`{s.name}`",
            s.catalogue_id,
            s.mechanism,
            f"{s.strength:g}: {s.strength_means}",
            s.acts_on,
            " ".join(f"`{d}`" for d in s.must_fire),
            " or ".join(f"`{a}`" for a in s.expected),
        )
        for s in SCENARIOS.values()
    ]


def mechanisms() -> Rows:
    """Each mechanism that a team's own drift may be composed of."""
    rows: Rows = [("mechanism", "what happens", "strength", "at most", "acts on", "columns")]
    return rows + [
        (f"`{m.name}`", m.what, m.strength_means, f"{m.most:g}" if isfinite(m.most) else "", m.layer, _columns(m))
        for m in MECHANISMS.values()
    ]


def _columns(mechanism: Mechanism) -> str:
    if mechanism.columns == CARD_BLOCK:
        return "the card's features"
    return " ".join(f"`{c}`" for c in mechanism.columns) + (" (may be chosen)" if mechanism.chooses else "")


def sources() -> Rows:
    """Each kind of data file that is recognised."""
    rows: Rows = [("file", "columns", "feeds the loop")]
    return rows + [(a.name, " ".join(f"`{c}`" for c in a.columns), "yes" if a.read else "no: benches only") for a in ADAPTERS]


def metrics() -> Rows:
    """Each Prometheus metric under the name that it is scraped by: the scoring service's, the archive's, those of `lab work`."""
    rows: Rows = [("metric", "kind", "labels", "meaning")]
    for made in (Metrics(), Lag()):
        labels = {c._name: c._labelnames for c in vars(made).values() if hasattr(c, "_labelnames")}  # the client offers no public way
        for metric in made.registry.collect():
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            rows.append((f"`{name}`", metric.type, " ".join(f"`{label}`" for label in labels.get(metric.name, ())), metric.documentation))
    for metric in _work():
        keys = getattr(metric, "_labelnames", ())  # as above
        rows.append((f"`{metric.name}`", metric.type, " ".join(f"`{key}`" for key in keys), metric.documentation))
    return rows


def _work() -> Iterator[Metric]:
    """What `lab work` shows once there is something to show."""
    yield from WorkGauges(Settings(home=Path("nowhere"), log_url="")).collect()
    yield from (*window_gauges(WINDOW), *judgement_gauges(LOOK), *report_gauges(Reports(0.0, 0.0, {"0.5": 0.0}, 0)))


def routes() -> Rows:
    """Each route of the scoring service."""
    found = [r for r in scoring_routes(cast(Service, None)).routes if isinstance(r, APIRoute)]
    return [("route", "what it does"), *((f"`{min(r.methods)} {r.path}`", r.description.splitlines()[0]) for r in found)]


def labs() -> Rows:
    """Each lab of the course."""
    rows: Rows = [("start", "lab", "the question behind it", "minutes", "points")]
    for lab in Course(Settings.model_fields["course"].default).labs:
        rows.append((f"`lab start {lab.short}`", f"{lab.id} {lab.title}", lab.question, str(lab.minutes), " ".join(lab.points)))
    return rows


TABLES: dict[str, Callable[[], Rows]] = {
    "Verbs": verbs, "Commands": commands, "Settings": settings, "Errors": failures, "Scenarios": scenarios, "Mechanisms": mechanisms,
    "Sources": sources, "Metrics": metrics, "Routes": routes,
}  # fmt: skip


def table(rows: Rows) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def section(text: str, heading: str) -> str:
    """What stands under `## heading`. Raises ValueError when nothing does."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if not found:
        raise ValueError(f"no section {heading}")
    return found[1]


def tables_in(text: str) -> list[str]:
    """Every Markdown table of a text, as it stands."""
    return re.findall(r"(?:^\|.*\|$\n?)+", text, re.M)


def _first_line(kind: type) -> str:
    return (getdoc(kind) or "").splitlines()[0]


def main() -> None:
    """Write every table anew."""
    text = REFERENCE.read_text()
    for heading, rows in TABLES.items():
        old = section(text, heading)
        prose = old.replace(tables_in(old)[0], "").strip() if tables_in(old) else old.strip()
        text = text.replace(f"## {heading}\n{old}", f"## {heading}\n\n{prose}\n\n{table(rows())}\n\n")
    REFERENCE.write_text(text.rstrip() + "\n")
    text = README.read_text()
    README.write_text(text.replace(tables_in(section(text, "Labs"))[0], f"{table(labs())}\n"))


if __name__ == "__main__":
    main()
