"""The plan of an experiment in EUR, from what two models' decisions really cost on scored payments. Pure."""

from dataclasses import dataclass
from typing import Final

from data.costs import DecisionCosts
from pipelines.experiments.paired import compare
from pipelines.experiments.plan import Design, Traffic
from pipelines.experiments.power import TYPICAL, Question, mean_once, mean_sequential
from pipelines.experiments.scored import Scored, Worth
from pipelines.rollout.plan import RolloutPlan

WORTH: Final[Worth] = "at most 100 EUR"  # the cap of the rollout plan


@dataclass(frozen=True)
class MoneyPlan:
    """The designs, and what they rest on. EUR per payment."""

    challenger: str  # whose decisions gave the variances: the first one
    loss: float  # of the champion
    paired_sd: float
    split_sd: float  # of the difference of two payments' losses, one in each arm
    designs: tuple[Design, ...]
    split_price: float  # EUR lost on the challenger's cards during the split, one look, if it is worse by the effect


def money_plan(scored: Scored, costs: DecisionCosts, question: Question, traffic: Traffic, *, seed: int) -> MoneyPlan:
    """Payments to tell `question.effect` of the champion's loss from nothing; its base rate and overlap play no part."""
    challenger = scored.models[1]
    measured = compare(scored, challenger, costs, WORTH, alpha=question.alpha, power=question.power, seed=seed)
    loss = float(scored.losses(scored.champion, WORTH, costs).mean())
    change, bound = question.effect * loss, RolloutPlan.amount_cap_eur + costs.chargeback_fee
    arms = measured.split_sd**2 / 2 * (1 / question.share + 1 / (1 - question.share))  # of the difference of means, per payment in all
    found = []
    for paired, variance in ((False, arms), (True, measured.paired_sd**2)):
        once = mean_once(change, variance, question.alpha, question.power)
        found.append(_design(paired, False, once, once, scored, traffic))
        if paired:  # the product's test of money is made for pairs; a split has none
            any_time, half = (mean_sequential(change, variance, bound, question.alpha, done) for done in (question.power, TYPICAL))
            found.append(_design(paired, True, any_time, half, scored, traffic))
    return MoneyPlan(
        challenger.name, loss, measured.paired_sd, measured.split_sd, tuple(found), abs(change) * question.share * found[0].payments
    )


def _design(paired: bool, peeking: bool, payments: float, typical: float, scored: Scored, traffic: Traffic) -> Design:
    name = f"{'paired shadow' if paired else 'split by card'}, {'any time' if peeking else 'one look'}"
    return Design(name, paired, peeking, payments, typical, payments * float(scored.is_fraud.mean()), traffic.days(payments))
