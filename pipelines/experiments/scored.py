"""Payments that several models scored, with what became of them: the rows that replays and comparisons are made of. Pure values.

Payments of one card are alike (a spree is one event), and a split assigns cards; so the unit of every variance here is the card.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from data.costs import DecisionCosts
from pipelines.metrics import Interval

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
DAY_S: Final = 86_400
DRAWS: Final = 400
APPROVE, REVIEW, DECLINE = 0, 1, 2  # places in data.costs.DECISIONS

Worth = Literal["its amount", "at most 500 EUR", "at most 100 EUR", "a constant"]
WORTHS: Final[tuple[Worth, ...]] = get_args(Worth)


@dataclass(frozen=True, eq=False)
class Decided:
    """What one model made of the payments."""

    name: str
    score: Floats  # (n,), calibrated
    decision: NDArray[np.int8]  # (n,), at its own policy and never milder than the rules

    @property
    def alerts(self) -> Mask:
        alerting: Mask = self.decision != APPROVE
        return alerting


@dataclass(frozen=True, eq=False)
class Scored:
    """n payments of c cards in order of arrival. The first of `models` is the champion."""

    source: str  # in words: where the payments and the models come from
    cards: NDArray[np.str_]  # (c,), tokens
    card: NDArray[np.int64]  # (n,), places in `cards`
    time_s: NDArray[np.int64]  # (n,), event time
    amount: Floats  # (n,), EUR
    is_fraud: Mask  # (n,), reported as such once it was old enough
    models: tuple[Decided, ...]

    def __len__(self) -> int:
        return len(self.card)

    @property
    def champion(self) -> Decided:
        return self.models[0]

    @property
    def day(self) -> NDArray[np.int64]:
        """(n,), counted from the first."""
        return self.time_s // DAY_S - int(self.time_s.min()) // DAY_S

    @property
    def per_day(self) -> float:
        """Payments a day."""
        return len(self) / (int(self.day.max()) + 1)

    def by_card(self, values: Floats | Mask) -> Floats:
        """Sums by card, (c,), of values (n,)."""
        return np.bincount(self.card, values, len(self.cards)).astype(np.float64)

    def worth(self, what: Worth) -> Floats:
        """EUR that each payment would lose as a missed fraud, the chargeback fee apart, (n,). The constant is the frauds' mean amount."""
        match what:
            case "its amount":
                return self.amount
            case "at most 500 EUR":
                return np.minimum(self.amount, 500.0)
            case "at most 100 EUR":
                return np.minimum(self.amount, 100.0)
            case "a constant":
                return np.full(len(self), self.amount[self.is_fraud].mean() if self.is_fraud.any() else 0.0)

    def losses(self, model: Decided, what: Worth, costs: DecisionCosts) -> Floats:
        """EUR that each payment costs under a model's decisions, (n,)."""
        return costs.losses(model.decision, self.worth(what), self.is_fraud)


def resamples(cards: int, seed: int) -> Iterator[Floats]:
    """How often each card counts, (cards,), in each of `DRAWS` draws of as many cards (cluster bootstrap)."""
    random = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield np.bincount(random.integers(0, cards, cards), minlength=cards).astype(np.float64)


def spread(value: float, draws: Sequence[float]) -> Interval:
    """A value with the 95 % percentile interval of its draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def ratio_variance(total: Floats, payments: Floats) -> tuple[float, float]:
    """A mean per payment, and its variance times the number of payments, from sums by card, both (c,).

    The delta method for a ratio of sums over independent cards (Deng, Knoblich and Lu 2018, "Applying the delta method in metric
    analytics", KDD): what a standard error must be made of when cards are drawn and payments counted.
    """
    count = payments.sum()
    mean = total.sum() / count
    here = payments > 0
    cards = int(here.sum())
    spread = float(((total - mean * payments)[here] ** 2).sum() / count)
    return float(mean), spread * cards / max(cards - 1, 1)
