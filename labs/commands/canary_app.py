"""The signatures of the canary commands, for `labs/cli.py`; each imports its work when it is called."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON for a program.")]
Names = Annotated[list[str] | None, typer.Option("--scenario", help="By name or id; may be given again. All of them when absent.")]

canary_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Challengers with a known fault, and what a rollout makes of them."
)


@canary_app.command("list")
def list_canaries(json: Json = False) -> None:
    """Name the faulty challengers that can be rolled out, and how each must end."""
    from labs.commands import canary

    canary.list_canaries(as_json=json)


@canary_app.command("run")
def run(
    name: Annotated[str, typer.Argument(metavar="CANARY", help="By name or id, as `lab canary list` shows them: C5, or errors_5.")],
    seed: Annotated[int, typer.Option(help="Of the world and of the fault.")] = 7,
    json: Json = False,
) -> None:
    """Roll one out without servers, on a virtual clock, and compare its end with what is right.

    An id runs all its levels. Exit status 0 as expected, 1 unexpected, 2 inconclusive.
    """
    from labs.commands import canary

    raise typer.Exit(canary.run(name, seed, json=json))


@canary_app.command("inject")
def inject(
    name: Annotated[str, typer.Argument(metavar="CANARY", help="By name or id; of an id with levels, the first.")], json: Json = False
) -> None:
    """Give the challenger of the running lab a fault, for a rollout to find.

    It lasts until `lab canary stop` or a restart of the service.
    """
    from labs.commands import canary_inject

    canary_inject.inject(name, as_json=json)


@canary_app.command("stop")
def stop(json: Json = False) -> None:
    """End the fault of the challenger in the running lab."""
    from labs.commands import canary_inject

    canary_inject.stop(as_json=json)


def ci_canary(
    scenario: Names = None,
    every: Annotated[bool, typer.Option("--all", help="The whole catalogue; the default.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="How many, from LAB_SEED on.")] = 1,
    form: Annotated[str, typer.Option("--format", help="text, junit, json or github.")] = "text",
    expect: Annotated[Path | None, typer.Option(help="Expected outcomes under review (TOML) instead of the catalogue's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the JSON and the page of each exercise.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one per core when absent.")] = None,
) -> None:
    """Roll out challengers with a known fault and check how each rollout ended.

    Exit status 0 as expected, 1 unexpected, 2 inconclusive; any other says that the command failed.
    """
    from labs.commands import ci

    raise typer.Exit(ci.canary(ci.Request(scenario or (), seeds, form, expect, out, jobs, every)))
