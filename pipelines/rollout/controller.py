"""The rollout controller: preflight, shadow, canary steps, soak, then promoted, rolled back or inconclusive. It acts; `judge.py` decides.

    preflight → shadow → canary 1 % → 5 % → 25 % → 50 % → soak → promoted
        │          └────────┴─────────┴──────┴──────┴──────┴─→ rolled_back | inconclusive (the champion gets all cards)
        └─→ aborted (nobody met it)

It moves through event time by asking for traffic, looks at the prediction log, asks the judge and changes the serving plan.
Everything it touches is a small interface, so the same code runs against a live service and on a virtual clock. Killed at any
point, it is started again with the same call: it completes what it had begun, reads the evidence again, and goes on.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from data.costs import DecisionCosts
from data.errors import BundleRefused, LabError, NoChallenger, RegistryUnavailable, RolloutRefused, UnknownRun
from data.ledger import Ledger
from data.registry import CHALLENGER, CHAMPION
from data.serving_plan import ServingPlan
from pipelines.rollout.actions import Action, Notify, Opened, RegistryPort, Result, complete, intend, plan_in_force, read_open, tell
from pipelines.rollout.evidence import EvidenceSource
from pipelines.rollout.judge import Judgement
from pipelines.rollout.looks import Look, Observer
from pipelines.rollout.orders import last_word
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.preflight import Inspector
from pipelines.rollout.record import Recorder
from pipelines.rollout.turns import TimelineEntry, last_rollout, read_timeline
from pipelines.rollout.watch import Ruling, Traffic, Watch

MOST_TRIES: Final = 60  # of an action while the registry is away, a rest between them: a minute, and a restart of MLflow takes half of it
T = TypeVar("T")


@dataclass(frozen=True)
class RolloutOutcome:
    """How a rollout ended, and how it came to that."""

    rollout_id: str
    result: Result
    champion_before: str
    champion_after: str
    challenger: str
    reasons: tuple[str, ...]
    timeline: tuple[TimelineEntry, ...]  # from its start on, resumed or not
    judgements: tuple[Judgement, ...]  # one per look; after a resume, those since
    unrecorded: str = ""  # why MLflow does not hold all of it; the next rollout makes up for it

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_rollout(
    plan: RolloutPlan,
    *,
    registry: RegistryPort,
    ledger: Ledger,
    evidence: EvidenceSource,
    traffic: Traffic,
    notify: Notify,
    inspect: Inspector,
    at: datetime,
    by: str = "lab rollout",
    costs: DecisionCosts = DecisionCosts(),  # noqa: B008 - an immutable value
    record: Recorder = lambda entries, rollout_id: None,  # noqa: ARG005
    rest: Callable[[], None] = lambda: None,
    tell: Callable[[TimelineEntry], None] = lambda _: None,
) -> RolloutOutcome:
    """Roll the challenger out under `plan` from event time `at`, or go on with the rollout that the ledger says is open.

    `by` is who asked for it, for the ledger; `inspect` is the preflight; `record` keeps a run in MLflow in step with the ledger;
    `rest` lets a moment of wall time pass where nothing can be done but wait; `tell` hears of each turn as it happens.
    Raises RolloutRefused when another rollout runs, there is no champion or challenger (NoChallenger), or somebody else changes
    who serves meanwhile. Errors of the registry (after a minute of tries) or of the service pass through; calling again completes
    what was begun.
    """
    with ledger.turn("rollout"):
        controller = _Controller(plan, registry, ledger, notify, inspect, by, record, rest, tell)
        controller.watch = Watch(plan, ledger, Observer(plan, evidence, costs), traffic, rest, controller.turned)
        opened = read_open(ledger)
        return controller.resume(opened, at) if opened else controller.start(at)


@dataclass
class _Controller:
    plan: RolloutPlan
    registry: RegistryPort
    ledger: Ledger
    notify: Notify
    inspect: Inspector
    by: str
    record: Recorder
    rest: Callable[[], None]
    tell: Callable[[TimelineEntry], None]
    watch: Watch = None  # type: ignore[assignment] # follows at once
    told: int = 0  # turns of the timeline
    unrecorded: str = ""

    def start(self, at: datetime) -> RolloutOutcome:
        """Preflight, then the first step."""
        champion, challenger = contenders(self.registry)
        serving = plan_in_force(self.registry, self.ledger, champion)
        if serving.mode != "champion_only":
            raise _refused(f"Rollout {serving.rollout_id} is under way", "`lab rollout status` shows it.")
        if serving.champion == challenger:
            raise _refused(
                f"Version {challenger} answers all cards already", "`lab registry` lists the versions; another may be challenger."
            )
        entries = self.ledger.entries()
        self._record(last_rollout(entries))  # MLflow may have been away at its end
        number = 1 + sum(entry.kind == "rollout_started" for entry in entries)
        opened = Opened(f"rollout-{number}-seed-{self.plan.seed}", serving.champion, challenger, self.plan.digest, at)
        facts = {"champion": opened.champion, "challenger": challenger, "plan": self.plan.to_json(), "plan_digest": self.plan.digest}
        self.ledger.record("rollout_started", {"rollout_id": opened.rollout_id, "by": self.by, **facts}, at)
        return self._begin(opened, serving, at)

    def resume(self, opened: Opened, at: datetime) -> RolloutOutcome:
        """Complete what was begun; go on from there, or, in doubt, give all cards to the champion."""
        self.told = len(read_timeline(self.ledger.entries(), opened.rollout_id))
        self.watch.paused = opened.paused
        if opened.intent and opened.intent[1].kind == "withdraw":
            tell(opened.intent[1].serving, self.notify)  # whatever the registry says next, or does not
        champion = self._patiently(lambda: self.registry.alias(CHAMPION)) or opened.champion
        in_force = self._patiently(lambda: plan_in_force(self.registry, self.ledger, champion))
        if opened.intent:
            begun_at, action = opened.intent
            if in_force in (action.before, action.serving):
                self._complete(action, opened, begun_at)
                opened = replace(opened, done=(*opened.done, opened.intent), intent=None)
                in_force = action.serving
        last = opened.done[-1][1] if opened.done else None
        if opened.intent or opened.plan_digest != self.plan.digest or (last and last.serving != in_force):
            doubt = ("resumed in doubt: the registry or the plan changed meanwhile",)
            return self._end_with(self._withdrawal(opened, in_force, "rolled_back", doubt, champion=champion), opened, at)
        if last and last.result:
            return self._end(opened, last, at)
        word = last_word(opened.orders)
        if word and word.kind == "abort":
            action = self._withdrawal(opened, in_force, "rolled_back", (f"aborted by {word.told()}",), word.by)
            return self._end_with(action, opened, at)
        if last is None:
            return self._begin(opened, in_force, at)
        return self._go_on(opened, self.watch.observer.relearn(opened, at))

    def _begin(self, opened: Opened, before: ServingPlan, at: datetime) -> RolloutOutcome:
        """Preflight, then the first step."""
        if not opened.inspected:
            try:
                found = self._patiently(lambda: self.inspect(opened.challenger))
            except (BundleRefused, UnknownRun) as refused:
                self._preflight(opened, {"passed": False, "reason": refused.message}, at)
                return self._end_with(self._withdrawal(opened, before, "aborted", (refused.message,)), opened, at)
            self._preflight(opened, {"passed": True, "reason": found.told(), "found": found.to_json()}, at)
        serving = self._enter(opened, before, 0, at)
        return self._go_on(opened, self.watch.observer.begin(serving, at))

    def _preflight(self, opened: Opened, facts: dict[str, Any], at: datetime) -> None:
        self.ledger.record("preflight", {"rollout_id": opened.rollout_id, **facts}, at)
        self._tell(opened.rollout_id)

    def _go_on(self, opened: Opened, look: Look) -> RolloutOutcome:
        """Look, judge, act; until a verdict ends the rollout."""
        while True:
            look, ruling = self.watch.step(look, opened.orders)
            learned, verdict = look.learned, ruling.judgement.verdict
            if verdict == "advance":
                step = learned.step + 1
                look = look.entering(self._enter(opened, learned.serving, step, learned.now, ruling), step, learned.now)
            elif verdict == "promote":
                return self._promote(opened, learned.serving, ruling, learned.now)
            else:
                result: Result = "rolled_back" if verdict == "roll_back" else "inconclusive"
                action = self._withdrawal(opened, learned.serving, result, ruling.judgement.reasons, ruling.by)
                return self._end_with(action, opened, learned.now, ruling)

    def _enter(self, opened: Opened, before: ServingPlan, step: int, at: datetime, ruling: Ruling | None = None) -> ServingPlan:
        """Put a step into force."""
        stated = self.plan.steps[step]
        serving = ServingPlan(before.epoch + 1, opened.champion, opened.challenger, stated.mode, stated.share, opened.rollout_id)
        self._act(Action("serve", before, serving, step), opened, at, ruling)
        self.turned(opened.rollout_id)
        return serving

    def _promote(self, opened: Opened, before: ServingPlan, ruling: Ruling, at: datetime) -> RolloutOutcome:
        """All cards to the challenger."""
        serving = ServingPlan(before.epoch + 1, opened.challenger, rollout_id=opened.rollout_id)
        action = Action("promote", before, serving, 0, "promoted", ruling.judgement.reasons, ruling.by)
        return self._end_with(action, opened, at, ruling)

    def _withdrawal(
        self, opened: Opened, before: ServingPlan, result: Result, reasons: tuple[str, ...], by: str = "controller", champion: str = ""
    ) -> Action:
        """All cards to the champion; to that of `before`, which no registry need be asked for, unless another is named."""
        epoch = 1 + max(before.epoch, opened.intent[1].serving.epoch if opened.intent else 0)
        return Action(
            "withdraw", before, ServingPlan(epoch, champion or before.champion, rollout_id=opened.rollout_id), 0, result, reasons, by
        )

    def _end_with(self, action: Action, opened: Opened, at: datetime, ruling: Ruling | None = None) -> RolloutOutcome:
        self._act(action, opened, at, ruling)
        return self._end(opened, action, at)

    def _act(self, action: Action, opened: Opened, at: datetime, ruling: Ruling | None = None) -> None:
        asked = ruling.to_json() if ruling else None
        self._patiently(lambda: intend(action, self.registry, self.ledger, opened.rollout_id, at, asked))
        self._complete(action, opened, at)

    def _complete(self, action: Action, opened: Opened, at: datetime) -> None:
        self._patiently(lambda: complete(action, self.registry, self.ledger, self.notify, opened.rollout_id, at))

    def _patiently(self, do: Callable[[], T]) -> T:
        """A registry that is away for a moment stops nothing: event time stands still meanwhile."""
        for _ in range(MOST_TRIES):
            try:
                return do()
            except RegistryUnavailable:
                self.rest()
        return do()

    def _end(self, opened: Opened, action: Action, at: datetime) -> RolloutOutcome:
        result = action.result or "inconclusive"
        facts = {"result": result, "champion": action.serving.champion, "reasons": list(action.reasons), "decided_by": action.by}
        self.ledger.record("rollout_ended", {"rollout_id": opened.rollout_id, "by": self.by, **facts}, at)
        self.turned(opened.rollout_id)
        return RolloutOutcome(
            rollout_id=opened.rollout_id,
            result=result,
            champion_before=opened.champion,
            champion_after=action.serving.champion,
            challenger=opened.challenger,
            reasons=action.reasons,
            timeline=read_timeline(self.ledger.entries(), opened.rollout_id),
            judgements=tuple(self.watch.judgements),
            unrecorded=self.unrecorded,
        )

    def turned(self, rollout_id: str) -> None:
        """Tell of the turns that the ledger has since learnt of, and let MLflow know; never between a verdict and what it does."""
        self._tell(rollout_id)
        self._record(rollout_id)

    def _tell(self, rollout_id: str) -> None:
        turns = read_timeline(self.ledger.entries(), rollout_id)
        for turn in turns[self.told :]:
            self.tell(turn)
        self.told = len(turns)

    def _record(self, rollout_id: str) -> None:
        """Whatever keeps MLflow from taking it stops no rollout: the next turn makes up for it, and the ledger has it all."""
        try:
            if rollout_id:
                self.record(self.ledger.entries(), rollout_id)
            self.unrecorded = ""
        except LabError as error:
            self.unrecorded = error.message


def contenders(registry: RegistryPort) -> tuple[str, str]:
    """The versions that a rollout would compare: champion, challenger. Raises RolloutRefused, NoChallenger."""
    champion, challenger = registry.alias(CHAMPION), registry.alias(CHALLENGER)
    if champion is None:
        raise _refused("There is no champion to compare with", "Run `lab train` to register one.")
    if challenger in (None, champion):
        raise NoChallenger("There is no challenger to roll out.", next_step="Make one: `lab train --retrain`.", where="rollout")
    return champion, str(challenger)


def _refused(what: str, next_step: str) -> RolloutRefused:
    return RolloutRefused(f"{what}.", next_step=next_step, where="rollout")
