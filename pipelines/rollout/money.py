"""Money: what two models' decisions on the same payments would have cost, once the labels are in.

Paired: both models scored every payment, so whatever makes payments differ cancels, and only disagreements count. On this kind
of data that needs 7 to 14 times fewer payments than comparing the two arms of a split. Used by `guardrails.py`.

The unit of evidence is one card's day: payments of one spree are not independent, and whole days are the same however often one
looks. A payment that was declined tells nobody whether it was fraud (selective labels); where the models differ on one, the outcome
that speaks *against* the conclusion is assumed (the bounds of Manski 1990, "Nonparametric bounds on treatment effects").

Harm is looked for twice: in money, and with each missed fraud counting the same. A few large amounts make money noisy, so the count
finds a model that misses frauds of any size in a fraction of the payments; the mean of the two e-values is one. What is shown
to be no worse is shown in money.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.costs import DecisionCosts
from pipelines.rollout.evidence import DECLINE, Served
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.sequential import NOTHING, MeanTest, RunningMean, log_mean

Floats = NDArray[np.float64]
DAY_S = 86_400


@dataclass(frozen=True)
class Money:
    """What is known so far. Amounts in EUR; `difference` is challenger less champion per card-day, negative is a saving."""

    dearer: MeanTest  # against "the challenger does not cost more"
    missing: MeanTest  # the same with one loss for every missed fraud
    not_worse: MeanTest  # against "the challenger costs more than the margin allows"
    difference: RunningMean = NOTHING
    gain: RunningMean = NOTHING  # (1 + margin) * champion's loss - challenger's, the values of `not_worse`
    champion_loss: float = 0.0
    payments: int = 0
    frauds: int = 0
    disagreements: int = 0
    unknown: int = 0  # declined payments on which the models differ

    @classmethod
    def start(cls, plan: RolloutPlan, costs: DecisionCosts) -> "Money":
        most, each = plan.amount_cap_eur + costs.chargeback_fee, plan.count_loss_eur + costs.chargeback_fee
        return cls(MeanTest(most), MeanTest(each), MeanTest(most))

    def add(self, settled: Served, fraud: NDArray[np.bool_], plan: RolloutPlan, costs: DecisionCosts) -> "Money":
        """After more payments that both models scored, each with its outcome, shape (n,)."""
        if not len(settled):
            return self
        days = card_days(settled, fraud, plan, costs)
        unknown = settled.decision == DECLINE
        differ = settled.champion_decision != settled.challenger_decision
        return Money(
            dearer=self.dearer.add(days.dearer),
            missing=self.missing.add(days.missing),
            not_worse=self.not_worse.add(days.gain),
            difference=self.difference.add(days.difference),
            gain=self.gain.add(days.gain),
            champion_loss=self.champion_loss + float(days.champion.sum()),
            payments=self.payments + len(settled),
            frauds=self.frauds + int((fraud & ~unknown).sum()),
            disagreements=self.disagreements + int(differ.sum()),
            unknown=self.unknown + int((differ & unknown).sum()),
        )

    @property
    def worse(self) -> float:
        """Log e-value against "the challenger costs no more"."""
        return log_mean((self.dearer.log_e, self.missing.log_e))

    def per_thousand(self, alpha: float) -> tuple[float, float, float]:
        """Difference in EUR per thousand payments: value, and an interval valid at all times (asymptotic). (0, -inf, inf) at first."""
        scale = 1000 * self.difference.count / self.payments if self.payments else 1.0
        low, high = self.difference.interval(alpha, tightest_at=max(self.difference.count, 2))
        return self.difference.mean * scale, low * scale, high * scale


class CardDays(NamedTuple):
    """EUR per card and day, each array of shape (card-days,): what the tests of `Money` are fed."""

    dearer: Floats  # challenger less champion, at the least
    missing: Floats  # the same with one loss for every missed fraud
    gain: Floats  # (1 + margin) * champion less challenger, at the least
    difference: Floats  # challenger less champion, in the middle
    champion: Floats  # its loss, at the least


def card_days(settled: Served, fraud: NDArray[np.bool_], plan: RolloutPlan, costs: DecisionCosts) -> CardDays:
    """What the payments of each card and UTC day cost under either model's decisions, capped; `fraud`, shape (n,)."""
    unknown, unit = settled.decision == DECLINE, card_day_of_each(settled)
    outcomes = fraud & ~unknown, fraud | unknown  # declined payments taken as genuine, then as fraud
    both = settled.champion_decision, settled.challenger_decision

    def losses(decision: NDArray[np.int8], amount: Floats, most: float) -> list[Floats]:
        each = [costs.losses(decision, np.minimum(amount, most), outcome) for outcome in outcomes]
        return [np.minimum(np.bincount(unit, weights=loss), most + costs.chargeback_fee) for loss in each]

    old, new = (losses(decision, settled.amount, plan.amount_cap_eur) for decision in both)
    alike = np.full(len(settled), plan.count_loss_eur)
    more = [after - before for before, after in zip(old, new, strict=True)]
    more_alike = [
        after - before for before, after in zip(*(losses(decision, alike, plan.count_loss_eur) for decision in both), strict=True)
    ]
    gain = [(1 + plan.money_margin) * before - after for before, after in zip(old, new, strict=True)]
    return CardDays(np.minimum(*more), np.minimum(*more_alike), np.minimum(*gain), (more[0] + more[1]) / 2, old[0])


def card_day_of_each(settled: Served) -> NDArray[np.intp]:
    """Number of each payment's card and day, shape (n,), in a fixed order."""
    _, card = np.unique(settled.card_id.astype(str), return_inverse=True)
    day = settled.event_time_s // DAY_S
    _, unit = np.unique(card * (day.max() + 1) + day, return_inverse=True)
    return unit
