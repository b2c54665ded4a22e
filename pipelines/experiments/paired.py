"""Paired shadow against traffic split: how many payments each needs to tell two models apart in money. Pure.

In a shadow both models score every payment: what makes payments differ cancels, and only disagreements count. In a split each arm
has payments of its own, and nearly all of the variance is that of frauds which neither model would have caught.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.costs import DecisionCosts
from pipelines.experiments.power import mean_once
from pipelines.experiments.scored import WORTHS, Decided, Floats, Scored, Worth, ratio_variance, resamples, spread
from pipelines.metrics import Interval, average_precision

MARGIN: Final = 0.05  # of the champion's loss: the rollout plan's own


@dataclass(frozen=True)
class Comparison:
    """One challenger beside the champion. Payments are those of both arms together, split in halves."""

    name: str
    average_precision: float
    loss_change: Interval  # relative to the champion's loss
    alerts_differ: float  # share of payments on which just one of the two alerts
    paired_sd: float  # EUR, of the loss difference of one payment; cards allowed for, as in all that follows
    split_sd: float  # EUR, of the difference of two payments' losses, one in each arm
    times: Interval  # payments that the split needs for one of the shadow
    paired_payments: float  # for 80 % power on its own effect; infinite where there is none
    split_payments: float
    independent_times: float  # what `times` would be if payments of one card were independent


@dataclass(frozen=True)
class Margin:
    """Payments needed to tell a margin of the champion's loss from nothing, for one way to count a missed fraud."""

    worth: Worth
    paired_payments: float
    split_payments: float
    times: Interval


def compare(
    scored: Scored, challenger: Decided, costs: DecisionCosts, worth: Worth, *, alpha: float, power: float, seed: int
) -> Comparison:
    """The measured comparison; intervals from resampled cards."""
    old, new = (scored.losses(model, worth, costs) for model in (scored.champion, challenger))
    paired, split, times, change = _variances(scored, old, new, seed)
    effect = float(new.mean() - old.mean())
    return Comparison(
        name=challenger.name,
        average_precision=average_precision(scored.is_fraud, challenger.score),
        loss_change=change,
        alerts_differ=float((challenger.alerts != scored.champion.alerts).mean()),
        paired_sd=math.sqrt(paired),
        split_sd=math.sqrt(split),
        times=times,
        paired_payments=mean_once(effect, paired, alpha, power),
        split_payments=2 * mean_once(effect, split, alpha, power),
        independent_times=2 * float(old.var() + new.var()) / max(float((new - old).var()), 1e-12),
    )


def margins(scored: Scored, challenger: Decided, costs: DecisionCosts, *, alpha: float, power: float, seed: int) -> tuple[Margin, ...]:
    """The same question, "is it worse by `MARGIN`?", for each way to count a missed fraud."""
    found = []
    for worth in WORTHS:
        old, new = (scored.losses(model, worth, costs) for model in (scored.champion, challenger))
        paired, split, times, _ = _variances(scored, old, new, seed)
        effect = MARGIN * float(old.mean())
        found.append(Margin(worth, mean_once(effect, paired, alpha, power), 2 * mean_once(effect, split, alpha, power), times))
    return tuple(found)


def paired_overlap(scored: Scored, challenger: Decided) -> float:
    """Of the frauds missed by the model that misses fewer, the share that the other misses too: `Question.overlap` as measured."""
    ours, theirs = (scored.is_fraud & ~model.alerts for model in (scored.champion, challenger))
    fewer = min(int(ours.sum()), int(theirs.sum()))
    return float((ours & theirs).sum() / fewer) if fewer else 1.0


def _variances(scored: Scored, old: Floats, new: Floats, seed: int) -> tuple[float, float, Interval, Interval]:
    """Variance per payment of the paired difference and of the split's; their ratio and the relative change, with intervals."""
    payments = scored.by_card(np.ones(len(scored)))
    sums = {name: scored.by_card(values) for name, values in (("old", old), ("new", new), ("difference", new - old))}
    _, paired = ratio_variance(sums["difference"], payments)
    split = ratio_variance(sums["old"], payments)[1] + ratio_variance(sums["new"], payments)[1]
    residual = {name: (total - total.sum() / payments.sum() * payments) ** 2 for name, total in sums.items()}
    times, changes = [], []
    for weight in resamples(len(payments), seed):
        times.append(float(2 * (weight @ residual["old"] + weight @ residual["new"]) / max(float(weight @ residual["difference"]), 1e-12)))
        changes.append(float(weight @ sums["difference"] / max(float(weight @ sums["old"]), 1e-12)))
    change = float(sums["difference"].sum() / max(float(sums["old"].sum()), 1e-12))
    return paired, split, spread(2 * split / max(paired, 1e-12), times), spread(change, changes)
