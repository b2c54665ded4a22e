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

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.costs import DecisionCosts
from pipelines.rollout.evidence import APPROVE, DECLINE, REVIEW, Served
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.sequential import NOTHING, MeanTest, RunningMean, log_mean

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
        unknown, unit = settled.decision == DECLINE, _card_days(settled)
        outcomes = fraud & ~unknown, fraud | unknown  # declined payments taken as genuine, then as fraud

        def losses(decision: NDArray[np.int8], amount: NDArray[np.float64], most: float) -> list[NDArray[np.float64]]:
            each = [_loss(decision, np.minimum(amount, most), outcome, costs) for outcome in outcomes]
            return [np.minimum(np.bincount(unit, weights=loss), most + costs.chargeback_fee) for loss in each]

        champion = losses(settled.champion_decision, settled.amount, plan.amount_cap_eur)
        challenger = losses(settled.challenger_decision, settled.amount, plan.amount_cap_eur)
        alike = np.full(len(settled), plan.count_loss_eur)
        old, new = (losses(said, alike, plan.count_loss_eur) for said in (settled.champion_decision, settled.challenger_decision))
        gain = _least((1 + plan.money_margin) * before - after for before, after in zip(champion, challenger, strict=True))
        more = [after - before for before, after in zip(champion, challenger, strict=True)]
        differ = settled.champion_decision != settled.challenger_decision
        return Money(
            dearer=self.dearer.add(_least(more)),
            missing=self.missing.add(_least(after - before for before, after in zip(old, new, strict=True))),
            not_worse=self.not_worse.add(gain),
            difference=self.difference.add((more[0] + more[1]) / 2),
            gain=self.gain.add(gain),
            champion_loss=self.champion_loss + float(champion[0].sum()),
            payments=self.payments + len(settled),
            frauds=self.frauds + int(outcomes[0].sum()),
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


def _least(cases: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """What speaks least for the conclusion, shape (card-days,)."""
    return np.minimum(*cases)


def _loss(decision: NDArray[np.int8], amount: NDArray[np.float64], fraud: NDArray[np.bool_], costs: DecisionCosts) -> NDArray[np.float64]:
    """EUR that each payment costs under these decisions, shape (n,). A reviewed fraud is taken as stopped."""
    cases = [(decision == APPROVE) & fraud, decision == REVIEW, (decision == DECLINE) & ~fraud]
    return np.select(
        cases, [amount + costs.chargeback_fee, np.full(len(amount), costs.review), np.full(len(amount), costs.false_decline)], 0.0
    )


def _card_days(settled: Served) -> NDArray[np.intp]:
    """Number of each payment's card and UTC day, shape (n,), in a fixed order."""
    _, card = np.unique(settled.card_id.astype(str), return_inverse=True)
    day = settled.event_time_s // DAY_S
    _, unit = np.unique(card * (day.max() + 1) + day, return_inverse=True)
    return unit
