"""The expert rules: the first layer of every decision, and the baseline that a model has to beat.

Each rule is one expression over the feature vector, written so that it works on one row (a list of floats) and on a
whole matrix (a list of columns) alike; scoring and training therefore read the same text. NaN ("no such history")
never fires a comparison. Any code may call it; it is pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from data.features import FEATURE_INDEX as F
from data.schema import CATEGORIES, CHANNELS

Action = Literal["decline", "review"]
_ONLINE = float(CHANNELS.index("online"))
_RESOLD = tuple(float(CATEGORIES.index(name)) for name in ("gift_cards", "electronics", "jewellery", "digital_goods"))


@dataclass(frozen=True)
class Rule:
    """One rule. `precision` is the share of fraud an expert expects among its hits: the weight in the baseline's score."""

    code: str
    meaning: str
    action: Action
    precision: float
    fires: Callable[[Any], Any]  # features by position -> bool, or an array of bool


@dataclass(frozen=True)
class RuleOutcome:
    """What the rules say of one payment: the sternest action, if any, and the codes that fired."""

    action: Action | None
    reasons: tuple[str, ...]


NOTHING: Final = RuleOutcome(None, ())


def _unseen(value: Any) -> Any:
    """NaN, for a float as for an array."""
    return value != value


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "rule_impossible_travel",
        "the card would have had to travel faster than an airliner",
        "decline",
        0.6,
        # 1,000 km/h is above any scheduled flight; the distance keeps two tills in one town out.
        lambda f: (f[F["speed_kmh"]] > 1_000) & (f[F["card_distance_km_1d"]] > 300),
    ),
    Rule(
        "rule_card_testing",
        "many small online payments at several shops within an hour",
        "decline",
        0.6,
        lambda f: (
            (f[F["channel"]] == _ONLINE) & (f[F["card_count_1h"]] >= 4) & (f[F["card_terminals_1h"]] >= 3) & (f[F["card_mean_1h"]] < 10)
        ),
    ),
    Rule(
        "rule_new_device_large",
        "an online payment far above the card's habit, from a device it never used",
        "review",
        0.3,
        lambda f: (
            (f[F["channel"]] == _ONLINE)
            & _unseen(f[F["seconds_since_card_device"]])
            & (f[F["card_age_days"]] > 7)
            & (f[F["amount"]] > 150)
            & (f[F["amount_to_card_deviation"]] > 4)
        ),
    ),
    Rule(
        "rule_easily_resold",
        "goods that are easily resold, from a device the card never used, above its largest payment",
        "review",
        0.25,
        lambda f: (
            _is_any(f[F["category"]], _RESOLD)
            & (f[F["channel"]] == _ONLINE)
            & _unseen(f[F["seconds_since_card_device"]])
            & (f[F["amount_to_card_max"]] > 1)
            & (f[F["amount"]] > 80)
        ),
    ),
    Rule(
        "rule_velocity",
        "more payments within an hour than a person makes",
        "review",
        0.2,
        lambda f: f[F["card_count_1h"]] >= 8,
    ),
    Rule(
        "rule_terminal_compromised",
        "several frauds were reported at this terminal within a week, a large share of its payments",
        "review",
        0.3,
        lambda f: (f[F["terminal_reports_7d"]] >= 3) & (f[F["terminal_risk_7d"]] > 0.1),
    ),
    Rule(
        "rule_card_reported",
        "fraud was reported on this card within a week",
        "review",
        0.2,
        lambda f: f[F["days_since_card_report"]] < 7,
    ),
)  # fmt: skip


def _is_any(value: Any, levels: tuple[float, ...]) -> Any:
    hit = value == levels[0]
    for level in levels[1:]:
        hit = hit | (value == level)
    return hit


def apply_rules(features: Sequence[float]) -> RuleOutcome:
    """The rules on one payment; `features` are plain floats in the order of FEATURES (`row.tolist()`)."""
    hits = [rule for rule in RULES if rule.fires(features)]
    if not hits:
        return NOTHING
    action: Action = "decline" if any(rule.action == "decline" for rule in hits) else "review"
    return RuleOutcome(action, tuple(rule.code for rule in hits))


def rules_score(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rules baseline: a score in [0, 1] to rank by, shape (n,), from features of shape (n, FEATURE_COUNT).

    Noisy-or of the fired rules' precisions: independent pieces of evidence, any of which suffices. Rows on which no
    rule fires are ranked below by how far the amount lies above the card's habit.
    """
    columns = matrix.T
    innocent = np.ones(len(matrix))
    for rule in RULES:
        innocent *= np.where(rule.fires(columns), 1.0 - rule.precision, 1.0)
    deviation = np.nan_to_num(columns[F["amount_to_card_deviation"]], nan=0.0).clip(0, 1e6)
    unusual = 0.01 * deviation / (1.0 + deviation)  # below 0.01: a habit alone never outranks a rule
    score: NDArray[np.float64] = 1.0 - innocent * (1.0 - unusual)
    return score
