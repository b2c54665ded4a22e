"""From evidence to words: what to do, what changed, since when, where, how sure, at what cost, and which decision would be wrong.

A pure function of what monitoring measured; the decision itself is the table's (`decision_table`). Called by `monitor`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from data.scenarios import Action
from pipelines.metrics import Interval
from pipelines.monitoring.decision_table import Row, find_row
from pipelines.monitoring.evidence import Evidence

TOLD: Final = ("unseen_level", "volume", "empty_window", "small_window", "constant")  # findings that are told, though no faults
NOTE: Final = "change_log"  # a detector that notes what was deployed, which by itself is nothing wrong
GRADUAL_DAYS: Final = 3  # an onset no surer than this is a ramp, or a change of which little is seen


@dataclass(frozen=True)
class Verdict:
    """The answer, in the order in which a person on call asks: what to do, what changed, since when, how sure, at what cost."""

    decision: Action
    headline: str
    changed: tuple[str, ...]
    since: str | None
    how_sure: str
    damage: str
    next_step: str
    rule: str  # the row of the decision table that fits
    false_decision: str  # what the same evidence tempts to, and what that would cost
    root_cause: str | None  # the first cause, with the rows that hold it
    estimate: str | None  # what scores promise before labels come; None: the reference holds too few frauds to tell

    @property
    def alarm(self) -> bool:
        """Whether anything at all was found."""
        return bool(self.changed)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"alarm": self.alarm}


NEXT_STEP: Final[Mapping[Action, str]] = {
    "ignore": "Nothing to do.",
    "recalibrate": "Tell the fraud team; then keep the trees and choose the threshold anew on matured labels: `lab train --recalibrate`.",
    "retrain": "Retrain on the newest matured labels: `lab train --retrain`, then `lab rollout start`.",
    "fix_pipeline": "Mend the sender, keep these rows out of training, and check again: `lab drift check`.",
    "roll_back": "Put the previous champion back: `lab rollback --reason WHY`.",
    "hold": "Decide nothing that needs labels yet; check again then: `lab drift check`.",
}


def decide(evidence: Evidence) -> Verdict:
    """The verdict on one window."""
    row = find_row(evidence)
    changed = tuple(_describe(evidence))
    known = evidence.onset is not None and bool(changed)
    return Verdict(
        decision=row.action,
        headline=row.say(evidence),
        changed=changed,
        since=str(evidence.onset) if known else None,
        how_sure=_how_sure(evidence),
        damage=_damage(evidence),
        next_step=_next_step(row, evidence),
        rule=row.name,
        false_decision=f"not {row.false_decision.replace('_', ' ')}: {row.cost}",
        root_cause=str(evidence.causes[0]) if evidence.causes else None,
        estimate=None if evidence.estimate is None else str(evidence.estimate),
    )


def _describe(e: Evidence) -> list[str]:
    """What changed, causes first."""
    lines = [f.message for f in e.findings if f in e.faults or f.kind in TOLD]
    lines += [
        f"{t.column} moved {t.direction}: {t.method} {t.value:.3f} (alarms from {t.threshold:.3f}), PSI {t.population_stability:.2f}"
        for t in e.moved
    ]
    if e.alerts_moved:
        lines.append(f"alert rate {e.alert_rate.value:.2%}, {e.alert_rate.reference:.2%} in the reference")
    flow = e.label_flow
    if flow is not None and (flow.broken or e.alarmed("label_flow")):
        lines.append(f"{flow.known:.0f} known frauds, {flow.expected:.0f} expected")
    if flow is not None and e.caught_unreported:
        lines.append(f"{flow.caught:.0f} of the known frauds had been alerted, {flow.expected_caught:.0f} expected")
    if e.alarmed("label_age"):
        lines.append("labels come later than they used to")
    if e.alarmed("caught_frauds"):
        lines.append("fewer of the frauds reported lately had been alerted")
    if e.ranking_lost and e.damage is not None:
        lines.append(f"recall at capacity fell by {e.damage.recall_at_capacity.value:.2f}")
    return lines


def _how_sure(e: Evidence) -> str:
    p = [t.p_value for t in e.moved] + [f.p_value for f in e.findings if f.p_value is not None]
    p += [e.alert_rate.p_value] if e.alert_rate.moved else []
    p += [e.ranking.p_value] if e.ranking is not None and e.ranking_lost else []
    if p:
        chance = f"p {max(min(p), 1e-99):.1g}, where {_share(e.error_budget)} of quiet windows would raise any alarm"
        return f"{'Practically certain' if min(p) < 1e-9 else 'Very likely'}: {chance}."
    if alarmed := [d.detector.replace("_", " ") for d in e.detections if d.alarmed and d.detector != NOTE]:
        return f"By {' and '.join(alarmed)}; {_share(e.error_budget)} of quiet windows would raise any alarm."
    return f"No test alarmed; quiet windows do so in {_share(e.error_budget)} of cases."


def _share(budget: float) -> str:
    return f"{budget:.1%}" if budget < 0.01 else f"{budget:.0%}"


def _damage(e: Evidence) -> str:
    if e.damage is None:
        return f"Not known before {e.knowable_on}." if e.knowable_on else "Not known: too few labels have matured."
    ap, recall, money = e.damage.average_precision, e.damage.recall_at_capacity, e.damage.saved_per_thousand
    total = f", {_change(money, 0, e.payments / 1000)} over {e.payments:,} payments" if e.payments else ""
    known = f" Labels could tell from {e.knowable_on} on." if e.knowable_on else ""
    return (
        f"Average precision {_change(ap, 3)}; recall at capacity {_change(recall, 2)}; "
        f"money saved {_change(money, 0)} EUR per thousand payments{total}.{known}"
    )


def _change(loss: Interval, digits: int, scale: float = 1.0) -> str:
    """A loss as a signed change with its 95 % interval."""
    value, low, high = (f"{-part * scale:+,.{digits}f}" for part in (loss.value, loss.high, loss.low))
    return f"{value} (95 %: {low} to {high})"


def _next_step(row: Row, e: Evidence) -> str:
    if row.name == "harmless drift":
        return "Nothing to do now. Note the day, and let the next reference include it."
    if row.name == "too few payments":
        return "Send more payments, then check again: `lab drift check`."
    if row.name == "labels fail" and e.caught_unreported:
        return "Let a random part of what would be declined through (LAB_RANDOM_APPROVE_SHARE), and judge on that part."
    if row.action == "hold" and e.knowable_on is not None and e.damage is None:
        return f"Wait for labels until {e.knowable_on}, then check again: `lab drift check`."
    if row.action == "retrain" and e.onset is not None and (e.onset.high - e.onset.low).days >= GRADUAL_DAYS:
        return f"{NEXT_STEP['retrain']} The change came gradually: older weeks may be left out with --days 21."
    return NEXT_STEP[row.action]
