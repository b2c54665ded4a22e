"""Put an earlier version back as champion, by hand: what monitoring asks for when a newly promoted model is the wrong one.

Not the end of a rollout (`rollout.py` ends its own); the same intent, action, done, so that one killed half-way is
completed by the next call. Called by `lab rollback`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from data.errors import BadInput, RolloutRefused
from data.ledger import Entry, Ledger
from data.registry import CHAMPION, VersionFacts
from data.serving_plan import ServingPlan
from pipelines.rollout_actions import PREVIOUS_CHAMPION, Action, Notify, RegistryPort, act, complete, read_open


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


def roll_back(
    registry: RollbackRegistry,
    ledger: Ledger,
    notify: Notify,
    *,
    reason: str,
    at: datetime,
    to: str | None = None,
    by: str = "lab rollback",
) -> Rollback:
    """Make `to` (None: the previous champion) the champion of all cards; the one it replaces becomes the previous champion.

    `at` is event time; `reason` and `by` are for the ledger. Raises BadInput without a reason, RolloutRefused while a
    rollout is open or when there is nobody else to serve, UnknownRun for a version that nobody registered.
    """
    if not reason.strip():
        raise BadInput("A rollback wants a reason: the ledger keeps it.", next_step='Give one: --reason "…".', where="reason")
    with ledger.turn("rollout"):
        begun = _begun(ledger.entries())
        if begun:
            began_at, name, action = begun
            complete(action, registry, ledger, notify, name, began_at)
            return _done(action, resumed=True)
        serving = _in_force(registry, ledger)
        target = _target(registry, serving.champion, to)
        name = f"rollback-{serving.epoch + 1}"
        facts = {"champion": target, "instead_of": serving.champion, "reason": reason, "by": by}
        ledger.record("rollback", {"rollout_id": name, **facts}, at)
        action = Action("restore", serving, ServingPlan(serving.epoch + 1, target, rollout_id=name), reasons=(reason,))
        act(action, registry, ledger, notify, name, at)
        return _done(action)


def _begun(entries: list[Entry]) -> tuple[datetime, str, Action] | None:
    """A rollback whose intent is in the ledger and whose "done" is not."""
    begun = None
    for entry in entries:
        if entry.kind == "intent" and entry.facts["action"]["kind"] == "restore":
            begun = datetime.fromisoformat(entry.at), entry.facts["rollout_id"], Action.from_json(entry.facts["action"])
        elif entry.kind == "done" and begun and entry.facts["rollout_id"] == begun[1]:
            begun = None
    return begun


def _in_force(registry: RollbackRegistry, ledger: Ledger) -> ServingPlan:
    opened = read_open(ledger)
    champion = registry.alias(CHAMPION)
    if champion is None:
        raise _refused("There is no champion to replace", "Run `lab train` to register one.")
    serving = registry.plan() or ServingPlan(0, champion)
    if opened or serving.mode != "champion_only":
        name = opened.rollout_id if opened else serving.rollout_id
        raise _refused(f"{name} is open, and its champion answers all cards when it ends", "Wait for it; `lab registry` shows its ledger.")
    return serving


def _target(registry: RollbackRegistry, champion: str, to: str | None) -> str:
    target = to or registry.alias(PREVIOUS_CHAMPION)
    if target is None:
        raise _refused("There is no previous champion", "Name a version: `lab rollback --to VERSION`; `lab registry` lists them.")
    if target == champion:
        raise _refused(f"Version {champion} is champion already", "Name another: `lab registry` lists them.")
    return registry.version(target).version


def _done(action: Action, *, resumed: bool = False) -> Rollback:
    return Rollback(action.serving.champion, action.before.champion, action.serving.epoch, resumed)


def _refused(what: str, next_step: str) -> RolloutRefused:
    return RolloutRefused(f"{what}.", next_step=next_step, where="rollback")
