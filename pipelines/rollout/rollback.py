"""Put an earlier version back as champion, by hand: what monitoring asks for when a newly promoted model is the wrong one.

Not the end of a rollout (`controller.py` ends its own); the same intent, action, done, so that one killed half-way is
completed by the next call. Called by `lab rollback`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from data.errors import BadInput, BundleRefused, LabError, RolloutRefused, UnknownRun
from data.ledger import Entry, Ledger
from data.registry import CHAMPION, VersionFacts
from data.serving_plan import ServingPlan
from pipelines.rollout.actions import PREVIOUS_CHAMPION, Action, RegistryPort, complete, plan_in_force, read_open


class RollbackRegistry(RegistryPort, Protocol):
    """What a rollback needs of the registry besides."""

    def version(self, version: str) -> VersionFacts: ...


@dataclass(frozen=True)
class Rollback:
    """Who serves now, instead of whom. `resumed`: an earlier call had begun it and was killed."""

    champion: str
    instead_of: str
    epoch: int
    resumed: bool = False


@dataclass(frozen=True)
class _Begun:
    """A rollback whose intent is in the ledger and whose "done" is not."""

    name: str
    at: datetime
    action: Action
    previous: str | None  # the previous champion when it began


def roll_back(
    registry: RollbackRegistry,
    ledger: Ledger,
    notify: Callable[[], object],
    *,
    reason: str,
    at: datetime,
    to: str | None = None,
    by: str = "lab rollback",
) -> Rollback:
    """Make `to` (None: the previous champion) the champion of all cards; the one it replaces becomes the previous champion.

    `at` is event time; `reason` and `by` are for the ledger. Raises BadInput without a reason, RolloutRefused while a
    rollout is open or when there is nobody else to serve, UnknownRun for a version that nobody registered, and BundleRefused or
    UnknownRun, with everything as it was, when `notify`, which makes the service look at the registry, says that it will not serve that
    version or finds no files of it.
    """
    if not reason.strip():
        raise BadInput("A rollback wants a reason: the ledger keeps it.", next_step='Give one: --reason "…".', where="reason")
    with ledger.turn("rollout"):
        left = _left_behind(ledger.entries())
        begun = left or _begin(registry, ledger, to, {"reason": reason, "by": by}, at)
        try:
            complete(begun.action, registry, ledger, lambda _: notify(), begun.name, begun.at)
        except (BundleRefused, UnknownRun) as refused:
            _undo(begun, refused, registry, ledger, notify)
            raise
        action = begun.action
        return Rollback(action.serving.champion, action.before.champion, action.serving.epoch, resumed=left is not None)


def _begin(registry: RollbackRegistry, ledger: Ledger, to: str | None, why: dict[str, str], at: datetime) -> _Begun:
    """Check, and put the intent into the ledger."""
    serving = _in_force(registry, ledger)
    previous = registry.alias(PREVIOUS_CHAMPION)
    target = _target(registry, serving.champion, to or previous)
    name = f"rollback-{serving.epoch + 1}"
    action = Action("restore", serving, ServingPlan(serving.epoch + 1, target, rollout_id=name), reasons=(why["reason"],))
    facts = {"champion": target, "instead_of": serving.champion, "previous": previous, **why}
    ledger.record("rollback", {"rollout_id": name, **facts}, at)
    ledger.record("intent", {"rollout_id": name, "action": action.to_json()}, at)
    return _Begun(name, at, action, previous)


def _undo(begun: _Begun, refused: LabError, registry: RollbackRegistry, ledger: Ledger, notify: Callable[[], object]) -> None:
    """Back to who served before: the service never stopped answering with that version."""
    action = begun.action
    before = replace(action.before, epoch=action.serving.epoch + 1)
    back = Action("restore", action.serving, before, reasons=(refused.message,))
    ledger.record("intent", {"rollout_id": begun.name, "action": back.to_json()}, begun.at)
    complete(back, registry, ledger, lambda _: notify(), begun.name, begun.at)
    if begun.previous is None:
        registry.delete_alias(PREVIOUS_CHAMPION)
    else:
        registry.set_alias(PREVIOUS_CHAMPION, begun.previous)


def _left_behind(entries: list[Entry]) -> _Begun | None:
    begun: _Begun | None = None
    previous: str | None = None
    for entry in entries:
        name = entry.facts.get("rollout_id")
        if entry.kind == "rollback":
            previous = entry.facts.get("previous")
        elif entry.kind == "intent" and entry.facts["action"]["kind"] == "restore":
            begun = _Begun(entry.facts["rollout_id"], datetime.fromisoformat(entry.at), Action.from_json(entry.facts["action"]), previous)
        elif entry.kind == "done" and begun and name == begun.name:
            begun = None
    return begun


def _in_force(registry: RollbackRegistry, ledger: Ledger) -> ServingPlan:
    opened = read_open(ledger)
    champion = registry.alias(CHAMPION)
    if champion is None:
        raise _refused("There is no champion to replace", "Run `lab train` to register one.")
    serving = plan_in_force(registry, ledger, champion)
    if opened or serving.mode != "champion_only":
        name = opened.rollout_id if opened else serving.rollout_id
        raise _refused(f"{name} is open", "`lab rollout status` shows it; if nobody runs it, `lab rollout resume` brings it to its end.")
    return serving


def _target(registry: RollbackRegistry, champion: str, wanted: str | None) -> str:
    if wanted is None:
        raise _refused("There is no previous champion", "Name a version: `lab rollback --to VERSION`; `lab registry` lists them.")
    if wanted == champion:
        raise _refused(f"Version {champion} is champion already", "Name another: `lab registry` lists them.")
    return registry.version(wanted).version


def _refused(what: str, next_step: str) -> RolloutRefused:
    return RolloutRefused(f"{what}.", next_step=next_step, where="rollback")
