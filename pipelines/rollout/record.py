"""The rollout's run in MLflow: plan, turns with their evidence, and the final table, all read from the ledger.

Written at transitions, never per look, and whole each time: after an hour without MLflow one more call makes up for everything.
The ledger is the record of what happened; this is its copy for those who look at models in MLflow. `controller.py` calls it.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from data.ledger import Entry
from data.registry import Registry
from data.tracking import Point, Tracking
from pipelines.rollout.turns import TimelineEntry, read_timeline

EXPERIMENT: Final = "rollouts"
STATE_TAG, ROLLOUT_TAG = "rollout_state", "rollout_id"  # of the challenger's version


class Recorder(Protocol):
    """Brings the record of one rollout up to the ledger. May raise any LabError; then it is behind until it is called again."""

    def __call__(self, entries: Sequence[Entry], rollout_id: str) -> None: ...


def recorder(tracking: Tracking, registry: Registry) -> Recorder:
    """One that keeps a run in MLflow, and the rollout's id and state as tags of the challenger's version."""

    def record(entries: Sequence[Entry], rollout_id: str) -> None:
        own = [entry for entry in entries if entry.facts.get("rollout_id") == rollout_id]
        started, ended = own[0], own[-1].kind == "rollout_ended"
        turns = read_timeline(own, rollout_id)
        run = tracking.run(rollout_id, _ms(started.at))
        state = turns[-1].stage if turns else "preflight"
        versions = {name: str(started.facts[name]) for name in ("champion", "challenger")}
        tracking.log(
            run,
            params=versions | {"plan_digest": started.facts["plan_digest"], "by": started.facts["by"]},
            tags={"rollout_state": state, "ledger_head": own[-1].hash},
            points=points(own),
        )
        tracking.put(run, "plan.json", _json(started.facts["plan"]))
        tracking.put(run, "ledger.json", _json([{"at": e.at, "kind": e.kind, "hash": e.hash, **e.facts} for e in own]))
        tracking.put(run, "turns.md", table(turns))
        registry.tag_version(versions["challenger"], {ROLLOUT_TAG: rollout_id, STATE_TAG: state})
        if ended:
            tracking.end(run, _ms(own[-1].at))

    return record


def points(entries: Sequence[Entry]) -> list[Point]:
    """The numbers of every turn on which the judge spoke: payments, share, matured labels, and each guardrail's e-value (log10)."""
    judged = (entry for entry in entries if entry.kind in ("judgement", "resumed"))
    found: list[Point] = []
    for step, entry in enumerate(judged):
        facts, at_ms = entry.facts, _ms(entry.at)
        numbers = {name: float(facts[name]) for name in ("payments", "share", "matured_payments", "matured_frauds")}
        numbers |= {f"log10_e_{name}": float(value) for name, value in facts["e_values"].items()}
        if facts["money_per_thousand"]:
            numbers["money_per_thousand"] = float(facts["money_per_thousand"][0])
        found += [Point(name, value, at_ms, step) for name, value in numbers.items()]
    return found


def table(turns: Sequence[TimelineEntry]) -> str:
    """The turns as a Markdown table."""
    rows = ["| event time | stage | share | payments | verdict | by | why |", "|---|---|---|---|---|---|---|"]
    for turn in turns:
        cells = (turn.at[:16].replace("T", " "), turn.stage, f"{turn.share:.0%}", f"{turn.payments:,}", turn.verdict, turn.by, turn.reason)
        rows.append(f"| {' | '.join(cell.replace('_', ' ').replace('|', '/') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)


def _json(facts: Any) -> str:
    return json.dumps(facts, indent=1) + "\n"
