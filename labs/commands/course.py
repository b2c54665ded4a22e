"""`lab start`, `guide`, `hint`, `solution`, `reset`: a learner's way through one lab."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from data.errors import BadInput
from labs.engine.checking import load_checks
from labs.engine.course import Lab
from labs.engine.desk import Desk
from labs.engine.guide import Guide
from labs.engine.page import print_markdown, way
from labs.engine.prepare import ousted, prepare
from labs.engine.progress import LabProgress, changing
from labs.engine.workspace import Workspace
from labs.terminal import console


def start(asked: str | None) -> None:
    """Make the folder of the lab, or of the next one; bring up what it needs; print its first step. Raises what preparing raises."""
    desk = Desk.open()
    lab = (desk.upcoming if asked is None else None) or desk.lab(asked)
    out = console()
    load_checks(lab)  # a broken lab says so before a minute is spent on it
    made = desk.workspace.begin(lab)
    with changing(desk.workspace.root) as progress:
        progress.current = lab.id
        figures = progress.begun(lab).figures
    before = ousted(desk.settings, lab)
    _bring_up(desk, lab, out, anew=False)
    if before is not None:
        out.print(f"[dim]What {before} changed in the running system is put back; its files stay.[/]\n")
    out.print(f"[bold]{lab.id}  {lab.title}[/]  [dim]about {lab.minutes} minutes[/]\n")
    print_markdown(out, Guide(lab).opening(figures))
    where = f"{shown(desk.workspace, lab)}/"
    out.print(f"\nYour files are {'in' if made else 'as you left them in'} [bold]{where}[/]\nRun the guide's commands in that folder.")
    _say_how_to_enter(out)
    out.print(f"All steps: [bold]lab guide {lab.short}[/]   check: [bold]lab check {lab.short}[/]   hint: [bold]lab hint {lab.short}[/]")


def guide(asked: str | None, step: int | None) -> None:
    """Print the guide, or one step of it. Raises BadInput for a step that it does not have."""
    desk = Desk.open()
    lab = desk.lab(asked)
    page, figures = Guide(lab), desk.progress.of(lab).figures
    if step is None:
        print_markdown(console(), page.whole(figures))
        return
    if not 1 <= step <= len(page.steps):
        raise BadInput(f"{lab.id} has {len(page.steps)} steps.", next_step=f"`lab guide {lab.short}` shows them all.", where="step")
    print_markdown(console(), page.step(step, figures))


def hint(asked: str | None, check: str | None) -> None:
    """Print the next hint of a check: the one named, or the first that did not pass."""
    desk = Desk.open()
    lab = desk.lab(asked)
    with changing(desk.workspace.root) as progress:
        far = progress.begun(lab)
        chosen = lab.check(check) if check else next((one for one in lab.checks if one.name not in far.passed), lab.checks[-1])
        given = min(far.hints.get(chosen.name, 0) + 1, len(chosen.hints))
        again = far.hints.get(chosen.name, 0) == given
        far.hints[chosen.name] = given
    out = console()
    out.print(f"[bold]{chosen.title}[/]  [dim]hint {given} of {len(chosen.hints)}[/]")
    print_markdown(out, chosen.hints[given - 1])
    if again:
        out.print(f"[dim]That was the last one. A worked answer: lab solution {lab.short} --give-up[/]")


def solution(asked: str | None, *, give_up: bool) -> None:
    """Put one good answer beside the attempt. Raises BadInput while the lab is not passed, unless the learner gives up."""
    desk = Desk.open()
    lab = desk.lab(asked)
    passed = desk.progress.of(lab).done(lab)
    if not passed and not give_up:
        raise BadInput(
            f"{lab.id} is not passed yet.",
            next_step=f"`lab hint {lab.short}` helps; `lab solution {lab.short} --give-up` shows it.",
            where=lab.id,
        )
    placed = desk.workspace.place_solution(lab)
    out = console()
    for file in sorted(path for path in placed.rglob("*") if path.is_file()):
        out.print(f"  {shown(desk.workspace, lab)}/{file.relative_to(placed.parent)}")
    out.print("One good answer, beside yours; there are others.")


def reset(asked: str | None) -> None:
    """Give the lab's files back as they were, and the running system where the lab changed it."""
    desk = Desk.open()
    lab = desk.lab(asked)
    out = console()
    desk.workspace.reset(lab)
    with changing(desk.workspace.root) as progress:
        progress.labs[lab.id] = LabProgress()
    if lab.changes_live:
        _bring_up(desk, lab, out, anew=True)
    out.print(f"[green]✓[/] {lab.id} is as it was given; what you had is in {shown_root(desk.workspace)}/.before/{lab.name}/")


def shown(workspace: Workspace, lab: Lab) -> str:
    """The learner's folder as it is best typed."""
    return f"{shown_root(workspace)}/{lab.name}"


def shown_root(workspace: Workspace) -> str:
    """The workspace, from where the learner stands if it is below."""
    return _from_here(workspace.root)


def _from_here(path: Path) -> str:
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _say_how_to_enter(out: Console) -> None:
    """Guides say `lab` and `python`: in a shell that would find others, how to have ours."""
    own, found = Path(sys.executable), shutil.which("python")
    entrance = own.with_name("activate")
    if entrance.exists() and (found is None or Path(found).parent != own.parent):
        out.print(f"In each terminal, once: [bold]source {_from_here(entrance)}[/]   (for `lab` and `python`)", soft_wrap=True)


def _bring_up(desk: Desk, lab: Lab, out: Console, *, anew: bool) -> None:
    if lab.needs == "nothing":
        return
    with way(out) as show:
        aside = prepare(desk.settings, lab, show, anew=anew)
    if aside is not None:
        out.print(f"[dim]What ran here before is in {aside} until something else is set aside.[/]")
