"""All that a drift decision may rest on: values, no frames, no clock. `monitor` gathers it, `decision_table` reads it."""

from dataclasses import dataclass
from datetime import date, datetime
from math import log
from typing import Final

from pipelines.monitoring.column_tests import ColumnTest
from pipelines.monitoring.detectors import Detection, Detector
from pipelines.monitoring.estimate import Estimate
from pipelines.monitoring.onset import Onset
from pipelines.monitoring.performance import Performance
from pipelines.monitoring.root_cause import Cause
from pipelines.monitoring.window_checks import NEED_ROWS, Finding

# Two stories of alerted frauds that are not reported, for `LabelFlow.looks_blocked`.
FEW_CAUGHT: Final = 0.10  # of those expected; what is blocked is not reported, so that with more the model is to blame
LEAKS: Final = 0.02  # of blocked frauds that are reported all the same
STILL_CAUGHT: Final = 0.15  # of the frauds that a model gone blind alerts by chance (the world's new tactics: 0.10 to 0.20)
CLOSE: Final = -5.0  # campaigns make counts vary four times as much as Poisson's law: log ratios this small say nothing
SHAKEN: Final = 0.005  # p-value of no loss under which nobody should call a ranking intact; holiday shopping stays above it
DOUBT: Final = 0.05  # p-value from which on a loss is the scatter of few frauds: a doubled price "lost" 18 % at 0.13
TESTS: Final = 50  # that share the error budget of a window, about: see `portfolio`
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
    """Frauds known in time, against what the reference promised for as many payments.

    `caught` and `missed` are those that were alerted and those that were not.
    """

    known: float
    expected: float
    p_value: float
    broken: bool
    caught: float = 0.0
    expected_caught: float = 0.0
    missed: float = 0.0
    expected_missed: float = 0.0
    caught_p_value: float = 1.0  # of as many caught ones as usual
    one_sided: bool = False  # `looks_blocked`, beyond chance

    @property
    def looks_blocked(self) -> bool:
        """Whether alerted frauds lack because nobody reports what was blocked, and not because the model has gone blind.

        A blind model misses what it used to catch, and all of it is reported; blocking takes the caught ones away and adds
        no missed ones. The likelihood ratio of both stories, as Poisson counts, says which; where it is close, they were
        blocked: to wait a week costs less than to learn that frauds are honest.
        """
        if self.caught >= FEW_CAUGHT * self.expected_caught:
            return False
        blocked = LEAKS * self.expected_caught, self.expected_missed
        blind = STILL_CAUGHT * self.expected_caught, self.expected_missed + (1 - STILL_CAUGHT) * self.expected_caught
        seen = self.caught, self.missed
        ratio = sum(n * log(max(a, 1e-9) / max(b, 1e-9)) - (a - b) for n, a, b in zip(seen, blocked, blind, strict=True))
        return ratio > CLOSE


@dataclass(frozen=True)
class RankingLoss:
    """How much worse the model tells fraud from honest payments: recall at a fixed rate of false alerts, against before."""

    relative: float  # share of that recall lost; negative is a gain
    p_value: float  # of no loss, one-sided; widened because a campaign's frauds are caught or missed together


@dataclass(frozen=True)
class Deployment:
    """One entry of the change log that can have changed the answers."""

    at: datetime
    what: str  # as in "version 3 promoted"


@dataclass(frozen=True)
class Evidence:
    """What was found in one window."""

    moved: tuple[ColumnTest, ...]  # drifted columns, causes first
    findings: tuple[Finding, ...]
    onset: Onset | None
    alert_rate: AlertRate
    label_flow: LabelFlow | None  # None: no payment is old enough
    damage: Performance | None  # None: too few matured frauds since the onset
    ranking: RankingLoss | None  # known where damage is
    knowable_on: date | None  # when labels told, or will tell, what it cost
    deployed: bool  # another version answered than the reference's
    error_budget: float
    deployments: tuple[Deployment, ...] = ()  # of the change log, in the window
    detections: tuple[Detection, ...] = ()
    causes: tuple[Cause, ...] = ()
    estimate: Estimate | None = None
    payments: int = 0  # those that the damage rests on

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
    def ranking_lost_alone(self) -> bool:
        """A loss beyond doubt though nothing else speaks for it: as unlikely as any single test of a window must be."""
        return self.ranking_lost and self.ranking is not None and self.ranking.p_value < self.error_budget / TESTS

    @property
    def loss_is_confirmed(self) -> bool:
        """Whether anything but the few frauds that the loss rests on speaks for it: one campaign's luck moves neither of these."""
        return self.outputs_moved or self.alarmed("caught_frauds")

    @property
    def ranking_doubtful(self) -> bool:
        """A loss that would matter, and that luck explains badly."""
        return self.ranking is not None and self.ranking.relative >= RANKING_LOSS and self.ranking.p_value < DOUBT

    @property
    def ranking_shaken(self) -> bool:
        """A loss that would matter and is likelier real than luck: too little to train on, too much to call the ranking intact."""
        return self.ranking is not None and self.ranking.relative >= RANKING_LOSS and self.ranking.p_value < SHAKEN

    @property
    def labels_missing(self) -> bool:
        broken = self.label_flow is not None and self.label_flow.broken
        return broken or self.alarmed("label_flow") or self.alarmed("label_age")

    @property
    def caught_unreported(self) -> bool:
        """Whether what looks like lost recall is a lack of labels where payments were alerted."""
        if self.label_flow is None:
            return False
        fewer = self.ranking_lost or self.alarmed("caught_frauds")
        return self.label_flow.one_sided or (fewer and self.label_flow.looks_blocked)

    @property
    def outputs_moved(self) -> bool:
        return self.alerts_moved or any(t.role == "score" for t in self.moved)

    @property
    def alerts_moved(self) -> bool:
        return self.alert_rate.moved or self.alarmed("alert_rate_stream")

    @property
    def alerts_up(self) -> bool:
        return self.alerts_moved and self.alert_rate.value > self.alert_rate.reference

    @property
    def alerts_down(self) -> bool:
        return self.alerts_moved and self.alert_rate.value < self.alert_rate.reference

    @property
    def volume(self) -> Finding | None:
        return next((f for f in self.findings if f.kind == "volume"), None)

    @property
    def changed_model(self) -> str:
        """Which deployment may be behind it; empty where there was none."""
        if self.deployments:
            last = self.deployments[-1]
            return f"{last.what} on {last.at:%Y-%m-%d}"
        return "another model answers" if self.deployed else ""

    def alarmed(self, name: Detector) -> bool:
        """Whether that detector raised an alarm."""
        return any(d.alarmed for d in self.detections if d.detector == name)
