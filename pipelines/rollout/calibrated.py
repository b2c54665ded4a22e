"""Calibration in the large: whether a challenger's scores, added up, are the frauds that its payments turned out to hold.

Scores of another magnitude than the champion's are a fault or a correction, and only labels can say which. Money cannot: three times
the scores at the same threshold alert on more payments, and where a review is cheap that saves money on a model whose probabilities
are wrong for everybody else who reads them. So the ratio of expected to observed frauds is judged by itself, from both sides (the
"calibration in the large" of prediction models: Van Calster, McLernon, van Smeden, Wynants, Steyerberg 2019, "Calibration: the
Achilles heel of predictive analytics", BMC Medicine 17). Used by `guardrails.py`.

Payments that were declined have no label and are left out; a score that is a probability given the payment stays one without
them. Reports that come after the age of maturity are missing too: in the synthetic world three in ten, so that
every model looks 1.4 times too high there.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipelines.rollout.evidence import DECLINE, Served
from pipelines.rollout.money import card_day_of_each
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.sequential import MeanTest


@dataclass(frozen=True)
class Calibrated:
    """What is known so far; the unit of evidence is a card's day, as for money."""

    not_over: MeanTest  # against "it expects more than `reported_factor` times the frauds that come"
    not_under: MeanTest  # against "it expects less than one part in `reported_factor` of them"
    expected: float = 0.0  # frauds: its scores, added up
    observed: int = 0

    @classmethod
    def start(cls, plan: RolloutPlan) -> Self:
        return cls(MeanTest(1.0), MeanTest(1.0 / plan.reported_factor))

    def add(self, settled: Served, fraud: NDArray[np.bool_], plan: RolloutPlan) -> "Calibrated":
        """After more payments that the challenger scored, each with its outcome, shape (n,)."""
        known = settled.decision != DECLINE
        rows, outcome = settled.where(known), fraud[known]
        if not len(rows):
            return self
        day = card_day_of_each(rows)
        payments = np.bincount(day)
        score = np.clip(rows.challenger_score, 0.0, 1.0)
        expected, observed = np.bincount(day, weights=score) / payments, np.bincount(day, weights=outcome) / payments
        return Calibrated(
            not_over=self.not_over.add(plan.reported_factor * observed - expected),
            not_under=self.not_under.add(expected - observed / plan.reported_factor),
            expected=self.expected + float(score.sum()),
            observed=self.observed + int(outcome.sum()),
        )

    @property
    def log_e(self) -> float:
        """Log e-value against "too high or too low": both nulls must fall, so the smaller one counts."""
        return min(self.not_over.log_e, self.not_under.log_e)

    def told(self) -> str:
        if not self.expected:
            return "no labels have matured"
        return f"they expected {self.expected:,.0f} frauds where {self.observed:,} were reported"
