"""`lab check` and `lab watch`: the verdicts on a learner's work, for people and for continuous integration."""

import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from data.errors import BadInput
from labs.engine.checking import run_checks
from labs.engine.course import Check, Lab
from labs.engine.desk import Desk
from labs.engine.formats import COLOUR, FORMATS, SIGN, summary
from labs.engine.guide import Guide
from labs.engine.outcome import EXIT_STATUS, CheckResult, overall
from labs.engine.page import print_markdown, way
from labs.engine.prepare import is_prepared, prepare
from labs.engine.progress import changing
from labs.terminal import console
from services.signals import ending_signals_raise


def check(asked: str | None, *, every: bool, only: str | None, form: str, trace: bool) -> int:
    """Check a lab, one check of it, or every lab that was started; returns the exit status of labs/engine/outcome.py."""
    if form not in FORMATS:
        raise BadInput("There is no such format.", next_step=f"Choose among {', '.join(FORMATS)}.", where="--format")
    if every and (asked or only):
        raise BadInput("--all checks every lab that was started.", next_step="Leave out --all, or the lab and the check.", where="--all")
    desk = Desk.open()
    labs = [lab for lab in desk.course.labs if desk.workspace.has(lab)] if every else [desk.lab(asked)]
    out = console(to_stderr=form != "text")
    results: list[CheckResult] = []
    for lab in labs:
        if every:
            with way(out) as show:
                prepare(desk.settings, lab, show)
        results += check_lab(desk, lab, out, trace=trace, wanted=[lab.check(only)] if only else None)
    if form != "text":
        sys.stdout.write(FORMATS[form](results))
    elif every:
        out.print(f"\n{summary(results)}")
    return EXIT_STATUS[overall(results)]


def watch(asked: str | None) -> int:
    """Check again whenever a file of the lab is saved, until all checks pass; returns 0 then."""
    from watchfiles import watch as changes

    desk = Desk.open()
    lab = desk.lab(asked)
    folder, out = desk.workspace.folder(lab), console()
    state = overall(check_lab(desk, lab, out, trace=False))
    if state != "passed":
        out.print("[dim]Watching for saves; Ctrl-C ends it.[/]")
        for saved in changes(folder, raise_interrupt=True):
            touched = {Path(path).name for _, path in saved}
            wanted = [one for one in lab.checks if not one.slow or one.file in touched]
            out.rule(f"[dim]{', '.join(sorted(touched))}[/]", style="dim")
            check_lab(desk, lab, out, trace=False, wanted=wanted)
            if desk.progress.of(lab).done(lab):
                break
    return 0


def check_lab(desk: Desk, lab: Lab, out: Console, *, trace: bool, wanted: list[Check] | None = None) -> list[CheckResult]:
    """Check one lab, print a line for each check, and remember what passed."""
    out.print(f"[bold]{lab.id}  {lab.title}[/]")
    before = desk.progress.of(lab).done(lab)
    results = []
    with ending_signals_raise():  # what a check started ends with it
        for result in _results(desk, lab, out, wanted):
            _print(result, lab, out, trace=trace)
            results.append(result)
            if desk.workspace.has(lab):
                with changing(desk.workspace.root) as progress:  # at once: whoever stops the checks keeps what passed
                    progress.begun(lab).note([result])
    if not trace and any(result.trace for result in results):
        out.print(f"[dim]The stack trace: lab check {lab.short} --trace[/]")
    far = desk.progress.of(lab)
    if far.done(lab) and not before:
        out.print(f"\n[green]{lab.id} is passed.[/] What is left is to say it.\n")
        print_markdown(out, Guide(lab).say_it(far.figures))
        out.print(f"\nCompare with one good answer: [bold]lab solution {lab.short}[/]   what is next: [bold]lab[/]")
    return results


def _results(desk: Desk, lab: Lab, out: Console, wanted: list[Check] | None) -> Iterator[CheckResult]:
    chosen = lab.checks if wanted is None else wanted
    if not desk.workspace.has(lab):
        yield from (CheckResult(lab.id, one.name, one.title, "not started", look=f"Begin with `lab start {lab.short}`.") for one in chosen)
        return
    if not is_prepared(desk.settings, lab):
        why, look = "The running system is not as this lab needs it.", f"`lab start {lab.short}` brings it up; your files stay."
        yield from (CheckResult(lab.id, one.name, one.title, "cannot check", why, look) for one in chosen)
        return
    running = run_checks(lab, desk.workspace.folder(lab), desk.settings, chosen)
    for one in chosen:
        with out.status(f"checking: {one.title}"):
            result = next(running)
        yield result


def _print(result: CheckResult, lab: Lab, out: Console, *, trace: bool) -> None:
    colour = COLOUR[result.state]
    out.print(f"[{colour}]{SIGN[result.state]} {escape(result.title)}[/]: {result.state}")
    for text in (result.why, result.look):
        if text:
            out.print(Padding.indent(escape(text), 4))
    if result.state == "passed" and result.figures:
        measured = Table.grid(padding=(0, 2, 0, 0))
        for figure in lab.figures:
            if figure.name in result.figures:
                measured.add_row(escape(figure.title), figure.text(result.figures[figure.name]))
        out.print(Padding.indent(measured, 4), style="dim")
    if trace and result.trace:
        out.print(Padding.indent(escape(result.trace.rstrip()), 4), style="dim")
