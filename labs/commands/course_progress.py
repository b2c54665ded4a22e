"""`lab` alone, `lab list` and `lab points`: where the learner is, what there is, and which talking points it covers."""

from typing import Any

from labs.commands.course import shown
from labs.engine.course import Lab
from labs.engine.desk import Desk
from labs.engine.points import coverage
from labs.engine.progress import Progress
from labs.terminal import console, print_json, table


def home() -> None:
    """One screen: where am I, what is next."""
    desk = Desk.open()
    progress, labs = desk.progress, desk.course.labs
    done = [lab for lab in labs if progress.of(lab).done(lab)]
    left = [lab for lab in labs if lab not in done]
    out = console()
    out.print(f"[bold]{desk.course.title}[/]\n{desk.course.about}\n")
    current = desk.upcoming
    if current is not None and current.id == progress.current:
        out.print(f"You are at   [bold]{current.id} {current.title}[/], {_far(progress, current)}, in {shown(desk.workspace, current)}/")
        out.print(
            f"What is next [bold]lab check {current.short}[/], or [bold]lab hint {current.short}[/], or [bold]lab guide {current.short}[/]"
        )
    elif current is not None:
        out.print(f"What is next [bold]lab start {current.short}[/]: {current.title}, about {current.minutes} minutes")
    minutes = sum(lab.minutes for lab in left)
    out.print(f"So far       {len(done)} of {len(labs)} labs passed" + (f"; about {_hours(minutes)} to go" if left else ""))
    out.print("\nAll labs: [bold]lab list[/]   servers: [bold]lab status[/]   help: [bold]lab -h[/]   trouble: [bold]lab doctor[/]")


def list_labs(*, as_json: bool) -> None:
    """Every lab, its time and how far the learner is."""
    desk = Desk.open()
    progress = desk.progress
    if as_json:
        print_json([_facts(lab, progress) for lab in desk.course.labs])
        return
    rows = table("lab", "", "minutes", "", "the question behind it")
    for lab in desk.course.labs:
        rows.add_row(lab.short, lab.title, str(lab.minutes), _far(progress, lab), lab.question)
    out = console(width=100)
    out.print(rows)
    out.print("\nAny lab can be the first: [bold]lab start[/] and its number.")


def points(*, as_json: bool) -> None:
    """Each talking point: the lab that makes it concrete, or the one it waits for."""
    desk = Desk.open()
    found = coverage(desk.course)
    if as_json:
        print_json([one._asdict() for one in found])
        return
    if not found:
        console().print("This course names no talking points; its points.toml would.")
        return
    rows = table("point", "", "lab", "what it is about")
    for one in found:
        rows.add_row(one.id, "[green]✓[/]" if one.covered_by else "[dim]waits[/]", ", ".join(one.covered_by) or one.lab, one.title)
    out = console(width=100)
    out.print(rows)
    covered = sum(bool(one.covered_by) for one in found)
    out.print(f"\n{covered} of {len(found)} talking points are covered; {len(found) - covered} wait for later labs.")


def _facts(lab: Lab, progress: Progress) -> dict[str, Any]:
    told = lab.model_dump(include={"id", "title", "question", "minutes", "points", "needs"})
    return told | {"folder": lab.name, "checks": [check.name for check in lab.checks], "passed": progress.of(lab).passed}


def _far(progress: Progress, lab: Lab) -> str:
    passed = sum(check.name in progress.of(lab).passed for check in lab.checks)
    if passed == len(lab.checks):
        return "passed"
    return f"{passed} of {len(lab.checks)} checks" if passed or lab.id in progress.labs else ""


def _hours(minutes: int) -> str:
    return f"{minutes} minutes" if minutes < 90 else f"{minutes / 60:.0f} hours"
