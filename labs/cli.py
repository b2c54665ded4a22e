"""The `lab` command: the composition root of everything a person starts by hand.

Only signatures and help live here; each command imports its work when it is called, so that `lab --help` answers at
once. Failures become one sentence, the next command to run, and the exit status of data/errors.py.
"""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from data.environment import prepare_environment
from labs.commands.ab_app import ab_app
from labs.commands.canary_app import canary_app, ci_canary
from labs.commands.course_app import add_course_commands
from labs.commands.rollout_app import rollout_app
from labs.failures import INTERRUPTED, USAGE, report_failure

Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON for a program.")]

Data = Annotated[Path | None, typer.Option(help="Payments to use instead of the synthetic world: a Parquet or CSV file.")]

Scenarios = Annotated[Path | None, typer.Option(help="Scenarios of your own beside the catalogue's: a TOML file.")]


class _Lab(TyperGroup):
    """Turns every exception of a command into the message and exit status that belong to it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["json"] = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            raise _as_usage(error) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.stderr.write("\nStopped.\n")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if hasattr(error, "exit_code") or ctx.params.get("debug"):  # Typer's own exceptions carry their status
                raise _as_usage(error) from None
            raise typer.Exit(report_failure(error, as_json=ctx.meta["json"])) from None


def _as_usage(error: Exception) -> Exception:
    """A wrong command line ends with a status of its own: Typer's 2 is what `lab ci` calls inconclusive."""
    if not isinstance(error, typer.Exit) and getattr(error, "exit_code", None) == 2:
        error.exit_code = USAGE  # type: ignore[attr-defined]
    return error


app = typer.Typer(
    cls=_Lab,
    invoke_without_command=True,  # `lab` alone says where one is
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help in 0.15 s; drawing boxes would import a Markdown parser, 0.25 s more
    context_settings={"help_option_names": ["-h", "--help"]},
)
drift_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Name what may drift, and ask whether anything did.")
app.add_typer(drift_app, name="drift")
app.add_typer(rollout_app, name="rollout")
ci_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Exercises as checks for continuous integration.")
app.add_typer(canary_app, name="canary")
app.add_typer(ci_app, name="ci")
app.add_typer(ab_app, name="ab")
add_course_commands(app)


@app.callback()
def lab(
    ctx: typer.Context,
    course: Annotated[Path | None, typer.Option(help="A course of your own: its folder. LAB_COURSE does the same.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the stack trace of a failure.")] = False,  # noqa: ARG001 (_Lab reads it)
) -> None:
    """A production-ML sandbox: train, serve, watch, retrain and roll out a fraud model."""
    prepare_environment()
    if course is not None:
        os.environ["LAB_COURSE"] = str(course)
    if ctx.invoked_subcommand is None:
        from labs.commands import course_progress

        course_progress.home()


@app.command()
def demo(
    data: Data = None,
    scenario: Annotated[str | None, typer.Option(help="Another drift of inputs than the demo's own; `lab drift list` names them.")] = None,
    keep_up: Annotated[bool, typer.Option("--keep-up", help="Leave the servers running, to look around in their pages.")] = False,
    json: Json = False,
) -> None:
    """Run the loop from data to a promoted model, and report."""
    from data.settings import Settings
    from labs.demo import run_demo

    raise typer.Exit(run_demo(Settings.load(), data=data, scenario=scenario, json_output=json, keep_up=keep_up))


@app.command()
def up(
    names: Annotated[list[str] | None, typer.Argument(help="mlflow, prefect, scoring; all when none is named.")] = None,
    json: Json = False,
) -> None:
    """Start the servers and leave them running."""
    from labs.commands import servers

    servers.up(tuple(names) if names else None, as_json=json)


@app.command()
def down(names: Annotated[list[str] | None, typer.Argument(help="Which ones; all when none is named.")] = None) -> None:
    """Stop the servers."""
    from labs.commands import servers

    servers.down(tuple(names) if names else None)


@app.command()
def restart(names: Annotated[list[str], typer.Argument(help="mlflow, prefect, scoring: which ones.")]) -> None:
    """Stop servers and start them again, with the settings of now."""
    from labs.commands import servers

    servers.restart(tuple(names))


@app.command()
def traffic(
    days: Annotated[float, typer.Option(help="How much to send, in days of the payments' own time.")] = 1.0,
    rate: Annotated[float | None, typer.Option(help="Payments a second at most; as fast as it goes when left out.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Send the next payments, with their labels when they are due."""
    from labs.commands import traffic as sending

    sending.send(days, rate, data, as_json=json)


@app.command()
def load(
    requests: Annotated[int, typer.Option(help="How many payments.")] = 2_000,
    workers: Annotated[int, typer.Option(help="Locust workers that share them; from 2 on, the stack's own.")] = 1,
    json: Json = False,
) -> None:
    """Load the running lab with its next payments, and judge latency.

    Locust sends them at the rate of tests/load/slo.toml, or LAB_LOAD_RATE. Exit status 1 when the objective is missed.
    """
    from labs.commands import load as loading

    raise typer.Exit(0 if loading.load(requests, workers, as_json=json) else 1)


@app.command()
def work(
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, without metrics, and end.")] = False,
    json: Json = False,
) -> None:
    """Watch finished windows and the rollout by itself, and show metrics.

    Exit status 1 when, with --once, a duty failed.
    """
    from labs.commands import work as working

    if once:
        raise typer.Exit(working.once(as_json=json))
    working.work()


@app.command()
def status(json: Json = False) -> None:
    """Say what runs, and which model answers.

    Exit status 0 only when everything is healthy.
    """
    from labs.commands import servers

    raise typer.Exit(servers.status(as_json=json))


@app.command()
def doctor(json: Json = False) -> None:
    """Find what is wrong with this machine, and list every setting."""
    from labs.doctor import run_doctor

    raise typer.Exit(run_doctor(as_json=json))


@app.command()
def train(
    data: Data = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="On what was served since, judged against the champion.")] = False,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="The same, but keep the champion's trees: choose its calibration and thresholds anew.")
    ] = False,
    days: Annotated[int | None, typer.Option(min=7, max=730, help="Days of payments to learn from, the newest. [default: 45]")] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Dask workers that fit the model together; 0: this process.")] = 0,
    all_rows: Annotated[bool, typer.Option("--all-rows", help="Fit on every genuine payment, not on 60,000 weighted ones.")] = False,
    json: Json = False,
) -> None:
    """Train a model; the gate decides whether it is registered."""
    from labs.commands import training

    asked = training.Asked(retrain, recalibrate, days, workers, all_rows)
    raise typer.Exit(training.train(data, asked, as_json=json))


@app.command()
def registry(json: Json = False) -> None:
    """List the versions, who is champion, and the ledger."""
    from labs.commands import registry as versions

    versions.show(as_json=json)


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why; the ledger keeps it.")],
    to: Annotated[str | None, typer.Option(help="The version to serve; the previous champion when absent.")] = None,
    json: Json = False,
) -> None:
    """Put the previous champion back, and see that it answers."""
    from labs.commands import registry as versions

    versions.rollback(to, reason, as_json=json)


@app.command()
def reproduce(run: Annotated[str, typer.Argument(help="MLflow run id of a training.")], json: Json = False) -> None:
    """Train again as a run did, and compare every metric.

    Exit status 1 when one differs.
    """
    from labs.commands import training

    raise typer.Exit(training.reproduce(run, as_json=json))


@app.command()
def score(
    file: Annotated[Path | None, typer.Argument(help="One transaction as JSON; '-' reads standard input.")] = None,
    amount: Annotated[float | None, typer.Option(help="Amount in EUR, instead of a file.")] = None,
    card: Annotated[str, typer.Option(help="Card token.")] = "card_000001",
    terminal: Annotated[str, typer.Option(help="Terminal token.")] = "term_00001",
    time: Annotated[str | None, typer.Option(help="Event time, ISO 8601 with an offset; noon after the lab's history when absent.")] = None,
    channel: Annotated[str, typer.Option(help="chip, contactless, online or unknown.")] = "unknown",
    category: Annotated[str, typer.Option(help="Merchant category.")] = "unknown",
    json: Json = False,
) -> None:
    """Ask the running service about one payment."""
    from labs.commands import scoring

    fields = {"card_id": card, "terminal_id": terminal, "event_time": time, "channel": channel, "category": category}
    scoring.score(file, amount, fields, as_json=json)


@app.command("score-batch")
def score_batch(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Payments: a Parquet file, a folder of them, or a dataset of days.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder to be made; it appears once everything is in it.")],
    features_ready: Annotated[bool, typer.Option("--features-ready", help="IN holds the features, not raw payments.")] = False,
    version: Annotated[str | None, typer.Option(help="The registered version to score with; the champion when absent.")] = None,
    history: Annotated[Path | None, typer.Option(help="State of the features just before IN, as training leaves it.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels that become known meanwhile: Parquet like IN.")] = None,
    json: Json = False,
) -> None:
    """Score a table of payments that may be larger than memory.

    Exit status 1 when rows were quarantined.
    """
    from labs.commands import batch
    from pipelines.batch.scoring import BatchRequest

    request = BatchRequest(source, out, features_ready, history, labels)
    raise typer.Exit(batch.score_batch(request, version, as_json=json))


@app.command()
def explain(
    transaction_id: Annotated[str, typer.Argument(help="Of a payment that was scored.")],
    top: Annotated[int, typer.Option(help="How many features to list one by one.")] = 10,
    json: Json = False,
) -> None:
    """Say why the service answered a payment as it did."""
    from labs.commands import explaining

    explaining.explain(transaction_id, top, as_json=json)


@drift_app.command("list")
def drift_list(scenarios: Scenarios = None, json: Json = False) -> None:
    """Name the drifts that can be injected, and the right answer to each."""
    from labs.commands import drift

    drift.list_scenarios(scenarios, as_json=json)


@drift_app.command("inject")
def drift_inject(
    scenario: Annotated[str, typer.Argument(help="By name or id, as `lab drift list` shows them: D9, or mis_join.")],
    strength: Annotated[float | None, typer.Option(help="Its dose; the scenario's own when absent.")] = None,
    seed: Annotated[int, typer.Option(help="Of the rows that it touches.")] = 7,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Its first day; the next one to be sent when absent.")
    ] = None,
    days: Annotated[int, typer.Option(min=0, help="How many days of it to send now.")] = 7,
    data: Data = None,
    scenarios: Scenarios = None,
    json: Json = False,
) -> None:
    """Inject a drift into the payments of the running lab, and send them."""
    from labs.commands import drift_inject

    first = since.date() if since else None
    drift_inject.inject(drift_inject.Request(scenario, strength, seed, first, days, data, scenarios), as_json=json)


@drift_app.command("stop")
def drift_stop(json: Json = False) -> None:
    """End every drift that is under way, from the next day to be sent on."""
    from labs.commands import drift_inject

    drift_inject.stop(as_json=json)


@drift_app.command("check")
def drift_check(json: Json = False) -> None:
    """Judge the last week that was served.

    Exit status 1 when something is to be done.
    """
    from labs.commands import drift

    raise typer.Exit(drift.check(as_json=json))


@drift_app.command("calibrate")
def drift_calibrate(
    windows: Annotated[int, typer.Option(min=20, help="Quiet windows to draw; more take longer and tell more.")] = 400,
    json: Json = False,
) -> None:
    """Fit monitoring to the noise of this lab's own quiet weeks.

    Shows what is left of each monitor: its false alarms, and the drifts that it sees.
    """
    from labs.commands import drift_calibrate

    drift_calibrate.calibrate(windows, as_json=json)


@drift_app.command("run")
def drift_run(
    scenario: Annotated[str, typer.Argument(help="By name or id, as `lab drift list` shows them: D9, or mis_join.")],
    strength: Annotated[float | None, typer.Option(help="Its dose; the scenario's own when absent.")] = None,
    seed: Annotated[int, typer.Option(help="Of the world and of the drift.")] = 7,
    scenarios: Scenarios = None,
    json: Json = False,
) -> None:
    """Run one exercise without servers: inject, watch, decide, and compare with the truth.

    Exit status 0 as expected, 1 unexpected, 2 inconclusive.
    """
    from labs.commands import drift_run

    raise typer.Exit(drift_run.run(scenario, strength, seed, scenarios, as_json=json))


@ci_app.command("drift")
def ci_drift(
    scenario: Annotated[list[str] | None, typer.Option(help="By name or id; may be given again. All of them when absent.")] = None,
    every: Annotated[bool, typer.Option("--all", help="The whole catalogue; the default.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="How many, from LAB_SEED on.")] = 1,
    form: Annotated[str, typer.Option("--format", help="text, junit, json or github.")] = "text",
    expect: Annotated[Path | None, typer.Option(help="Expected outcomes under review (TOML) instead of the catalogue's.")] = None,
    scenarios: Scenarios = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the JSON and the page of each exercise.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one per core when absent.")] = None,
) -> None:
    """Run drift exercises and check what monitoring made of them.

    Exit status 0 as expected, 1 unexpected, 2 inconclusive; any other says that the command failed.
    """
    from labs.commands import ci

    raise typer.Exit(ci.drift(ci.Request(scenario or (), seeds, form, expect, out, jobs, every), scenarios))


ci_app.command("canary")(ci_canary)


@app.command()
def report(
    out: Annotated[Path | None, typer.Option(help="Where to write it; beside the demo's facts when absent.")] = None,
) -> None:
    """Write the evidence report of the last demo again."""
    from labs.commands import evidence

    evidence.rewrite(out)


def main() -> None:
    """Entry point of the `lab` script."""
    app(prog_name="lab")
