"""The rollout controller: shadow, canary steps, then promoted, rolled back or inconclusive. It acts; `judge.py` decides.

    preflight → shadow → canary 1 % → 5 % → 25 % → 50 % → soak → promoted
                   └────────┴─────────┴──────┴──────┴──────┴─→ rolled_back | inconclusive (the champion gets all cards)

It moves through event time by asking for traffic, looks at the prediction log, asks the judge and changes the serving plan.
Everything it touches is a small interface, so the same code runs against a live service and on a virtual clock. Killed at any
point, it is started again with the same call: it completes what it had begun, reads the evidence again, and goes on.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from data.costs import DecisionCosts
from data.errors import NoChallenger, RolloutRefused
from data.ledger import Ledger
from data.registry import CHALLENGER, CHAMPION
from data.serving_plan import ServingPlan
from pipelines.rollout.actions import Action, Notify, Opened, RegistryPort, Result, act, complete, plan_in_force, read_open
from pipelines.rollout.evidence import EvidenceSource
from pipelines.rollout.guardrails import enter
from pipelines.rollout.judge import UNDECIDED, Judgement, judge
from pipelines.rollout.looks import Look, Observer
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.turns import TimelineEntry, read_timeline


class Traffic(Protocol):
    """Lets payments and labels flow until `until` (event time); returns how far it came. Less than asked: there are no more."""

    def __call__(self, until: datetime) -> datetime: ...


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
    at: datetime,
    by: str = "lab rollout",
    costs: DecisionCosts = DecisionCosts(),  # noqa: B008 - an immutable value
    tell: Callable[[TimelineEntry], None] = lambda _: None,
) -> RolloutOutcome:
    """Roll the challenger out under `plan` from event time `at`, or go on with the rollout that the ledger says is open.

    `by` is who asked for it, for the ledger; `tell` hears of each turn as it happens. Raises RolloutRefused when another
    rollout runs, there is no champion or challenger (NoChallenger), or somebody else changes who serves meanwhile. Errors of
    the registry or the service pass through; calling again completes what was begun.
    """
    with ledger.turn("rollout"):
        controller = _Controller(plan, registry, ledger, Observer(plan, evidence, costs), traffic, notify, by, tell)
        opened = read_open(ledger)
        return controller.resume(opened, at) if opened else controller.start(at)


@dataclass
class _Controller:
    plan: RolloutPlan
    registry: RegistryPort
    ledger: Ledger
    observer: Observer
    traffic: Traffic
    notify: Notify
    by: str
    tell: Callable[[TimelineEntry], None]
    judgements: list[Judgement] = field(default_factory=list)
    told: int = 0  # turns of the timeline

    def start(self, at: datetime) -> RolloutOutcome:
        """Preflight, then the first step."""
        champion, challenger = contenders(self.registry)
        serving = plan_in_force(self.registry, self.ledger, champion)
        if serving.mode != "champion_only":
            raise _refused(f"Rollout {serving.rollout_id} is under way", "`lab rollout status` shows it.")
        number = 1 + sum(entry.kind == "rollout_started" for entry in self.ledger.entries())
        opened = Opened(f"rollout-{number}-seed-{self.plan.seed}", serving.champion, challenger, self.plan.digest, at)
        facts = {"champion": opened.champion, "challenger": challenger, "plan": self.plan.to_json(), "plan_digest": self.plan.digest}
        self.ledger.record("rollout_started", {"rollout_id": opened.rollout_id, "by": self.by, **facts}, at)
        return self._first_step(opened, serving, at)

    def resume(self, opened: Opened, at: datetime) -> RolloutOutcome:
        """Complete what was begun; go on from there, or, in doubt, give all cards to the champion."""
        self.told = len(read_timeline(self.ledger.entries(), opened.rollout_id))
        in_force = plan_in_force(self.registry, self.ledger, self.registry.alias(CHAMPION) or opened.champion)
        if opened.intent:
            begun_at, action = opened.intent
            if in_force in (action.before, action.serving):
                complete(action, self.registry, self.ledger, self.notify, opened.rollout_id, begun_at)
                opened = replace(opened, done=(*opened.done, opened.intent), intent=None)
                in_force = action.serving
        last = opened.done[-1][1] if opened.done else None
        if opened.intent or opened.plan_digest != self.plan.digest or (last and last.serving != in_force):
            return self._withdraw(opened, in_force, "rolled_back", ("resumed in doubt: the registry or the plan changed meanwhile",), at)
        if last is None:
            return self._first_step(opened, in_force, at)
        if last.result:
            return self._end(opened, last, at)
        return self._go_on(opened, self.observer.relearn(opened, at))

    def _first_step(self, opened: Opened, before: ServingPlan, at: datetime) -> RolloutOutcome:
        serving = self._enter(opened, before, 0, at)
        return self._go_on(opened, self.observer.begin(serving, at))

    def _go_on(self, opened: Opened, look: Look) -> RolloutOutcome:
        """Look, judge, act; until a verdict ends the rollout."""
        while True:
            look, verdict = self._run_step(look)
            learned, at = look.learned, look.learned.now
            if verdict.verdict == "advance":
                step = learned.step + 1
                look = replace(look, learned=enter(learned, self._enter(opened, learned.serving, step, at), step, at))
            elif verdict.verdict == "promote":
                serving = ServingPlan(learned.serving.epoch + 1, opened.challenger, rollout_id=opened.rollout_id)
                action = Action("promote", learned.serving, serving, learned.step, "promoted", verdict.reasons)
                self._act(action, opened, at)
                return self._end(opened, action, at)
            else:
                result: Result = "rolled_back" if verdict.verdict == "roll_back" else "inconclusive"
                return self._withdraw(opened, learned.serving, result, verdict.reasons, at)

    def _run_step(self, look: Look) -> tuple[Look, Judgement]:
        """Looks at growing distances until the judge has more to say than "go on"."""
        distance, longest = timedelta(minutes=self.plan.first_look_minutes), timedelta(hours=self.plan.longest_look_hours)
        step_end = look.learned.step_started + timedelta(days=self.plan.steps[look.learned.step].max_days)
        while True:
            until = look.learned.now + distance
            if look.learned.now < step_end:  # later than this only while it is silent
                until = min(until, step_end)
            reached = self.traffic(until)
            look, evidence = self.observer.gather(look, max(reached, look.learned.now))
            learned, judgement = judge(look.learned, evidence, self.plan)
            if judgement.verdict in UNDECIDED and reached < until:
                judgement = replace(judgement, verdict="inconclusive", reasons=("the traffic ended", *judgement.reasons))
            look, distance = replace(look, learned=learned), min(2 * distance, longest)
            self.judgements.append(judgement)
            if judgement.verdict not in UNDECIDED:
                self.ledger.record("judgement", {"rollout_id": learned.serving.rollout_id, **judgement.to_json()}, learned.now)
                self._tell(learned.serving.rollout_id)
                return look, judgement

    def _enter(self, opened: Opened, before: ServingPlan, step: int, at: datetime) -> ServingPlan:
        """Put a step into force."""
        stated = self.plan.steps[step]
        serving = ServingPlan(before.epoch + 1, opened.champion, opened.challenger, stated.mode, stated.share, opened.rollout_id)
        self._act(Action("serve", before, serving, step), opened, at)
        self._tell(opened.rollout_id)
        return serving

    def _withdraw(self, opened: Opened, before: ServingPlan, result: Result, reasons: tuple[str, ...], at: datetime) -> RolloutOutcome:
        """All cards to the champion."""
        champion = self.registry.alias(CHAMPION) or opened.champion
        action = Action("withdraw", before, ServingPlan(before.epoch + 1, champion, rollout_id=opened.rollout_id), 0, result, reasons)
        self._act(action, opened, at)
        return self._end(opened, action, at)

    def _act(self, action: Action, opened: Opened, at: datetime) -> None:
        act(action, self.registry, self.ledger, self.notify, opened.rollout_id, at)

    def _end(self, opened: Opened, action: Action, at: datetime) -> RolloutOutcome:
        result = action.result or "inconclusive"
        facts = {"result": result, "champion": action.serving.champion, "reasons": list(action.reasons)}
        self.ledger.record("rollout_ended", {"rollout_id": opened.rollout_id, "by": self.by, **facts}, at)
        self._tell(opened.rollout_id)
        return RolloutOutcome(
            rollout_id=opened.rollout_id,
            result=result,
            champion_before=opened.champion,
            champion_after=action.serving.champion,
            challenger=opened.challenger,
            reasons=action.reasons,
            timeline=read_timeline(self.ledger.entries(), opened.rollout_id),
            judgements=tuple(self.judgements),
        )

    def _tell(self, rollout_id: str) -> None:
        """The turns that the ledger has since learnt of."""
        turns = read_timeline(self.ledger.entries(), rollout_id)
        for turn in turns[self.told :]:
            self.tell(turn)
        self.told = len(turns)


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
