"""What a rollout has seen: the prediction log taken in look by look, or all of it again after an interruption. Acts on nothing.

`controller.py` looks while it acts; `lab rollout status` looks from outside, and reads from the same log what the judge would say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from data.costs import DecisionCosts
from data.serving_plan import ServingPlan
from pipelines.rollout.actions import Opened
from pipelines.rollout.evidence import Evidence, EvidenceSource, settled_frauds
from pipelines.rollout.guardrails import Learned, begin, enter, observe
from pipelines.rollout.judge import Judgement, judge
from pipelines.rollout.orders import Order, time_paused
from pipelines.rollout.plan import RolloutPlan


@dataclass(frozen=True)
class Look:
    """How far a rollout has looked."""

    learned: Learned
    step_began: datetime  # `learned.step_started` is later by the time that the step stood paused by order
    seen_until: datetime
    settled_until: datetime  # midnight: payments before it have been judged on their labels

    def entering(self, serving: ServingPlan, step: int, at: datetime) -> "Look":
        """The same knowledge in the next step."""
        return replace(self, learned=enter(self.learned, serving, step, at), step_began=at)

    def less_pauses(self, orders: Sequence[Order]) -> "Look":
        """A step's time stands still while an operator holds it."""
        paused = time_paused(orders, self.step_began, self.seen_until)
        return replace(self, learned=replace(self.learned, step_started=self.step_began + paused))


@dataclass(frozen=True)
class Observer:
    """Reads one rollout's evidence under its plan."""

    plan: RolloutPlan
    source: EvidenceSource
    costs: DecisionCosts

    def begin(self, serving: ServingPlan, at: datetime) -> Look:
        """Nothing seen yet."""
        return Look(begin(serving, self.plan, self.costs, at), at, at, _midnight(at))

    def gather(self, look: Look, now: datetime) -> tuple[Look, Evidence]:
        """What is new between the last look and `now`; whole days of payments once their last one is mature."""
        fresh = self.source.served(look.seen_until, now)
        ready = max(_midnight(now - self.plan.maturity), look.settled_until)
        settled = (
            self.source.served(look.settled_until, ready) if ready > look.settled_until else fresh.where(np.zeros(len(fresh), dtype=bool))
        )
        reports = self.source.reports(now)
        times = reports.report_time_s[reports.report_time_s <= now.timestamp()]  # a source may know what nobody could yet
        newest = datetime.fromtimestamp(int(times.max()), UTC) if len(times) else None
        frauds = settled_frauds(settled, reports, int(self.plan.maturity.total_seconds()))
        evidence = Evidence(now, fresh, settled, frauds, newest, self.source.trouble())
        return replace(look, seen_until=now, settled_until=ready), evidence

    def relearn(self, opened: Opened, at: datetime) -> Look:
        """Take in again, from the log, all that was seen until `at`. At least one action of `opened` is done."""
        look, evidence = self._until_last_step(opened, at)
        return replace(look, learned=observe(look.learned, evidence, self.plan))

    def standing(self, opened: Opened, at: datetime) -> Judgement:
        """What the judge says at `at` of a rollout that somebody else runs, or nobody. At least one action is done."""
        look, evidence = self._until_last_step(opened, at)
        return judge(look.learned, evidence, self.plan)[1]

    def _until_last_step(self, opened: Opened, at: datetime) -> tuple[Look, Evidence]:
        """The steps before the one under way are taken in; what that one has shown is handed out."""
        (began, first), *later = opened.done
        look = self.begin(first.serving, began)
        for began, action in later:
            look, evidence = self.gather(look, began)
            learned = observe(look.learned, evidence, self.plan)
            look = replace(look, learned=learned).entering(action.serving, action.step, began)
        look, evidence = self.gather(look, max(at, began))
        return look.less_pauses(opened.orders), evidence


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
