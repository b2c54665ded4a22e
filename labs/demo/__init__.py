"""`lab demo`: the whole loop in one run, told as a story. Called by the `lab` command alone."""

import sys
from pathlib import Path

from data.environment import use_servers
from data.errors import BadInput
from data.registry import CHAMPION, Registry
from data.scenarios import SCENARIOS
from data.scenarios import scenario as named
from data.settings import Settings
from labs.demo.findings import demo_facts
from labs.demo.loop import Loop
from labs.demo.schedule import Schedule
from labs.demo.story import Story
from labs.failures import explain
from labs.previous import set_aside
from labs.report.facts import DemoFacts
from labs.report.page import facts_file, page_file, write_report
from labs.stream import open_stream
from services.supervisor import Supervisor


def run_demo(settings: Settings, *, data: Path | None, scenario: str | None, json_output: bool, keep_up: bool) -> int:
    """Run the loop; returns the exit status: 0 when every step did what it says. The report is written either way.

    Raises BadInput for a drift that Evidently, which sees inputs only, could not show.
    """
    _require_seen(scenario)
    story = Story(to_stderr=json_output)
    schedule = Schedule()
    use_servers(settings.mlflow_url, settings.prefect_url, str(settings.home / "prefect"))
    stream = open_stream(settings, data, schedule.live_days)
    supervisor = Supervisor(settings)
    _require_new_servers(settings)
    supervisor.stop()
    aside = None if settings.mlflow_address else set_aside(settings.home)  # servers that run elsewhere use the same folders
    if aside is not None:
        story.console.print(f"[dim]What an earlier run left is in {aside} until the next one.[/]")
    story.console.print(f"[bold]The closed loop[/] on {stream.name}")
    with supervisor.owning(keep_up=keep_up):
        supervisor.launch(("mlflow", "prefect"))
        loop = Loop(settings, stream, schedule, supervisor, story)
        try:
            _run(loop, scenario)
        except Exception as error:
            loop.close()
            _conclude(demo_facts(loop.found, story, settings, stream, failure=explain(error), kept_up=False), settings, story, json_output)
            raise
        loop.close()
        _conclude(demo_facts(loop.found, story, settings, stream, failure=None, kept_up=keep_up), settings, story, json_output)
    return 0


def _require_seen(name: str | None) -> None:
    if name is not None and not named(name).columns:
        shown = ", ".join(one.name for one in SCENARIOS.values() if one.columns)
        raise BadInput(
            "The demo shows a drift of inputs, and this one moves none.",
            next_step=f"Choose one of {shown}; or run it as an exercise: `lab drift run {name}`.",
            where="scenario",
        )


def _require_new_servers(settings: Settings) -> None:
    """Servers of our own begin anew; those of a stack hold what an earlier run left. Raises BadInput for one that was used."""
    if not settings.mlflow_address:
        return
    with Registry.of(settings) as registry:
        if registry.alias(CHAMPION) is not None:
            raise BadInput(
                f"The stack behind {settings.mlflow_address} has a champion already, and the demo tells a story from the beginning.",
                next_step="Empty it: `docker compose down -v`, then `docker compose up -d --wait`.",
                where="champion",
            )


def _run(loop: Loop, scenario: str | None) -> None:
    story = loop.story
    with story.step("Data"):
        loop.make_data()
    with story.step("Training: rules, logistic regression, LightGBM"):
        loop.train()
    with story.step("Serving under load"):
        loop.serve()
    with story.step("Drift"):
        loop.drift(scenario)
    with story.step("Retraining"):
        loop.retrain()
    with story.step("Shadow, canary, decision"):
        loop.roll_out()


def _conclude(facts: DemoFacts, settings: Settings, story: Story, json_output: bool) -> None:
    """Write the facts and the report, of what was reached too, and say where things are."""
    facts.save(facts_file(settings.home))
    report = write_report(facts, page_file(settings.home))
    if json_output:
        sys.stdout.write(facts.to_json() + "\n")
    console = story.console
    console.print(f"\n[bold]{'Everything did what it says' if facts.passed else 'It did not get through'}[/], in {facts.seconds:.0f} s.")
    console.print(f"Evidence report: {report}")
    if facts.pages:
        for title, address in facts.pages:
            console.print(f"{title}: {address}")
        console.print("They stay up until [bold]lab down[/].")
    elif settings.scoring_address:
        console.print(f"The servers stay up. The report out of its volume: [bold]docker compose cp worker:{report.parent} .[/]")
    else:
        console.print(
            "Look around: [bold]make up[/] starts MLflow, Prefect and the service on what this run left; [bold]make down[/] stops them."
        )
