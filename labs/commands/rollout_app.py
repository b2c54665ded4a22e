"""The signatures of the rollout's commands, for `labs/cli.py`; each imports its work when it is called."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON for a program.")]
Reason = Annotated[str, typer.Option(help="Why; the ledger keeps it.")]
By = Annotated[str, typer.Option(help="Who says so; the ledger keeps it.")]
OPERATOR = "operator"

rollout_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Bring a challenger into service by shadow and canary.")


@rollout_app.command("start")
def start(
    data: Annotated[Path | None, typer.Option(help="Payments to use instead of the synthetic world: a Parquet or CSV file.")] = None,
    plan: Annotated[Path | None, typer.Option(help="Steps, margins and budgets; pipelines/rollout/rollout.toml when absent.")] = None,
    json: Json = False,
) -> None:
    """Roll the challenger out over the running lab.

    Exit status 0 promoted, 3 rolled back, 4 inconclusive, 5 aborted by the preflight; any other says that the command failed.
    """
    from labs.commands import rollout

    raise typer.Exit(rollout.start(data, plan, as_json=json))


@rollout_app.command("resume")
def resume(by: By = OPERATOR, json: Json = False) -> None:
    """Go on with a rollout that was paused, or that something stopped.

    Exit status as of `lab rollout start`; 0 at once when a running rollout was paused and goes on.
    """
    from labs.commands import rollout

    raise typer.Exit(rollout.resume(by, as_json=json))


@rollout_app.command("status")
def status(json: Json = False) -> None:
    """Say which rollout is open, how far it is, and who serves."""
    from labs.commands import rollout_status

    rollout_status.status(as_json=json)


@rollout_app.command("story")
def story(
    rollout: Annotated[str | None, typer.Argument(metavar="[ROLLOUT]", help="Its id; the last one when absent.")] = None,
    json: Json = False,
) -> None:
    """Tell what a rollout did, when, on which evidence and by whose decision, from the ledger, whose chain is checked."""
    from labs.commands import rollout_story

    rollout_story.tell(rollout, as_json=json)


@rollout_app.command("pause")
def pause(reason: Reason, by: By = OPERATOR, json: Json = False) -> None:
    """Hold the open rollout in its step; its guardrails stay armed."""
    from labs.commands import rollout_orders

    rollout_orders.pause(reason, by, as_json=json)


@rollout_app.command("abort")
def abort(reason: Reason, by: By = OPERATOR, json: Json = False) -> None:
    """End the open rollout: the champion gets all cards."""
    from labs.commands import rollout_orders

    rollout_orders.abort(reason, by, as_json=json)


@rollout_app.command("promote")
def promote(reason: Reason, by: By = OPERATOR, json: Json = False) -> None:
    """Make the challenger champion without the judge's verdict; a rollback goes first.

    Exit status as of `lab rollout start`.
    """
    from labs.commands import rollout_orders

    raise typer.Exit(rollout_orders.promote(reason, by, as_json=json))
