"""`lab rollout start` and `lab rollout resume`: the challenger through preflight, shadow, canary and soak, over the running lab."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.padding import Padding

from data.errors import (
    BadInput,
    LabError,
    NoRollout,
    RegistryUnavailable,
    RolloutInterrupted,
    RolloutOpen,
    RolloutRefused,
    ServiceDown,
    StepFailed,
)
from data.ledger import Ledger
from data.registry import Registry
from data.settings import Settings
from labs.archive import readable_log
from labs.live import LiveSource, require_traffic, take_up, where_it_stands
from labs.replay import Replay
from labs.rollout import headline, is_verdict, newest_moment, promises, roll_out
from labs.service import ask_serving, reload, serving_once_ready
from labs.terminal import console, print_json
from pipelines.rollout.actions import Opened, Result, read_open
from pipelines.rollout.controller import RolloutOutcome, contenders
from pipelines.rollout.orders import give, standing_pause
from pipelines.rollout.plan import DEFAULT_PLAN, RolloutPlan
from pipelines.rollout.turns import TimelineEntry

# How it ended is the exit status: apart from 1 and 2, and from 64 on, which say that the command itself failed.
EXIT_STATUS: Final[dict[Result, int]] = {"promoted": 0, "rolled_back": 3, "inconclusive": 4, "aborted": 5}
AFTERWARDS = timedelta(hours=6)  # of payments, to see who answers once it is decided


def start(data: Path | None, plan: Path | None, *, as_json: bool) -> int:
    """Roll the challenger out; returns how it ended as an exit status.

    Raises RolloutOpen, ServiceDown, NoChallenger or NoTrafficLeft before anything changed, RolloutInterrupted when something
    failed on the way, and StepFailed when the service does not follow the decision.
    """
    settings = Settings.load()
    ledger = Ledger(settings.home / "ledger.jsonl")
    _require_none_open(ledger)
    ask_serving(settings)
    with closing(_registry(settings)) as registry:
        versions = contenders(registry)
        serving_once_ready(settings)
        source = LiveSource(data) if data else LiveSource.load(settings.home)
        return _Session(settings, registry, ledger, as_json).run(RolloutPlan.load(plan or DEFAULT_PLAN), versions, source)


def resume(by: str, *, as_json: bool) -> int:
    """Go on with the open rollout, from where the log stands and under the plan it was started with; returns as `start` does.

    One that a living process runs and an operator paused goes on there. Raises NoRollout when none is open, RolloutOpen while
    another process runs it unpaused, and what `start` raises.
    """
    settings = Settings.load()
    ledger = Ledger(settings.home / "ledger.jsonl")
    opened = read_open(ledger)
    if opened is None:
        raise NoRollout("No rollout is open.", next_step="Start one: `lab rollout start`.", where="rollout")
    paused, running = standing_pause(opened.orders), ledger.is_taken("rollout")
    if paused is None:
        _require_not_running(ledger, opened)
    else:
        give(ledger, opened.rollout_id, "resume", reason="", by=by, at=newest_moment(settings, ledger))
    if not running:
        return go_on(opened, as_json=as_json)
    if as_json:
        print_json({"rollout_id": opened.rollout_id, "order": "resume", "running": True})
    else:
        console().print(f"{opened.rollout_id} goes on in the process that runs it; [bold]lab rollout status[/] shows it.")
    return 0


def go_on(opened: Opened, *, as_json: bool) -> int:
    """Run the open rollout, which nobody runs, to its end; returns as `start` does."""
    settings = Settings.load()
    serving_once_ready(settings)
    with closing(_registry(settings)) as registry:
        with suppress(RegistryUnavailable):  # a rollback that was begun needs none
            reload(settings)  # it may have been away when the plan changed
        session = _Session(settings, registry, Ledger(settings.home / "ledger.jsonl"), as_json)
        return session.run(plan_of(opened), (opened.champion, opened.challenger), LiveSource.load(settings.home), opened)


class _Session:
    """One rollout, told as it goes: on stderr when standard output carries JSON."""

    def __init__(self, settings: Settings, registry: Registry, ledger: Ledger, as_json: bool) -> None:
        self.settings, self.registry, self.ledger, self.as_json = settings, registry, ledger, as_json
        self.out = console(to_stderr=as_json)
        self.stage = ""

    def run(self, plan: RolloutPlan, versions: tuple[str, str], source: LiveSource, opened: Opened | None = None) -> int:
        """Take the traffic up, roll out, see who answers."""
        days = sum(step.max_days for step in plan.steps) + AFTERWARDS / timedelta(days=1)
        with _resumable(self.ledger, self.out), self.out.status("taking up the payments where they stand") as status:
            stream = source.open(self.settings)
            stands = where_it_stands(stream, readable_log(self.settings))
            if opened is None:
                require_traffic(stream, stands)
            replay = take_up(self.settings, stream, stands, days)
            source.save(self.settings.home)
            self._begin(versions, replay.now, opened)

            def traffic(until: datetime) -> datetime:
                status.update(f"{replay.now:%Y-%m-%d %H:%M}, {self.stage}: {replay.sent:,} payments sent")
                return replay.run_until(until)

            where = self.settings, self.registry, self.ledger
            outcome = roll_out(*where, plan, versions, traffic=traffic, at=replay.now, tell=self._tell)
            status.update(f"{replay.now:%Y-%m-%d %H:%M}, who answers now?")
            self._see_who_answers(outcome, replay)
        self._conclude(outcome, replay)
        return EXIT_STATUS[outcome.result]

    def _begin(self, versions: tuple[str, str], at: datetime, opened: Opened | None) -> None:
        champion, challenger = versions
        name = f"{opened.rollout_id} goes on" if opened else "Rollout"
        self.out.print(f"[bold]{name}[/]: version {challenger} against champion {champion}, from {at:%Y-%m-%d %H:%M}")
        if opened and opened.done:
            serving = opened.done[-1][1].serving
            self.stage = serving.mode.replace("_", " ")

    def _tell(self, turn: TimelineEntry) -> None:
        self.stage = turn.stage + (f" {turn.share:.0%}" if turn.stage == "canary" else "")
        if is_verdict(turn):
            self.out.print(Padding(f"[green]·[/] {headline(turn)}", (0, 0, 0, 2), expand=False))
            self.out.print(Padding(f"[dim]{turn.reason}[/]", (0, 0, 0, 4), expand=False))

    def _see_who_answers(self, outcome: RolloutOutcome, replay: Replay) -> None:
        before = replay.sent
        replay.run_until(replay.now + AFTERWARDS)
        answered_by = replay.last_version if replay.sent > before else None
        for promised in promises(self.settings, self.registry, outcome, answered_by):
            if not promised.kept:
                raise StepFailed(
                    f"{outcome.result.replace('_', ' ').capitalize()}, but not followed. Expected: {promised.promise}. "
                    f"Found: {promised.found}.",
                    next_step="`lab status` says why, or names the log that does.",
                    where="scoring",
                )

    def _conclude(self, outcome: RolloutOutcome, replay: Replay) -> None:
        if self.as_json:
            facts = {name: fact for name, fact in asdict(outcome).items() if name != "judgements"}
            print_json({**facts, "requests": {"sent": replay.sent, "failed": replay.failed}, "until": replay.now.isoformat()})
            return
        new, old = outcome.challenger, outcome.champion_before
        told = {
            "promoted": f"[green]✓ promoted[/]: version {new} answers all cards, version {old} did before",
            "rolled_back": f"[red]✗ rolled back[/]: version {old} answers all cards, version {new} is no challenger any more",
            "aborted": f"[red]✗ aborted[/]: version {new} did not pass the preflight and met nobody; version {old} answers all cards",
            "inconclusive": f"[yellow]? inconclusive[/]: version {old} answers all cards, version {new} stays challenger",
        }
        self.out.print(f"{told[outcome.result]}; {replay.sent:,} payments sent, {replay.failed} failed.")
        if not any(is_verdict(turn) and turn.reason == outcome.timeline[-1].reason for turn in outcome.timeline):
            self.out.print(f"Why: {'; '.join(outcome.reasons)}.")  # no verdict told it
        if outcome.unrecorded:
            self.out.print(f"[yellow]MLflow's run of it is behind[/] ({outcome.unrecorded}); the next rollout completes it.")
        self.out.print(_NEXT[outcome.result])


_NEXT: Final[dict[Result, str]] = {
    "promoted": "Should it turn out wrong: [bold]lab rollback --reason …[/] puts the previous champion back.",
    "rolled_back": "Another challenger: [bold]lab train --retrain[/].",
    "aborted": "Another challenger: [bold]lab train --retrain[/].",
    "inconclusive": "Try again with the payments that follow: [bold]lab rollout start[/].",
}


def _registry(settings: Settings) -> Registry:
    return Registry.of(settings)


def _require_none_open(ledger: Ledger) -> None:
    opened = read_open(ledger)
    if opened is None:
        return
    _require_not_running(ledger, opened)
    raise RolloutOpen(
        f"{opened.rollout_id} was begun and has not ended.", next_step="Go on with it: `lab rollout resume`.", where=opened.rollout_id
    )


def _require_not_running(ledger: Ledger, opened: Opened) -> None:
    if ledger.is_taken("rollout"):
        raise RolloutOpen(
            f"{opened.rollout_id} is being run by another process.",
            next_step="Wait until it ends; `lab rollout status` shows it.",
            where=opened.rollout_id,
        )


def plan_of(opened: Opened) -> RolloutPlan:
    """The plan as the ledger has it. One that this version of the lab cannot read is none: then the rollout is withdrawn."""
    try:
        return RolloutPlan.from_json(opened.plan)
    except (ValueError, BadInput):
        return RolloutPlan.load()


@contextmanager
def _resumable(ledger: Ledger, out: Console) -> Iterator[None]:
    """Whatever stops an open rollout says how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        if read_open(ledger):
            out.print("The rollout stays open where it is. Go on with it: [bold]lab rollout resume[/].")
        raise
    except LabError as error:
        opened = read_open(ledger)
        if opened is None or isinstance(error, RolloutRefused):
            raise
        gone = isinstance(error, (ServiceDown, RegistryUnavailable))
        first = "Start what is missing with `lab up`." if gone else error.next_step
        raise RolloutInterrupted(
            f"{opened.rollout_id} stopped on its way: {error.message}",
            next_step=f"{first} Then go on with it: `lab rollout resume`.",
            where=error.where,
        ) from error
