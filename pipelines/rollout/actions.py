"""What a rollout does to the world, so that being killed at any point leaves one champion: intent, action, done.

An intent is in the ledger before anything changes, and every action may be done twice, so an intent without its "done" is
simply done again. Where the registry says something that neither follows from the ledger nor precedes it, somebody else has
been there: then the champion gets all cards. Used by `controller.py` and, for the one action "restore", by `rollback.py`.

To withdraw a challenger waits for nothing but the ledger: the service is told first, and the registry follows when it can.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from data.errors import PlanRefused, RolloutRefused, ServiceDown
from data.ledger import Entry
from data.registry import CHALLENGER, CHAMPION
from data.serving_plan import ServingPlan
from pipelines.rollout.orders import Order, read_orders

PREVIOUS_CHAMPION = "previous_champion"
Kind = Literal["serve", "promote", "withdraw", "restore"]
# Hands the scoring service a new serving plan, to be followed at once; it would find it in the registry a moment later.
Notify: TypeAlias = Callable[[ServingPlan], object]
Result = Literal["promoted", "rolled_back", "inconclusive", "aborted"]  # aborted: refused by the preflight, nobody met it


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
    def record_all(self, lines: Sequence[tuple[str, dict[str, Any]]], at: datetime) -> list[Entry]: ...
    def entries(self) -> list[Entry]: ...


@dataclass(frozen=True)
class Action:
    """One change of who serves. `before` is the plan it replaces."""

    kind: Kind
    before: ServingPlan
    serving: ServingPlan
    step: int = 0
    result: Result | None = None  # of the rollout, for its last action
    reasons: tuple[str, ...] = ()
    by: str = "judge"  # who decided

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
    inspected: bool = False  # the preflight was passed
    paused: bool = False  # by the judge
    orders: tuple[Order, ...] = ()


def read_open(ledger: LedgerPort) -> Opened | None:
    """The rollout that was started and never ended, or None."""
    entries = ledger.entries()
    starts = [number for number, entry in enumerate(entries) if entry.kind == "rollout_started"]
    return _read(entries[starts[-1] :]) if starts else None


def _read(entries: list[Entry]) -> Opened | None:
    """The rollout that the first of these entries starts; None when one of them ends it."""
    facts = entries[0].facts
    started = datetime.fromisoformat(entries[0].at)
    opened = Opened(facts["rollout_id"], facts["champion"], facts["challenger"], facts["plan_digest"], started, plan=facts["plan"])
    for entry in entries[1:]:
        at, facts = datetime.fromisoformat(entry.at), entry.facts
        if entry.kind == "rollout_ended":
            return None
        if entry.kind == "intent":
            opened = replace(opened, intent=(at, Action.from_json(facts["action"])))
        elif opened.intent and entry.kind == "done":
            opened = replace(opened, done=(*opened.done, opened.intent), intent=None, paused=False)
        elif entry.kind == "preflight":
            opened = replace(opened, inspected=facts["passed"])
        elif entry.kind in ("judgement", "resumed"):
            opened = replace(opened, paused=facts["verdict"] == "pause")
    return replace(opened, orders=read_orders(entries, opened.rollout_id))


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


def intend(
    action: Action, registry: RegistryPort, ledger: LedgerPort, rollout_id: str, at: datetime, ruling: dict[str, Any] | None = None
) -> None:
    """Put an intent into the ledger, after the `ruling` that asks for it. Raises RolloutRefused, changing nothing, when another
    plan than `before` is in force.

    To withdraw waits for no such look at the registry: `complete` has one, after the service was told.
    """
    if action.kind != "withdraw":
        _require_in_force((action.before,), registry, ledger)
    lines = [("judgement", {"rollout_id": rollout_id, **ruling})] if ruling else []
    ledger.record_all([*lines, ("intent", {"rollout_id": rollout_id, "action": action.to_json()})], at)


def complete(action: Action, registry: RegistryPort, ledger: LedgerPort, notify: Notify, rollout_id: str, at: datetime) -> None:
    """Do what an intent says, whether or not some of it was done before, and record that it is done.

    Raises RegistryUnavailable, ServiceDown, and RolloutRefused when somebody else changed who serves; it may be called again.
    """
    if action.kind == "withdraw":
        tell(action.serving, notify)
        _require_in_force((action.before, action.serving), registry, ledger)
    if action.kind in ("promote", "restore"):
        registry.set_alias(PREVIOUS_CHAMPION, action.before.champion)
        registry.set_alias(CHAMPION, action.serving.champion)
    registry.set_plan(action.serving)
    if action.result not in (None, "inconclusive"):
        registry.delete_alias(CHALLENGER)  # an undecided challenger keeps its name: it may be tried again with more traffic
    if action.kind != "withdraw":
        notify(action.serving)
    ledger.record("done", {"rollout_id": rollout_id, "kind": action.kind, "epoch": action.serving.epoch}, at)


def tell(plan: ServingPlan, notify: Notify) -> None:
    """Hand the service a plan ahead of the registry. One that is away answers nobody, and asks the registry when it is back."""
    with suppress(ServiceDown, PlanRefused):
        notify(plan)


def _require_in_force(expected: Iterable[ServingPlan], registry: RegistryPort, ledger: LedgerPort) -> None:
    plans = tuple(expected)
    in_force = plan_in_force(registry, ledger, plans[0].champion)
    if in_force not in plans:
        raise RolloutRefused(
            f"Somebody else changed who serves: epoch {in_force.epoch} is in force, {plans[0].epoch} was expected.",
            next_step="`lab rollout resume` gives all cards to the champion and ends it.",
            where="serving plan",
        )
