"""`lab drift`: which drifts can be injected, and what monitoring says of the payments served last."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from data.dataset import Dataset
from data.errors import EmptyWindow, MissingFile, NoModel
from data.prediction_frames import logged_span
from data.scenarios import DEMO_SCENARIO, SCENARIOS
from data.settings import Settings
from labs.service import ask_serving
from labs.terminal import console, print_json, table

if TYPE_CHECKING:
    from pipelines.monitor import WindowResult

MILLISECOND = timedelta(milliseconds=1)  # the resolution of event time: the window ends just after the last payment


def list_scenarios(*, as_json: bool) -> None:
    """Print every scenario: what it does, how strongly, and the decision that is right."""
    if as_json:
        kept = ("name", "catalogue_id", "mechanism", "strength", "strength_means", "columns", "expected", "acts_on")
        print_json([{key: getattr(one, key) for key in kept} for one in SCENARIOS.values()])
        return
    rows = table("scenario", "what it does", "right decision")
    for one in SCENARIOS.values():
        rows.add_row(one.name, one.mechanism, " or ".join(one.expected).replace("_", " "))
    out = console()
    out.print(rows)
    out.print(f"\nThe demo injects {DEMO_SCENARIO['world']}, or another with [bold]lab demo --scenario NAME[/].")


def check(*, as_json: bool) -> int:
    """Print the verdict on the last week served; returns 0 when nothing needs doing, 1 otherwise.

    Raises ServiceDown when nobody serves, NoModel before there is a champion, EmptyWindow when nothing was served.
    """
    result = _watch(Settings.load())
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)
    return 0 if result.verdict.decision == "ignore" else 1


def _watch(settings: Settings) -> "WindowResult":
    from data.bundle import Model, verify_bundle
    from labs.watching import Watcher

    champion = ask_serving(settings)["champion"]
    if champion is None:
        raise NoModel("No model serves yet.", next_step="Train one: `lab train`.", where="champion")
    span = logged_span(settings.home / "predictions.db")
    if span is None:
        raise EmptyWindow("Nothing has been served yet.", next_step="Send payments, or run `lab demo`.", where="window")
    live = span[0].replace(hour=0, minute=0, second=0, microsecond=0)
    folder = settings.home / "models" / champion
    verify_bundle(folder, key_folder=settings.home / "keys")
    model = Model.load(folder, champion)
    watcher = Watcher.for_champion(settings, _history(settings, live), model, live=live)
    return watcher.watch(span[1] + MILLISECOND)


def _history(settings: Settings, live: datetime) -> Dataset:
    """The dataset whose days lead up to the first payment served: the world's, or a file's."""
    eve = live.date() - timedelta(days=1)
    found = [
        Dataset(folder) for folder in sorted((settings.home / "datasets").glob("*")) if Dataset(folder).path("transactions", eve).exists()
    ]
    if not found:
        raise MissingFile(f"No history leads up to {live:%Y-%m-%d}.", next_step="Make it and a model: `lab train`.", where="datasets")
    return found[0]


def _print(result: "WindowResult") -> None:
    verdict = result.verdict
    out = console()
    colour = "green" if verdict.decision == "ignore" else "yellow"
    out.print(f"[bold {colour}]{verdict.decision.replace('_', ' ')}[/]  {verdict.headline}")
    out.print(f"[dim]{result.payments:,} payments from {result.start:%Y-%m-%d} to {result.end:%Y-%m-%d}[/]")
    for change in verdict.changed:
        out.print(f"  · {change}")
    for name, said in (("since", verdict.since), ("how sure", verdict.how_sure), ("damage", verdict.damage)):
        if said:
            out.print(f"{name}: {said}")
    out.print(f"[bold]{verdict.next_step}[/]")
