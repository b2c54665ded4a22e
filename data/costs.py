"""What a decision costs, and the policy that turns a score into a decision. Pure functions of values.

The costs are the lab's own, chosen in the range that issuers publish; they are arguments everywhere, so a learner
may change them and watch the threshold move.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from data.schema import Decision
from data.serving_plan import card_position

DECISIONS: Final[tuple[Decision, ...]] = get_args(Decision)  # by severity: 0 approve, 1 review, 2 decline


@dataclass(frozen=True)
class DecisionCosts:
    """EUR per outcome. A missed fraud costs its amount and the chargeback fee."""

    chargeback_fee: float = 15.0  # scheme fee and handling per disputed payment
    review: float = 3.0  # two to three minutes of an analyst
    false_decline: float = 12.0  # lost margin and a call to the bank, per genuine payment declined

    def missed_fraud(self, amount: float) -> float:
        """Cost of approving a fraud of `amount` EUR."""
        return amount + self.chargeback_fee

    def losses(self, decision: NDArray[np.int8], amount: NDArray[np.float64], is_fraud: NDArray[np.bool_]) -> NDArray[np.float64]:
        """EUR that each of n payments costs under these decisions (places in DECISIONS), (n,). A reviewed fraud counts as stopped."""
        cases = [(decision == 0) & is_fraud, decision == 1, (decision == 2) & ~is_fraud]
        return np.select(cases, [amount + self.chargeback_fee, np.full(len(amount), self.review), np.full(len(amount), self.false_decline)])


@dataclass(frozen=True)
class Policy:
    """Thresholds on the calibrated score: a versioned part of the model bundle, not a constant in the service.

    `review_at` minimises expected cost under the alert capacity (pipelines/training/threshold.py). `decline_at` is where
    declining outright is cheaper than reviewing: (1 - p) * false_decline < review.

    A declined payment never tells what it was. `random_approve_share` of those due to be declined are approved all the
    same, so that their labels become known: the price of measuring what declining is worth (`pipelines/selective.py`).
    """

    review_at: float
    decline_at: float
    costs: DecisionCosts = DecisionCosts()
    random_approve_share: float = 0.0

    def decide(self, score: float) -> Decision:
        """The decision for a calibrated score in [0, 1]."""
        if score >= self.decline_at:
            return "decline"
        return "review" if score >= self.review_at else "approve"

    def lets_through(self, transaction_id: str) -> bool:
        """Whether this payment, if due to be declined, is approved: drawn by its id, so the same whenever it is asked."""
        return self.random_approve_share > 0 and card_position(transaction_id, "random_approve") < self.random_approve_share

    def severities(self, scores: NDArray[np.float64]) -> NDArray[np.int8]:
        """`decide` for many, shape (n,), as places in DECISIONS. A score that is not a number approves, as no model would."""
        return np.where(scores >= self.decline_at, np.int8(2), (scores >= self.review_at).astype(np.int8))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "Policy":
        return cls(
            float(facts["review_at"]),
            float(facts["decline_at"]),
            DecisionCosts(**facts["costs"]),
            float(facts.get("random_approve_share", 0.0)),
        )


def decline_threshold(costs: DecisionCosts) -> float:
    """The score above which declining costs less than reviewing."""
    return 1.0 - costs.review / costs.false_decline
