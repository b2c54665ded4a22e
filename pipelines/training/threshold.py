"""Choose where the policy cuts: the cheapest threshold that the fraud team can keep up with. Pure.

`review_at` is chosen on validation rows; `decline_at` follows from the costs alone. Both rest in the bundle beside the
model, because a threshold without its model means nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.costs import DecisionCosts, Policy, decline_threshold
from pipelines.metrics import CostCurve, cost_curve

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ThresholdChoice:
    """The policy, what it does on the rows it was chosen on, and the whole curve."""

    policy: Policy
    alerts_per_thousand: float
    saved_per_thousand: float
    curve: CostCurve


def choose_threshold(
    is_fraud: NDArray[np.bool_], probability: Floats, amount: Floats, *, costs: DecisionCosts, capacity_per_thousand: float
) -> ThresholdChoice:
    """The threshold that saves most among those that raise at most `capacity_per_thousand` alerts per thousand payments.

    All arrays have shape (n,); `amount` is in EUR. Where no alert pays for itself the threshold lies above every score.
    """
    curve = cost_curve(is_fraud, probability, amount, costs)
    allowed = np.flatnonzero((curve.alerts_per_thousand <= capacity_per_thousand) & (curve.saved_per_thousand > 0))
    if len(allowed) == 0:
        above = float(np.nextafter(curve.threshold[0], 2.0))
        return ThresholdChoice(_policy(above, costs), 0.0, 0.0, curve)
    best = allowed[np.argmax(curve.saved_per_thousand[allowed])]
    policy = _policy(float(curve.threshold[best]), costs)
    return ThresholdChoice(policy, float(curve.alerts_per_thousand[best]), float(curve.saved_per_thousand[best]), curve)


def _policy(review_at: float, costs: DecisionCosts) -> Policy:
    return Policy(review_at, max(review_at, decline_threshold(costs)), costs)
