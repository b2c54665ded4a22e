"""From evidence to a decision: a pure function of what monitoring measured. No frames, no clock, no registry.

The table it follows, first row that fits:

| evidence                                                               | decision     |
|------------------------------------------------------------------------|--------------|
| a schema, null, unit, clock or parity check fails                       | fix_pipeline |
| too few payments to compare                                             | hold         |
| labels stopped or are late                                              | hold         |
| score or alerts moved, inputs did not, another model was just deployed  | roll_back    |
| alerts up, precision down, ranking intact                               | recalibrate  |
| recall or ranking down on matured labels                                | retrain      |
| alerts up, precision and recall steady or better: more of the known     | recalibrate  |
| score or alerts moved, labels of that time too few or not matured       | hold         |
| inputs moved, no damage (or score and alerts steady)                    | ignore       |
| nothing moved                                                           | ignore       |
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from data.scenarios import Action
from pipelines.drift_tests import ColumnTest
from pipelines.metrics import Interval
from pipelines.onset import Onset
from pipelines.performance import Performance
from pipelines.window_checks import NEED_ROWS, Finding

RANKING_LOSS: Final = 0.10  # relative: a smaller loss of ranking is not worth a training, however significant


@dataclass(frozen=True)
class AlertRate:
    """Share of payments reviewed or declined, against the reference."""

    value: float
    reference: float
    p_value: float
    moved: bool


@dataclass(frozen=True)
class LabelFlow:
    """Frauds known in time, against what the reference promised for as many payments."""

    known: float
    expected: float
    p_value: float
    broken: bool


@dataclass(frozen=True)
class RankingLoss:
    """How much worse the model tells fraud from honest payments: recall at a fixed rate of false alerts, against before."""

    relative: float  # share of that recall lost; negative is a gain
    p_value: float  # of no loss, one-sided; widened because a campaign's frauds are caught or missed together


@dataclass(frozen=True)
class Evidence:
    """All that the decision may rest on."""

    moved: tuple[ColumnTest, ...]  # drifted columns, causes first
    findings: tuple[Finding, ...]
    onset: Onset | None
    alert_rate: AlertRate
    label_flow: LabelFlow | None  # None: no payment is old enough
    damage: Performance | None  # None: too few matured frauds since the onset
    ranking: RankingLoss | None  # known where damage is
    knowable_on: date | None  # when labels will tell, where damage is not known
    deployed: bool  # the window was answered by another version than the reference
    error_budget: float

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.is_fault and not (self.too_few and f.kind in NEED_ROWS))

    @property
    def too_few(self) -> Finding | None:
        return next((f for f in self.findings if f.kind == "small_window"), None)

    @property
    def inputs(self) -> tuple[ColumnTest, ...]:
        return tuple(t for t in self.moved if t.role != "score")

    @property
    def ranking_lost(self) -> bool:
        return self.ranking is not None and self.ranking.relative >= RANKING_LOSS and self.ranking.p_value < self.error_budget

    @property
    def outputs_moved(self) -> bool:
        return self.alert_rate.moved or any(t.role == "score" for t in self.moved)


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

    @property
    def alarm(self) -> bool:
        """Whether anything at all was found."""
        return bool(self.changed)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"alarm": self.alarm}


NEXT_STEP: Final[Mapping[Action, str]] = {
    "ignore": "Nothing to do.",
    "recalibrate": "Tell the fraud team, then train with a threshold chosen on matured labels: `lab train --retrain`.",
    "retrain": "Retrain on the newest matured labels: `lab train --retrain`, then `lab rollout start`.",
    "fix_pipeline": "Mend the sender, keep these rows out of training, and check again: `lab drift check`.",
    "roll_back": "Put the previous champion back: `lab rollback --reason WHY`.",
    "hold": "Decide nothing that needs labels yet; check again then: `lab drift check`.",
}


def decide(evidence: Evidence) -> Verdict:
    """The verdict on one window."""
    decision, headline = _decision(evidence)
    changed = tuple(_describe(evidence))
    known = evidence.onset is not None and bool(changed)
    return Verdict(
        decision=decision,
        headline=headline,
        changed=changed,
        since=str(evidence.onset) if known else None,
        how_sure=_how_sure(evidence),
        damage=_damage(evidence),
        next_step=_next_step(decision, evidence),
    )


def _decision(e: Evidence) -> tuple[Action, str]:
    if e.faults:
        return "fix_pipeline", f"The pipeline is broken: {e.faults[0].message}"
    if e.too_few:
        return "hold", f"No verdict: {e.too_few.message}"
    if e.label_flow is not None and e.label_flow.broken:
        return "hold", f"Labels are missing: {e.label_flow.known:.0f} frauds known where {e.label_flow.expected:.0f} were expected."
    if e.deployed and e.outputs_moved and not e.inputs:
        return "roll_back", "The score moved while the payments did not, and another model answers: it is the wrong one."
    if e.damage is not None:
        return _with_labels(e, e.damage)
    if e.outputs_moved:
        when = f" Labels will tell on {e.knowable_on}." if e.knowable_on else ""
        return "hold", f"Scores or alerts moved, and the labels of that time have not matured.{when}"
    return _without_damage(e)


def _with_labels(e: Evidence, damage: Performance) -> tuple[Action, str]:
    alerts_up = e.alert_rate.moved and e.alert_rate.value > e.alert_rate.reference
    if e.ranking_lost and e.ranking is not None:
        return "retrain", f"The model lost {e.ranking.relative:.0%} of the frauds it used to catch at the same rate of false alerts."
    if alerts_up and _lost(damage.alert_precision):
        return "recalibrate", "More alerts with fewer frauds among them, while the ranking holds: the threshold is off, not the model."
    if alerts_up:
        return "recalibrate", "More alerts, as good as ever: there is more fraud of the known kinds. Capacity and threshold must follow."
    if e.outputs_moved and e.ranking is not None and e.ranking.relative >= RANKING_LOSS:
        return "hold", f"Scores moved and {e.ranking.relative:.0%} fewer frauds are caught, which may still be luck: more labels will tell."
    return _without_damage(e)


def _without_damage(e: Evidence) -> tuple[Action, str]:
    unseen = [f for f in e.findings if f.kind == "unseen_level"]
    if unseen:
        return "ignore", f"{unseen[0].message} No damage shows; plan a training that knows it."
    if e.moved and e.damage is None:
        return "ignore", "Payments changed; scores and alerts did not. Labels have not told yet."
    if e.moved:
        return "ignore", "Payments changed, and the model does as well as before."
    return "ignore", "Nothing is wrong."


def _lost(difference: Interval) -> bool:
    """Whether the interval of "reference less window" lies above zero."""
    return difference.low > 0


def _describe(e: Evidence) -> list[str]:
    """What changed, causes first."""
    lines = [f.message for f in e.findings if f in e.faults or f.kind in ("unseen_level", "volume", "empty_window", "small_window")]
    lines += [
        f"{t.column} moved {t.direction}: {t.method} {t.value:.3f} (alarms from {t.threshold:.3f}), PSI {t.population_stability:.2f}"
        for t in e.moved
    ]
    if e.alert_rate.moved:
        lines.append(f"alert rate {e.alert_rate.value:.2%}, {e.alert_rate.reference:.2%} in the reference")
    if e.label_flow is not None and e.label_flow.broken:
        lines.append(f"{e.label_flow.known:.0f} known frauds, {e.label_flow.expected:.0f} expected")
    if e.ranking_lost and e.damage is not None:
        lines.append(f"recall at capacity fell by {e.damage.recall_at_capacity.value:.2f}")
    return lines


def _how_sure(e: Evidence) -> str:
    p = [t.p_value for t in e.moved] + [f.p_value for f in e.findings if f.p_value is not None]
    p += [e.alert_rate.p_value] if e.alert_rate.moved else []
    p += [e.ranking.p_value] if e.ranking is not None and e.ranking_lost else []
    if p:
        chance = f"p {max(min(p), 1e-99):.1g}, where {e.error_budget:.0%} of quiet windows would raise any alarm"
        return f"{'Practically certain' if min(p) < 1e-9 else 'Very likely'}: {chance}."
    return f"No test alarmed; quiet windows do so in {e.error_budget:.0%} of cases."


def _damage(e: Evidence) -> str:
    if e.damage is None:
        return f"Not known before {e.knowable_on}." if e.knowable_on else "Not known: too few labels have matured."
    recall, money = e.damage.recall_at_capacity, e.damage.saved_per_thousand
    return (
        f"Recall at capacity {-recall.value:+.2f} (95 %: {-recall.high:+.2f} to {-recall.low:+.2f}); "
        f"money saved {-money.value:+.0f} EUR per thousand payments ({-money.high:+.0f} to {-money.low:+.0f})."
    )


def _next_step(decision: Action, e: Evidence) -> str:
    if decision == "ignore" and e.moved:
        return "Nothing to do now. Note the day, and let the next reference include it."
    if decision == "hold" and e.too_few:
        return "Send more payments, then check again: `lab drift check`."
    if decision == "hold" and e.knowable_on is not None:
        return f"Wait for labels until {e.knowable_on}, then check again: `lab drift check`."
    return NEXT_STEP[decision]
