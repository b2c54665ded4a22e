"""What a rollout has learnt so far, and how new payments move it. Pure values; `judge.py` reads them.

| guardrail | question | test |
| errors | does it fail where the champion does not, more often than the reverse? | sign test on the same payments |
| alerts | does it alert more or less often on the same payments? beyond what can be reviewed, or hardly ever? | paired mean; Bernoulli |
| scores | are its scores on the same payments of another magnitude? | sign test at fixed quantiles |
| latency | do slow answers prefer it? are too many of its answers slow, or of the champion's? | traffic share; Bernoulli |
| sample ratio | do the cards seen in each arm fit the declared share? | coin per card |
| money | does it cost more, or provably not, on matured labels? | `money.py` |
| calibration | do its scores, added up, come to the frauds that matured labels hold? | `calibrated.py` |

The first three compare both models on every payment (`paired.py`), the next two the arms that answered (`split.py`). Evidence
carries over from step to step.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from data.costs import DecisionCosts
from data.serving_plan import ServingPlan
from pipelines.rollout.calibrated import Calibrated
from pipelines.rollout.evidence import Evidence, Served
from pipelines.rollout.money import Money
from pipelines.rollout.paired import Alerts, Failures, Scores
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.split import Latency, SampleRatio


@dataclass(frozen=True)
class Learned:
    """Everything the judge knows. Made by `begin`, moved by `enter` and `observe`."""

    serving: ServingPlan
    step: int
    step_started: datetime
    now: datetime
    last_payment: datetime  # the newest one that both models could have scored
    last_report: datetime
    label_watermark: datetime  # payments before it have been judged on their labels
    costs: DecisionCosts
    alerts: Alerts
    money: Money
    calibrated: Calibrated
    failures: Failures = field(default_factory=Failures)
    scores: Scores = field(default_factory=Scores)
    latency: Latency = field(default_factory=Latency)
    sample_ratio: SampleRatio = field(default_factory=SampleRatio)
    step_payments: int = 0  # that count towards the step's least evidence
    wrong: int = 0  # payments of this step that another model, or the wrong arm, answered
    trouble: str = ""


def begin(serving: ServingPlan, plan: RolloutPlan, costs: DecisionCosts, at: datetime) -> Learned:
    """Nothing seen yet, the first step under way since `at`."""
    return Learned(
        serving=serving,
        step=0,
        step_started=at,
        now=at,
        last_payment=at,
        last_report=at,
        label_watermark=at,
        costs=costs,
        alerts=Alerts.start(plan),
        money=Money.start(plan, costs),
        calibrated=Calibrated.start(plan),
    )


def enter(learned: Learned, serving: ServingPlan, step: int, at: datetime) -> Learned:
    """The same knowledge in the next step."""
    return replace(learned, serving=serving, step=step, step_started=at, last_payment=at, now=at, step_payments=0, wrong=0)


def observe(learned: Learned, evidence: Evidence, plan: RolloutPlan) -> Learned:
    """What is known after new evidence. Raises ValueError for a label used before its payment's age of maturity."""
    learned = replace(learned, now=evidence.now, trouble=evidence.trouble)
    if evidence.newest_report is not None:
        learned = replace(learned, last_report=max(learned.last_report, evidence.newest_report))
    return _observe_fresh(_observe_labels(learned, evidence, plan), evidence.fresh, plan)


def _observe_labels(learned: Learned, evidence: Evidence, plan: RolloutPlan) -> Learned:
    settled = evidence.settled
    if not len(settled):
        return learned
    newest = _moment(settled.event_time_s)
    if newest + plan.maturity > evidence.now:
        raise ValueError("a label was to be used before its payment reached the age of maturity")
    usable = _of_this_rollout(settled, learned.serving) & _scored_by_both(settled)
    rows, fraud = settled.where(usable), evidence.settled_fraud[usable]
    money, calibrated = learned.money.add(rows, fraud, plan, learned.costs), learned.calibrated.add(rows, fraud, plan)
    return replace(learned, money=money, calibrated=calibrated, label_watermark=max(learned.label_watermark, newest))


def _observe_fresh(learned: Learned, fresh: Served, plan: RolloutPlan) -> Learned:
    serving = learned.serving
    rows = fresh.where((fresh.rollout_id == serving.rollout_id) & (fresh.epoch == serving.epoch) & (fresh.challenger_version != ""))
    assigned = _assigned(rows, serving)
    failed = np.isnan(rows.challenger_score)
    # A payment of the challenger's card may be answered by the champion only when the challenger failed on it.
    right = _of_this_rollout(rows, serving) & ((rows.by_challenger == assigned) | (assigned & failed))
    learned = replace(learned, wrong=learned.wrong + int((~right).sum()))
    rows, assigned = rows.where(right), assigned[right]
    if not len(rows):
        return learned
    both = rows.where(_scored_by_both(rows))
    learned = replace(
        learned,
        step_payments=learned.step_payments + (len(rows) if serving.mode == "shadow" else int(assigned.sum())),
        last_payment=max(learned.last_payment, _moment(rows.event_time_s)),
        failures=learned.failures.add(rows, plan),
        alerts=learned.alerts.add(both, plan),
        scores=learned.scores.add(both, plan),
        latency=learned.latency.add(rows, assigned, serving.share, plan),
    )
    if serving.mode == "shadow":
        return learned
    return replace(learned, sample_ratio=learned.sample_ratio.add(rows, assigned, serving.share))


def _moment(event_time_s: NDArray[np.int64]) -> datetime:
    """The newest of some times."""
    return datetime.fromtimestamp(int(event_time_s.max()), tz=UTC)


def _of_this_rollout(rows: Served, serving: ServingPlan) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (
        (rows.rollout_id == serving.rollout_id)
        & (rows.champion_version == serving.champion)
        & (rows.challenger_version == serving.challenger)
    )
    return same


def _scored_by_both(rows: Served) -> NDArray[np.bool_]:
    return np.isfinite(rows.champion_score) & np.isfinite(rows.challenger_score)


def _assigned(rows: Served, serving: ServingPlan) -> NDArray[np.bool_]:
    """Whether the plan gives each payment's card to the challenger, worked out anew and not taken from the log."""
    if serving.mode == "shadow":
        return np.zeros(len(rows), dtype=bool)
    cards, which = np.unique(rows.card_id.astype(str), return_inverse=True)
    return np.array([serving.arm(str(card)) == "challenger" for card in cards], dtype=bool)[which]
