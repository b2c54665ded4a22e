"""Watching one step: looks at growing distances, each judged, until there is a verdict that moves the rollout. Used by `controller.py`.

A pause is no end: nothing moves until its cause is gone, and the guardrails stay armed. The judge pauses where the evidence may not
be trusted; an operator pauses, ends or promotes by an order in the ledger, which counts at the next look. No order stops a
rollback: who would promote a model that is shown to harm needs another plan, not a louder voice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from data.ledger import Ledger
from pipelines.rollout.judge import UNDECIDED, Judgement, judge
from pipelines.rollout.looks import Look, Observer
from pipelines.rollout.orders import Order, last_word, read_orders, standing_pause
from pipelines.rollout.plan import RolloutPlan


class Traffic(Protocol):
    """Lets payments and labels flow until `until` (event time); returns how far it came. Less than asked: there are no more."""

    def __call__(self, until: datetime) -> datetime: ...


@dataclass(frozen=True)
class Ruling:
    """What is to be done, and who said so: the judge, or an operator by name."""

    judgement: Judgement
    by: str = "judge"

    def to_json(self) -> dict[str, Any]:
        return self.judgement.to_json() | {"by": self.by}


def rule(judgement: Judgement, orders: Sequence[Order]) -> Ruling:
    """The judge's verdict with what an operator ordered: the last word, a standing pause, or nothing. A rollback stands."""
    if judgement.verdict == "roll_back":
        return Ruling(judgement)
    found = f"the judge said {judgement.verdict.replace('_', ' ')}: {'; '.join(judgement.reasons)}"
    word, pause = last_word(orders), standing_pause(orders)
    if word is not None and word.kind == "abort":
        return Ruling(replace(judgement, verdict="roll_back", reasons=(f"aborted by {word.told()}", found)), word.by)
    if word is not None:
        return Ruling(replace(judgement, verdict="promote", reasons=(f"override: promoted by {word.told()}", found)), word.by)
    if pause is not None:
        return Ruling(replace(judgement, verdict="pause", reasons=(f"paused by {pause.told()}", found)), pause.by)
    return Ruling(judgement)


@dataclass
class Watch:
    """Looks at the steps of one rollout."""

    plan: RolloutPlan
    ledger: Ledger
    observer: Observer
    traffic: Traffic
    rest: Callable[[], None]  # lets a moment of wall time pass, while an operator's pause holds
    noted: Callable[[str], None]  # told of each turn that is no verdict; its argument: the rollout's id
    paused: bool = False  # by the judge, as the ledger has it
    judgements: list[Judgement] = field(default_factory=list)

    def step(self, look: Look, orders: Sequence[Order]) -> tuple[Look, Ruling]:
        """Look until a verdict moves the rollout; whoever acts on it puts it into the ledger. `orders`: those known so far."""
        rollout_id = look.learned.serving.rollout_id
        first, longest = timedelta(minutes=self.plan.first_look_minutes), timedelta(hours=self.plan.longest_look_hours)
        distance = first
        while True:
            held = standing_pause(orders) is not None
            until = self._next(look, first if held else distance)
            reached = self.traffic(until)
            look, evidence = self.observer.gather(look, max(reached, look.learned.now))
            orders = read_orders(self.ledger.entries(), rollout_id)
            learned, judgement = judge(look.less_pauses(orders).learned, evidence, self.plan)
            look, distance = replace(look, learned=learned), min(2 * distance, longest)
            ruling = rule(judgement, orders)
            if ruling.judgement.verdict in UNDECIDED and reached < until:
                over = replace(judgement, verdict="inconclusive", reasons=("the traffic ended", *ruling.judgement.reasons))
                ruling = Ruling(over, ruling.by)
            self.judgements.append(ruling.judgement)
            if ruling.judgement.verdict not in UNDECIDED:
                self.paused = False
                return look, ruling
            self._note(ruling, rollout_id, learned.now)
            if held:
                self.rest()

    def _next(self, look: Look, distance: timedelta) -> datetime:
        now = look.learned.now
        step_end = look.learned.step_started + timedelta(days=self.plan.steps[look.learned.step].max_days)
        return min(now + distance, step_end) if now < step_end else now + distance

    def _note(self, ruling: Ruling, rollout_id: str, at: datetime) -> None:
        """Put into the ledger that the judge pauses the rollout, or no longer does."""
        by_judge = ruling.judgement.verdict == "pause" and ruling.by == "judge"
        if by_judge != self.paused and (by_judge or ruling.judgement.verdict == "hold"):
            self.ledger.record("judgement" if by_judge else "resumed", {"rollout_id": rollout_id, **ruling.to_json()}, at)
            self.paused = by_judge
            self.noted(rollout_id)
