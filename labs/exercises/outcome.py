"""The output contract of a drift exercise: what was done, what each monitor said, what it cost, what was decided, and whether it was right.

`Outcome.to_json` is what `lab drift run --json` and `lab ci drift --format json` print. Its form has a version, which changes
when a field changes its meaning or goes; the same scenario, seed, strength and source give the same bytes.
"""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, ClassVar, Final, Literal

from data.scenarios import Action, GroundTruth
from labs.exercises.contract import Result, plain, said
from pipelines.metrics import Interval

SCHEMA: Final = "drift-exercise/1"

Role = Literal["must fire", "must stay silent", "may fire"]
BY_LABEL: Final = frozenset({"caught_frauds"})  # what waits for labelled frauds, and what for payments; the others for windows
BY_PAYMENT: Final = frozenset({"alert_rate_stream", "label_flow"})


@dataclass(frozen=True)
class Alarm:
    """The first alarm after the onset, and what had passed since then."""

    on: date  # the day it was raised, event time
    payments: int  # served since the onset
    windows: int  # looked at since the onset, this one included
    labelled_frauds: int  # frauds since the onset that had been reported by then
    column: str  # of the strongest evidence; "" where there is none to name
    effect: float  # in the detector's own unit


@dataclass(frozen=True)
class MonitorOutcome:
    """One monitor before and after the onset."""

    name: str
    role: Role
    first_alarm: Alarm | None
    alarming_windows: int  # after the onset
    quiet_windows: int  # before it
    false_alarms: int  # among those
    false_alarms_per_1000: Interval  # exact 95 % interval; wide, as one exercise has few quiet windows

    @property
    def as_expected(self) -> bool:
        """Whether it fired or stayed silent as it must."""
        return self.role == "may fire" or (self.first_alarm is not None) == (self.role == "must fire")

    @property
    def delay(self) -> str:
        """How long its first alarm took, in the unit that it waits for; empty when there was none."""
        alarm = self.first_alarm
        if alarm is None:
            return ""
        if self.name in BY_LABEL:
            return f"after {alarm.labelled_frauds:,} labelled frauds"
        return f"after {alarm.payments:,} payments" if self.name in BY_PAYMENT else f"in window {alarm.windows}"


@dataclass(frozen=True)
class ColumnOutcome:
    """One column's test in the window of the first decision, the largest effect first."""

    column: str
    method: str
    effect: float
    p_value: float
    drifted: bool


@dataclass(frozen=True)
class CauseOutcome:
    """One column that monitoring holds to be behind a change."""

    column: str
    what: str  # how it moved, or the kind of fault
    effect: float  # share of the window's payments that must have changed
    segment: str | None  # the rows that hold the change; None: everywhere, as far as one can tell


@dataclass(frozen=True)
class Precision:
    """The precision of a window's alerts: as estimated without labels, and as it turned out."""

    estimated: Interval
    valid: bool  # whether monitoring believed its estimate
    realised: float | None  # frauds reported in time, had nothing been declined; None: no alerts
    alerts: int


@dataclass(frozen=True)
class WindowOutcome:
    """One look: what alarmed, and what was decided."""

    end: date
    payments: int
    alarms: tuple[str, ...]
    decision: Action
    headline: str
    precision: Precision | None  # None: no estimate could be made


@dataclass(frozen=True)
class Damage:
    """What the model lost since the onset: the reference less matured payments, 95 % intervals. Positive is a loss."""

    knowable_on: date  # the first look at which labels told
    average_precision: Interval
    recall_at_capacity: Interval
    saved_per_thousand: Interval  # EUR


@dataclass(frozen=True)
class Expectation:
    """What this exercise must end in; the scenario's own, or one that a team has written down."""

    decisions: tuple[Action, ...]
    must_fire: tuple[str, ...]
    must_stay_silent: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """One exercise."""

    scenario: str
    catalogue_id: str
    seed: int
    strength: float
    source: str
    error_budget: float  # chance that a quiet window raises any alarm at all
    truth: GroundTruth
    first_transaction: str  # id of the first payment at or after the onset
    monitors: tuple[MonitorOutcome, ...]
    causes: tuple[CauseOutcome, ...]  # of the first window after the onset that names any, the likeliest first
    columns: tuple[ColumnOutcome, ...]
    windows: tuple[WindowOutcome, ...]
    damage: Damage | None  # None: labels have not told
    decision: Action
    decided_on: date
    evidence: tuple[str, ...]
    expected: Expectation
    kind: ClassVar = "drift"
    schema: ClassVar = SCHEMA

    @property
    def dose(self) -> str:
        """What was chosen beside the scenario."""
        return f"strength {self.strength:g}, seed {self.seed}"

    @property
    def told(self) -> str:
        """What was decided, after whose alarms."""
        fired = [f"{m.name} {m.delay}" for m in self.monitors if m.first_alarm is not None]
        return f"{said(self.decision)}; {', '.join(fired) or 'all silent'}"

    @property
    def decision_result(self) -> Result:
        """Holding is no wrong action: labels may be too few."""
        if self.decision in self.expected.decisions:
            return "as expected"
        return "inconclusive" if self.decision == "hold" else "unexpected"

    @property
    def result(self) -> Result:
        """Of monitors and decision together."""
        return self.decision_result if all(m.as_expected for m in self.monitors) else "unexpected"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the result is not as expected; empty where it is."""
        words = {"must fire": "stayed silent and must fire", "must stay silent": "fired and must stay silent"}
        wrong = [f"{m.name} {words[m.role]}" for m in self.monitors if not m.as_expected]
        if self.decision_result != "as expected":
            wrong.append(f"decided {said(self.decision)} where {' or '.join(map(said, self.expected.decisions))} is right")
        return tuple(wrong)

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the order of the contract."""
        facts = asdict(self) | {"truth": self.truth.to_json()}
        monitors = [asdict(m) | {"as_expected": m.as_expected} for m in self.monitors]
        ends = {"decision_result": self.decision_result, "result": self.result, "reasons": self.reasons}
        found: dict[str, Any] = plain({"schema": SCHEMA} | facts | {"monitors": monitors} | ends)
        return found
