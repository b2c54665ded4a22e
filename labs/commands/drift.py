"""`lab drift list` and `lab drift check`: which drifts there are, and what monitoring says of the payments served last."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.dataset import Dataset
from data.errors import EmptyWindow, MissingFile, NoModel, StepFailed
from data.fault_windows import FaultWindow, record_fault_window
from data.ledger import Ledger
from data.prediction_frames import logged_span
from data.scenarios import DEMO_SCENARIO, Scenario
from data.settings import Settings
from labs.archive import readable_log
from labs.drifts import known_scenarios
from labs.service import ask_serving
from labs.terminal import console, print_json, table

if TYPE_CHECKING:
    from data.bundle import Model
    from labs.watching import Watcher
    from pipelines.monitoring.monitor import WindowResult

TABLE_WIDTH = 100


def list_scenarios(file: Path | None, *, as_json: bool) -> None:
    """Print every scenario, and those of a team's file: what it does, on which layer, and the decision that is right.

    Raises what `load_scenarios` raises.
    """
    known = known_scenarios(file)
    if as_json:
        print_json([_facts(one) for one in known.values()])
        return
    rows = table("id", "scenario", "acts on", "what happens", "right decision")
    for one in known.values():
        right = " or ".join(one.expected).replace("_", " ")
        rows.add_row(one.catalogue_id if one.catalogue_id != one.name else "", one.name, one.acts_on, one.mechanism, right)
    out = console(width=TABLE_WIDTH)
    out.print(rows)
    out.print(f"\nThe demo injects {DEMO_SCENARIO['world']}, or another with [bold]lab demo --scenario NAME[/].")
    out.print("Into a running lab: [bold]lab drift inject NAME[/]. As an exercise without servers: [bold]lab drift run NAME[/].")


def _facts(one: Scenario) -> dict[str, Any]:
    kept = (
        "name", "catalogue_id", "mechanism", "acts_on", "strength", "strength_means", "ramp_days", "days", "every_days", "columns",
        "needs", "expected", "must_fire", "must_stay_silent",
    )  # fmt: skip
    parts = [{"mechanism": p.mechanism.name, "strength": p.strength, "columns": p.columns or p.mechanism.columns} for p in one.parts]
    return {key: getattr(one, key) for key in kept} | {"parts": parts}


def check(*, as_json: bool) -> int:
    """Print the verdict on the last week served; returns 0 when nothing needs doing, 1 otherwise.

    Evidently reports on the window, and if it alarmed the page is kept. A window that the pipeline spoilt is put on record in
    the ledger, and training leaves its rows out.

    Raises ServiceDown when nobody serves, NoModel before there is a champion, EmptyWindow when nothing was served.
    """
    settings = Settings.load()
    watcher, result = _watch(settings)
    spoilt = put_on_record(result, settings)
    job = watcher.start_evidently(result)
    if not as_json:
        _print(result, spoilt)
    try:
        page, failed = job.result().html, None
    except StepFailed as failure:  # the verdict does not depend on it
        page, failed = None, f"{failure.message} {failure.next_step}"
    if as_json:
        print_json(result.to_json() | {"evidently": page and str(page), "evidently_failed": failed})
    elif page:
        console().print(f"Evidently's report: {page}", soft_wrap=True)
        console().print(f"[dim]or among the others: evidently ui --workspace {page.with_name('evidently')}[/]", soft_wrap=True)
    elif failed:
        console().print(failed, style="yellow", markup=False, soft_wrap=True)
    return 0 if result.verdict.decision == "ignore" else 1


def _watch(settings: Settings) -> tuple["Watcher", "WindowResult"]:
    from labs.watching import Watcher

    model, dataset, live, now = champion_at_work(settings)
    watcher = Watcher.at_work(settings, dataset, model, live=live, now=now)
    return watcher, watcher.watch(now)


def champion_at_work(settings: Settings) -> tuple["Model", Dataset, datetime, datetime]:
    """The model that serves, the history that leads up to it, its first live moment and the full hour after the last payment.

    Raises ServiceDown when nobody serves, NoModel before there is a champion, EmptyWindow when nothing was served.
    """
    from data.bundle import Model, verify_bundle

    champion = ask_serving(settings)["champion"]
    if champion is None:
        raise NoModel("No model serves yet.", next_step="Train one: `lab train`.", where="champion")
    span = logged_span(readable_log(settings))
    if span is None:
        raise EmptyWindow("Nothing has been served yet.", next_step="Send payments, or run `lab demo`.", where="window")
    live = span[0].replace(hour=0, minute=0, second=0, microsecond=0)
    folder = settings.home / "models" / champion
    verify_bundle(folder, key_folder=settings.home / "keys")
    return Model.load(folder, champion), _history(settings, live), live, full_hour_after(span[1])


def full_hour_after(last: datetime) -> datetime:
    """Where a window ends: of days that were sent whole it then holds whole days, and no payment of the day before them."""
    return last.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def _history(settings: Settings, live: datetime) -> Dataset:
    """The dataset whose days lead up to the first payment served: the world's, or a file's."""
    eve = live.date() - timedelta(days=1)
    found = [
        Dataset(folder) for folder in sorted((settings.home / "datasets").glob("*")) if Dataset(folder).path("transactions", eve).exists()
    ]
    if not found:
        raise MissingFile(f"No history leads up to {live:%Y-%m-%d}.", next_step="Make it and a model: `lab train`.", where="datasets")
    return found[0]


def put_on_record(result: "WindowResult", settings: Settings) -> FaultWindow | None:
    """The span that nobody should learn from: since the onset of the first fault. None where the pipeline is sound."""
    if result.verdict.decision != "fix_pipeline":
        return None
    fault, onset = result.causes[0] if result.causes else None, result.onset
    start = datetime.combine(onset.day, time(), UTC) if onset else result.start
    window = FaultWindow(start, result.end, fault.column if fault else "", fault.what if fault else result.verdict.rule)
    record_fault_window(Ledger(settings.home / "ledger.jsonl"), window, result.end)
    return window


def _print(result: "WindowResult", spoilt: FaultWindow | None) -> None:
    verdict = result.verdict
    out = console()
    colour = "green" if verdict.decision == "ignore" else "yellow"
    out.print(f"[bold {colour}]{verdict.decision.replace('_', ' ')}[/]  {verdict.headline}")
    out.print(f"[dim]{result.payments:,} payments from {result.start:%Y-%m-%d} to {result.end:%Y-%m-%d}[/]")
    for change in verdict.changed:
        out.print(f"  · {change}")
    said = {"root cause": verdict.root_cause, "since": verdict.since, "how sure": verdict.how_sure, "damage": verdict.damage,
            "estimate": verdict.estimate, "false decision": verdict.false_decision}  # fmt: skip
    for name, text in said.items():
        if text:
            out.print(f"{name}: {text}", soft_wrap=True)
    if spoilt:
        out.print(f"on record: rows from {spoilt.start:%Y-%m-%d} to {spoilt.end:%Y-%m-%d} stay out of training ({spoilt.column})")
    out.print(f"[bold]{verdict.next_step}[/]")
