"""The turns of a rollout as its ledger tells them, so that one that was killed and resumed is told whole.

Used by `controller.py`, by whoever shows a rollout while it runs, and by `lab rollout status`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from data.ledger import Entry
from data.serving_plan import ServingPlan


@dataclass(frozen=True)
class TimelineEntry:
    """One turn of the rollout, for the canary timeline of the report."""

    at: str  # event time, ISO 8601
    stage: str  # shadow, canary, or the result
    share: float
    payments: int  # counted in this step
    verdict: str
    reason: str


def read_timeline(entries: Iterable[Entry], rollout_id: str) -> tuple[TimelineEntry, ...]:
    """Steps begun, verdicts on them and the end of one rollout, oldest first. A step counts once its "done" is there."""
    turns: list[TimelineEntry] = []
    begun: ServingPlan | None = None
    stage = ""
    for entry in entries:
        facts = entry.facts
        if facts.get("rollout_id") != rollout_id:
            continue
        if entry.kind == "intent":
            begun = ServingPlan.from_json(facts["action"]["serving"])
        elif entry.kind == "done" and facts["kind"] == "serve" and begun:
            stage = begun.mode
            turns.append(TimelineEntry(entry.at, stage, begun.share, 0, "started", ""))
        elif entry.kind == "judgement":
            reason = "; ".join(facts["reasons"])
            turns.append(TimelineEntry(entry.at, stage, facts["share"], facts["payments"], facts["verdict"], reason))
        elif entry.kind == "rollout_ended":
            result = facts["result"]
            share = 1.0 if result == "promoted" else 0.0
            turns.append(TimelineEntry(entry.at, result, share, 0, result, "; ".join(facts["reasons"])))
    return tuple(turns)
