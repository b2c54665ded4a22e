"""What moved a score: the contributions of the features to one margin, checked, ranked, and summed by what they are about.

A contribution is a SHAP value in log odds before calibration: how much the feature moved this payment away from what
the model expects on average (`data/booster.py` computes it). Shapley values add up, so those of features that are about
the same thing may be summed. Pure; any code may call it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.errors import ModelFailed
from data.features import FEATURE_COUNT, FEATURES
from data.schema import CATEGORIES, CHANNELS

TOLERANCE: Final = 1e-9  # of the sum: 300 trees' doubles added in another order differ by 1e-13
UNSEEN: Final = "unseen"  # a level that the model's codes do not have
_LEVELS: Final = {"channel": CHANNELS, "category": CATEGORIES}


class Attribution(NamedTuple):
    """One margin taken apart: base + sum(contributions) = margin."""

    base: float  # the margin expected over the rows that the model learned from
    contributions: tuple[float, ...]  # (FEATURE_COUNT,), in the order of FEATURES
    margin: float


@dataclass(frozen=True)
class Group:
    """Features that are about one thing, in the words of the field."""

    name: str
    meaning: str
    pattern: str  # a regular expression that matches the names of its features whole


GROUPS: Final = (
    Group("amount", "this amount, alone and beside what is usual for the card and the terminal", r"amount(_to_.+)?"),
    Group("time", "the hour and the weekday", r"hour|weekday"),
    Group("purchase", "the channel and the merchant's category", r"channel|category"),
    Group("card_velocity", "how often, how much and at how many terminals the card paid lately",
          r"card_(count|sum|terminals)_.+|seconds_since_card"),
    Group("card_habit", "the size of the payments that the card usually makes", r"card_(mean|max)_.+"),
    Group("card_risk", "frauds reported on this card", r"card_reports_.+|days_since_card_report"),
    Group("familiarity", "how long the card is known, and known at this terminal", r"card_age_days|seconds_since_card_terminal"),
    Group("device", "whether the card used this device before", r"seconds_since_card_device"),
    Group("distance", "how far and how fast the card moved", r"card_distance_km_.+|speed_kmh"),
    Group("terminal_activity", "the pace of payments at this terminal", r"terminal_count_.+"),
    Group("terminal_risk", "frauds reported at this terminal", r"terminal_(reports|risk)_.+|days_since_terminal_report"),
)  # fmt: skip
_MEMBERS: Final = {group: tuple(i for i, name in enumerate(FEATURES) if re.fullmatch(group.pattern, name)) for group in GROUPS}


def attribution(row: NDArray[np.float64], margin: float) -> Attribution:
    """A row of `FastBooster.contributions`, shape (FEATURE_COUNT + 1,), and the margin of the same payment.

    Raises ModelFailed when they do not sum to it: a wrong explanation is worse than none.
    """
    values = row.tolist()
    if len(values) != FEATURE_COUNT + 1 or not abs(math.fsum(values) - margin) <= TOLERANCE:  # also when one is NaN
        raise ModelFailed(
            f"The contributions do not sum to the margin within {TOLERANCE:g}.",
            next_step="Check the model's training with `lab reproduce`.",
            where="contributions",
        )
    return Attribution(values[-1], tuple(values[:-1]), margin)


def by_size(contributions: Sequence[float]) -> list[int]:
    """The places of the contributions, the farthest from zero first."""
    return sorted(range(len(contributions)), key=lambda place: -abs(contributions[place]))


def by_group(contributions: Sequence[float]) -> list[tuple[Group, float]]:
    """Every group with the sum of its features' contributions, the farthest from zero first."""
    sums = [(group, math.fsum(contributions[place] for place in members)) for group, members in _MEMBERS.items()]
    return sorted(sums, key=lambda pair: -abs(pair[1]))


def level(feature: str, value: float) -> str | None:
    """The word that a categorical feature's code stands for; None for other features."""
    if feature not in _LEVELS:
        return None
    words = _LEVELS[feature]
    return words[int(value)] if 0 <= value < len(words) else UNSEEN
