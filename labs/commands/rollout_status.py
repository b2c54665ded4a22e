"""`lab rollout status`: which rollout is open, how far it is, who serves what share, and what the judge would say now."""

from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from data.costs import DecisionCosts
from data.errors import MissingFile, ServiceDown
from data.ledger import Ledger
from data.prediction_frames import logged_span
from data.registry import CHALLENGER, CHAMPION, Registry
from data.serving_plan import ServingPlan
from data.settings import Settings
from labs.archive import readable_log
from labs.commands.rollout import plan_of
from labs.rollout import headline, is_verdict, log_evidence
from labs.service import ask_serving
from labs.terminal import console, print_json, table
from pipelines.rollout.actions import Opened, read_open
from pipelines.rollout.evidence import trouble_of
from pipelines.rollout.judge import Judgement
from pipelines.rollout.looks import Observer
from pipelines.rollout.orders import standing_pause
from pipelines.rollout.turns import TimelineEntry, last_rollout, read_timeline

MILLISECOND = timedelta(milliseconds=1)  # the resolution of event time: up to and with the last payment


@dataclass(frozen=True)
class Standing:
    """What registry, ledger and log say of the rollout that is open, or of the last one."""

    champion: str | None
    challenger: str | None  # as the registry's alias says
    serving: ServingPlan | None  # the plan in force
    opened: Opened | None
    running: bool  # by a living process
    timeline: tuple[TimelineEntry, ...]  # of the open one, or of the last one
    evidence: Judgement | None  # of the open one, as its judge would see it now
    service: dict[str, Any] | None  # who serves, in the service's own words; None while it is away


def status(*, as_json: bool) -> None:
    """Print it. Raises RegistryUnavailable, LedgerBroken."""
    found = _look(Settings.load())
    if as_json:
        print_json(_facts(found))
    else:
        _print(found)


def _look(settings: Settings) -> Standing:
    ledger = Ledger(settings.home / "ledger.jsonl")
    entries = ledger.entries()
    opened = read_open(ledger)
    try:
        service = ask_serving(settings)
    except ServiceDown:
        service = None
    with closing(Registry.of(settings)) as registry:
        return Standing(
            registry.alias(CHAMPION),
            registry.alias(CHALLENGER),
            registry.plan(),
            opened,
            ledger.is_taken("rollout"),
            read_timeline(entries, opened.rollout_id if opened else last_rollout(entries)),
            evidence_now(settings, registry, opened, service) if opened else None,
            service,
        )


def evidence_now(settings: Settings, registry: Registry, opened: Opened, service: dict[str, Any] | None) -> Judgement | None:
    """The judge's view of the step under way, from the log; None before there is a step, and once it is decided."""
    if not opened.done or opened.done[-1][1].result is not None:
        return None
    try:
        span = logged_span(readable_log(settings))
    except MissingFile:
        return None
    versions = opened.champion, opened.challenger
    source = log_evidence(settings, registry, versions, lambda: trouble_of(service or {}, opened.challenger))
    now = span[1] + MILLISECOND if span else opened.started
    return Observer(plan_of(opened), source, DecisionCosts()).standing(opened, now)


def _facts(found: Standing) -> dict[str, Any]:
    opened = found.opened
    return {
        "open": None
        if opened is None
        else {
            "rollout_id": opened.rollout_id,
            "champion": opened.champion,
            "challenger": opened.challenger,
            "since": opened.started.isoformat(),
            "running": found.running,
            "step_since": opened.done[-1][0].isoformat() if opened.done else None,
            "evidence": found.evidence.to_json() if found.evidence else None,
            "orders": [asdict(order) for order in opened.orders],
        },
        "champion": found.champion,
        "challenger": found.challenger,
        "serving": found.serving.to_json() if found.serving else None,
        "service": found.service,
        "timeline": [asdict(turn) for turn in found.timeline],
    }


def _print(found: Standing) -> None:
    out = console()
    opened = found.opened
    if opened is None:
        out.print(_none_open(found))
        return
    state = "is running" if found.running else "is open, and nobody runs it"
    held = standing_pause(opened.orders)
    out.print(f"[bold]{opened.rollout_id}[/] {state}: version {opened.challenger} against champion {opened.champion}")
    rows = table("", "")
    rows.show_header = False
    rows.add_row("begun", _when(opened.started))
    rows.add_row("step", _step(opened))
    rows.add_row("cards", _who_serves(found))
    if held:
        rows.add_row("paused", f"since {_when(held.at)} by {held.told()}")
    for number, turn in enumerate(filter(is_verdict, found.timeline)):
        rows.add_row("" if number else "so far", f"{headline(turn)}\n[dim]{turn.reason}[/]")
    if found.evidence:
        said = found.evidence
        rows.add_row(
            "now", f"{_when(datetime.fromisoformat(said.at))}: {said.verdict.replace('_', ' ')}\n[dim]{'; '.join(said.reasons)}[/]"
        )
    out.print(rows)
    if held or not found.running:
        up = "" if found.service else "[bold]lab up[/], then "
        out.print(f"Go on with it: {up}[bold]lab rollout resume[/].")


def _none_open(found: Standing) -> str:
    last = found.timeline[-1] if found.timeline else None
    told = "No rollout is open."
    if last is not None:
        told += f" The last one ended on {last.at[:10]}: {last.verdict.replace('_', ' ')}."
    if found.champion is None:
        return f"{told}\nThere is no champion yet: [bold]lab train[/]."
    told += f"\nVersion {found.champion} is champion and answers all cards."
    if found.challenger is None:
        return f"{told}\nThere is no challenger: [bold]lab train --retrain[/] makes one."
    return f"{told}\nVersion {found.challenger} is challenger: [bold]lab rollout start[/]."


def _step(opened: Opened) -> str:
    if not opened.done:
        return "none yet"
    since, action = opened.done[-1]
    if action.result is not None:
        return f"decided, {action.result.replace('_', ' ')}, on {_when(since)}; the end is not in the ledger yet"
    steps = plan_of(opened).steps
    step = steps[action.step]
    until = since + timedelta(days=step.max_days)
    return f"{step.name} ({action.step + 1} of {len(steps)}), since {_when(since)}, until {_when(until)} at most"


def _who_serves(found: Standing) -> str:
    plan = found.serving
    if plan is None or plan.mode == "champion_only":
        told = f"version {plan.champion if plan else found.champion} answers all"
    elif plan.mode == "shadow":
        told = f"version {plan.champion} answers all; version {plan.challenger} scores them in its shadow"
    else:
        told = f"version {plan.challenger} answers {plan.share:.0%}, version {plan.champion} the rest; both score every payment"
    if found.service is None:
        return f"{told} [yellow](the service is down)[/]"
    followed = found.service["plan"] == (plan.to_json() if plan else None)
    return told if plan is None or followed else f"{told} [yellow](the service has not followed yet)[/]"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
