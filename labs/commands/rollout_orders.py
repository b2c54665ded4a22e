"""`lab rollout pause`, `abort` and `promote`: an operator's orders, by way of the ledger, so that a rollout in another process obeys.

A rollout that nobody runs obeys at once: an order to end it is carried out here, one to pause waits for `lab rollout resume`.
"""

import time
from contextlib import closing
from dataclasses import asdict

from data.errors import NoRollout, RolloutInterrupted, RolloutRefused
from data.ledger import Ledger
from data.registry import Registry
from data.settings import Settings
from labs.commands.rollout import EXIT_STATUS, go_on, plan_of
from labs.rollout import newest_moment, roll_out
from labs.terminal import console, print_json
from pipelines.rollout.actions import Opened, read_open
from pipelines.rollout.orders import Kind, give
from pipelines.rollout.turns import TimelineEntry, read_timeline

OBEYED_WITHIN_S = 120.0  # between two looks of a running rollout lie seconds; the machine may be busy
_POLL_S = 0.2


def pause(reason: str, by: str, *, as_json: bool) -> None:
    """Hold the open rollout in its step. Raises NoRollout, BadInput."""
    ledger, opened = _ordered("pause", reason, by)
    running = ledger.is_taken("rollout")
    if as_json:
        print_json({"rollout_id": opened.rollout_id, "order": "pause", "running": running})
        return
    when = "from its next look on it stays in its step" if running else "nobody runs it: it stays where it is"
    console().print(f"{opened.rollout_id} is paused: {when}. Go on: [bold]lab rollout resume[/].")


def abort(reason: str, by: str, *, as_json: bool) -> None:
    """Give the champion all cards. Raises NoRollout, BadInput, RolloutRefused when it ended otherwise before it could obey."""
    settings = Settings.load()
    ledger, opened = _ordered("abort", reason, by)
    if not ledger.is_taken("rollout"):
        with closing(Registry.of(settings)) as registry:
            versions, at = (opened.champion, opened.challenger), newest_moment(settings, ledger)
            roll_out(settings, registry, ledger, plan_of(opened), versions, traffic=lambda until: until, at=at, tell=lambda _: None)
    _conclude(_end(ledger, opened), opened, "rolled_back", as_json=as_json)


def promote(reason: str, by: str, *, as_json: bool) -> int:
    """Make the challenger champion; returns how it ended as an exit status. Raises what `lab rollout resume` raises, and BadInput."""
    ledger, opened = _ordered("promote", reason, by)
    if not ledger.is_taken("rollout"):
        return go_on(opened, as_json=as_json)
    end = _end(ledger, opened)
    _conclude(end, opened, "promoted", as_json=as_json)
    return EXIT_STATUS["promoted"]


def _ordered(kind: Kind, reason: str, by: str) -> tuple[Ledger, Opened]:
    """The order is in the ledger."""
    settings = Settings.load()
    ledger = Ledger(settings.home / "ledger.jsonl")
    opened = read_open(ledger)
    if opened is None:
        raise NoRollout("No rollout is open.", next_step="`lab rollout story` tells how the last one ended.", where="rollout")
    give(ledger, opened.rollout_id, kind, reason=reason, by=by, at=newest_moment(settings, ledger))
    return ledger, opened


def _end(ledger: Ledger, opened: Opened) -> TimelineEntry:
    """How the rollout ended, once it has."""
    deadline = time.monotonic() + OBEYED_WITHIN_S
    while not (turns := read_timeline(ledger.entries(), opened.rollout_id)) or turns[-1].stage not in EXIT_STATUS:
        if time.monotonic() > deadline:
            raise RolloutInterrupted(
                f"The order is in the ledger; {opened.rollout_id} has not obeyed within {OBEYED_WITHIN_S:.0f} s.",
                next_step="`lab rollout status` shows whether it is running; if nobody runs it: `lab rollout resume`.",
                where=opened.rollout_id,
            )
        time.sleep(_POLL_S)
    return turns[-1]


def _conclude(end: TimelineEntry, opened: Opened, wanted: str, *, as_json: bool) -> None:
    if end.verdict != wanted:
        raise RolloutRefused(
            f"{opened.rollout_id} had ended before it could obey: {end.verdict.replace('_', ' ')} ({end.reason}).",
            next_step="`lab rollout story` tells how. To change who serves now: `lab rollback`, or another rollout.",
            where=opened.rollout_id,
        )
    if as_json:
        print_json(asdict(end) | {"rollout_id": opened.rollout_id})
        return
    version = opened.challenger if wanted == "promoted" else opened.champion
    console().print(f"{opened.rollout_id} is {end.verdict.replace('_', ' ')}: version {version} answers all cards.")
