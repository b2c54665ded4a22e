"""The signatures of a course's commands, for `labs/cli.py`; each imports its work when it is called."""

from typing import Annotated

import typer

Which = Annotated[str | None, typer.Argument(metavar="[LAB]", help="Its number, as `lab list` shows it; the one started last when absent.")]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON for a program.")]

dev_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="For authors of labs: prove them, and begin new ones.")


def add_course_commands(app: typer.Typer) -> None:
    """Give `app` the commands of a course, in the order in which a learner meets them."""
    for name, command in (
        ("list", list_labs),
        ("start", start),
        ("guide", guide),
        ("check", check),
        ("watch", watch),
        ("hint", hint),
        ("solution", solution),
        ("reset", reset),
        ("points", points),
    ):
        app.command(name)(command)
    app.add_typer(dev_app, name="dev")


def list_labs(json: Json = False) -> None:
    """List the labs, and how far you are."""
    from labs.commands import course_progress

    course_progress.list_labs(as_json=json)


def start(which: Which = None) -> None:
    """Begin a lab, or go on with it.

    Its files, the servers that it needs, its first step. Without a number: the one that you are at, or the next.
    """
    from labs.commands import course

    course.start(which)


def guide(which: Which = None, step: Annotated[int | None, typer.Option(help="One step alone, counted from 1.")] = None) -> None:
    """Show the guide of a lab, with your own numbers."""
    from labs.commands import course

    course.guide(which, step)


def check(
    which: Which = None,
    every: Annotated[bool, typer.Option("--all", help="Every lab that was started.")] = False,
    form: Annotated[str, typer.Option("--format", help="text, json, junit or github.")] = "text",
    only: Annotated[str | None, typer.Option("--check", help="One check alone: its number in the list, its name, or its file.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Show the stack trace where your code failed.")] = False,
) -> None:
    """Check your work against the running system.

    Exit status 0 passed, 1 incorrect, 3 not started, 4 cannot check; any other says that the command failed.
    """
    from labs.commands import course_check

    raise typer.Exit(course_check.check(which, every=every, only=only, form=form, trace=trace))


def watch(which: Which = None) -> None:
    """Check again whenever you save, until all is passed."""
    from labs.commands import course_check

    raise typer.Exit(course_check.watch(which))


def hint(
    which: Which = None,
    check: Annotated[
        str | None, typer.Option(help="Its number in the list, its name, or its file; the first not passed when absent.")
    ] = None,
) -> None:
    """Give the next hint; the last one stops short of the answer."""
    from labs.commands import course

    course.hint(which, check)


def solution(
    which: Which = None, give_up: Annotated[bool, typer.Option("--give-up", help="Show it although the lab is not passed.")] = False
) -> None:
    """Put one good answer beside yours."""
    from labs.commands import course

    course.solution(which, give_up=give_up)


def reset(which: Which = None) -> None:
    """Give a lab back as it was, byte for byte."""
    from labs.commands import course

    course.reset(which)


def points(json: Json = False) -> None:
    """Say which talking points of an interview the labs cover."""
    from labs.commands import course_progress

    course_progress.points(as_json=json)


@dev_app.command("new")
def dev_new(
    name: Annotated[str, typer.Argument(help="Its folder: a number and a name, as in 21_my_lab.")],
    title: Annotated[str, typer.Option(help="What it is called in lists.")] = "A lab of your own",
) -> None:
    """Begin a lab from a template that proves itself."""
    from labs.commands import dev

    dev.new(name, title)


@dev_app.command("check")
def dev_check(
    which: Annotated[list[str] | None, typer.Argument(metavar="[LABS]", help="Which ones; all when none is named.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Labs at a time; one per core when absent.")] = None,
    times: Annotated[int, typer.Option(min=1, help="How often each solution must pass.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the homes of the labs, to look at what went wrong.")] = False,
    last_failed: Annotated[bool, typer.Option("--last-failed", help="Those that failed last time; all when none did.")] = False,
    patience: Annotated[float, typer.Option(min=1, help="How many of its time budgets a lab may take: a shared machine is slow.")] = 1.0,
) -> None:
    """Prove that labs keep the authoring contract.

    Exit status 0 when all of them do.
    """
    from labs.commands import dev

    raise typer.Exit(dev.check(which or [], jobs=jobs, times=times, keep=keep, last_failed=last_failed, patience=patience))
