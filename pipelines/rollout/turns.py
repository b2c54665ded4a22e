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
    stage: str  # preflight, shadow, canary, soak, or the result
    share: float
    payments: int  # counted in this step
    verdict: str  # passed or refused, started, a verdict of the judge, pause or resume, or the result
    reason: str
    by: str = "judge"  # who decided


def read_timeline(entries: Iterable[Entry], rollout_id: str) -> tuple[TimelineEntry, ...]:
    """Preflight, steps begun, pauses, verdicts and the end of one rollout, oldest first. A step counts once its "done" is there."""
    turns: list[TimelineEntry] = []
    begun: ServingPlan | None = None  # intended
    stage, share = "preflight", 0.0

    def turn(entry: Entry, verdict: str, reason: str = "", payments: int = 0, by: str = "judge") -> None:
        turns.append(TimelineEntry(entry.at, stage, share, payments, verdict, reason, by))

    for entry in entries:
        facts = entry.facts
        if facts.get("rollout_id") != rollout_id:
            continue
        if entry.kind == "preflight":
            turn(entry, "passed" if facts["passed"] else "refused", facts["reason"], by="controller")
        elif entry.kind == "intent":
            begun = ServingPlan.from_json(facts["action"]["serving"])
        elif entry.kind == "done" and facts["kind"] == "serve" and begun:
            stage, share = begun.mode, begun.share
            turn(entry, "started", by="controller")
        elif entry.kind == "judgement":
            turn(entry, facts["verdict"], "; ".join(facts["reasons"]), facts["payments"], facts.get("by", "judge"))
        elif entry.kind == "resumed":
            turn(entry, "resume", "its cause is gone", facts["payments"])
        elif entry.kind == "order" and facts["order"] in ("pause", "resume"):
            turn(entry, facts["order"], facts["reason"], by=facts["by"])
        elif entry.kind == "rollout_ended":
            stage = facts["result"]
            share = 1.0 if stage == "promoted" else 0.0
            turn(entry, stage, "; ".join(facts["reasons"]), by=facts.get("decided_by", "judge"))
    return tuple(turns)


def last_rollout(entries: Iterable[Entry]) -> str:
    """The id of the rollout that was started last; empty when there was none."""
    return next((str(entry.facts["rollout_id"]) for entry in reversed([*entries]) if entry.kind == "rollout_started"), "")
