"""What a rollout does to the world, so that being killed at any point leaves one champion: intent, action, done.

An intent is in the ledger before anything changes, and every action may be done twice, so an intent without its "done" is
simply done again. Where the registry says something that neither follows from the ledger nor precedes it, somebody else has
been there: then the champion gets all cards. Used by `controller.py` and, for the one action "restore", by `rollback.py`.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from data.errors import PlanRefused, RolloutRefused
from data.ledger import Entry
from data.registry import CHALLENGER, CHAMPION
from data.serving_plan import ServingPlan

PREVIOUS_CHAMPION = "previous_champion"
Kind = Literal["serve", "promote", "withdraw", "restore"]
Result = Literal["promoted", "rolled_back", "inconclusive"]


class RegistryPort(Protocol):
    """The part of `data.registry.Registry` that a rollout uses."""

    def alias(self, alias: str) -> str | None: ...
    def set_alias(self, alias: str, version: str) -> None: ...
    def delete_alias(self, alias: str) -> None: ...
    def plan(self) -> ServingPlan | None: ...
    def set_plan(self, plan: ServingPlan) -> None: ...


class LedgerPort(Protocol):
    """The part of `data.ledger.Ledger` that a rollout uses to remember."""

    def record(self, kind: str, facts: dict[str, Any], at: datetime) -> Entry: ...
    def entries(self) -> list[Entry]: ...


class Notify(Protocol):
    """Tells the scoring service that the serving plan changed (it would find out by itself a moment later)."""

    def __call__(self) -> None: ...


@dataclass(frozen=True)
class Action:
    """One change of who serves. `before` is the plan it replaces."""

    kind: Kind
    before: ServingPlan
    serving: ServingPlan
    step: int = 0
    result: Result | None = None  # of the rollout, for its last action
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "Action":
        plans = {name: ServingPlan.from_json(facts[name]) for name in ("before", "serving")}
        return cls(**{**facts, **plans, "reasons": tuple(facts["reasons"])})


@dataclass(frozen=True)
class Opened:
    """A rollout that the ledger says is under way, and what it has done so far."""

    rollout_id: str
    champion: str
    challenger: str
    plan_digest: str
    started: datetime
    done: tuple[tuple[datetime, Action], ...] = ()
    intent: tuple[datetime, Action] | None = None  # recorded, and not known to be done
    plan: dict[str, Any] = field(default_factory=dict)  # as it was when it started


def read_open(ledger: LedgerPort) -> Opened | None:
    """The rollout that was started and never ended, or None."""
    opened: Opened | None = None
    for entry in ledger.entries():
        at, facts = datetime.fromisoformat(entry.at), entry.facts
        if entry.kind == "rollout_started":
            versions = facts["champion"], facts["challenger"]
            opened = Opened(facts["rollout_id"], *versions, facts["plan_digest"], at, plan=facts["plan"])
        elif entry.kind == "rollout_ended":
            opened = None
        elif opened and entry.kind == "intent":
            opened = replace(opened, intent=(at, Action.from_json(facts["action"])))
        elif opened and opened.intent and entry.kind == "done":
            opened = replace(opened, done=(*opened.done, opened.intent), intent=None)
    return opened


def plan_in_force(registry: RegistryPort, ledger: LedgerPort, champion: str) -> ServingPlan:
    """The registry's plan. Where it has none that counts, the last one that the ledger says took effect: the service follows that."""
    with suppress(PlanRefused):
        plan = registry.plan()
        if plan is not None:
            return plan
    entries = ledger.entries()
    done = {entry.facts["epoch"] for entry in entries if entry.kind == "done"}
    plans = (Action.from_json(entry.facts["action"]).serving for entry in reversed(entries) if entry.kind == "intent")
    return next((plan for plan in plans if plan.epoch in done), ServingPlan(0, champion))


def act(action: Action, registry: RegistryPort, ledger: LedgerPort, notify: Notify, rollout_id: str, at: datetime) -> None:
    """Intent, action, done. Raises RolloutRefused, changing nothing, when another plan than `before` is in force."""
    in_force = plan_in_force(registry, ledger, action.before.champion)
    if in_force != action.before:
        raise RolloutRefused(
            f"Somebody else changed who serves: epoch {in_force.epoch} is in force, {action.before.epoch} was expected.",
            next_step="`lab rollout resume` gives all cards to the champion and ends it.",
            where="serving plan",
        )
    ledger.record("intent", {"rollout_id": rollout_id, "action": action.to_json()}, at)
    complete(action, registry, ledger, notify, rollout_id, at)


def complete(action: Action, registry: RegistryPort, ledger: LedgerPort, notify: Notify, rollout_id: str, at: datetime) -> None:
    """Do what an intent says, whether or not some of it was done before, and record that it is done."""
    if action.kind in ("promote", "restore"):
        registry.set_alias(PREVIOUS_CHAMPION, action.before.champion)
        registry.set_alias(CHAMPION, action.serving.champion)
    registry.set_plan(action.serving)  # the service follows this alone: a rollback takes effect here
    if action.result in ("promoted", "rolled_back"):
        registry.delete_alias(CHALLENGER)  # an undecided challenger keeps its name: it may be tried again with more traffic
    notify()
    ledger.record("done", {"rollout_id": rollout_id, "kind": action.kind, "epoch": action.serving.epoch}, at)
