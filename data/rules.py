"""The expert rules: the first layer of every decision, and the baseline that a model has to beat.

Each rule is one expression over the feature vector, written so that it works on one row (a list of floats) and on a
whole matrix (a list of columns) alike; scoring and training therefore read the same text. NaN ("no such history")
never fires a comparison. Any code may call it; it is pure.

The limits were chosen on days 21 to 40 of the world of seed 7 and counted on those of seed 11, 163,000 payments: card
testing hits 0.7 per thousand, 99 % of them frauds; the stranger at a risky shop 2.7, 20 %; the others 5 to 17 %, too few
to act on alone, so they only rank and explain. Rules that sound right and found nothing were left out: travel faster
than an airliner (1.6 hits per thousand, no fraud) and many payments of one card within an hour (2 % frauds).
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
    """One rule. `precision` is the share of fraud expected among its hits: the weight in the baseline's score.

    `condition` is asked about payments of `channel` alone, so that most payments are asked little.
    """

    code: str
    meaning: str
    action: Action | None  # None: evidence for ranking and explaining, too weak to act on alone
    precision: float
    channel: float | None  # its code, as in the features; None: any
    condition: Callable[[Any], Any]  # features by position -> bool, or an array of bool


@dataclass(frozen=True)
class RuleOutcome:
    """What the rules say of one payment: the sternest action, if any, and every code that fired."""

    action: Action | None
    reasons: tuple[str, ...]


NOTHING: Final = RuleOutcome(None, ())


def _unseen(value: Any) -> Any:
    """NaN, for a float as for an array."""
    return value != value


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "rule_card_testing",
        "a burst of small online payments far beyond this shop's pace: stolen numbers being tried out",
        "decline",
        0.9,
        _ONLINE,
        lambda f: (
            (f[F["amount"]] < 50)
            & (f[F["terminal_count_1h"]] >= 10)
            # A tenth of the week within one hour; a shop that opened today has no pace yet.
            & (f[F["terminal_count_1h"]] > 0.1 * f[F["terminal_count_7d"]])
            & (f[F["terminal_count_30d"]] > 30)
        ),
    ),
    Rule(
        "rule_stranger_at_risky_shop",
        "a card new to this shop, from a device new to the card, where frauds were reported within a week",
        "review",
        0.4,
        _ONLINE,
        lambda f: (
            (f[F["terminal_reports_7d"]] >= 2)
            & _unseen(f[F["seconds_since_card_device"]])
            & _unseen(f[F["seconds_since_card_terminal"]])
            & (f[F["terminal_risk_7d"]] > 0.05)
        ),
    ),
    Rule(
        "rule_terminal_compromised",
        "several frauds were reported at this terminal within a week, a fifth of its payments or more",
        None,
        0.2,
        None,
        lambda f: (f[F["terminal_reports_7d"]] >= 3) & (f[F["terminal_risk_7d"]] > 0.2),
    ),
    Rule(
        "rule_night_new_device",
        "a large online payment at night, from a device this card never used",
        None,
        0.2,
        _ONLINE,
        lambda f: (
            _unseen(f[F["seconds_since_card_device"]])
            & (f[F["card_age_days"]] > 7)  # before that, every device is new
            & (f[F["hour"]] < 5)
            & (f[F["amount"]] > 60)
        ),
    ),
    Rule(
        "rule_easily_resold",
        "goods that are easily resold, from a shop and a device this card never used",
        None,
        0.1,
        _ONLINE,
        lambda f: (
            _is_any(f[F["category"]], _RESOLD)
            & _unseen(f[F["seconds_since_card_device"]])
            & _unseen(f[F["seconds_since_card_terminal"]])
            & (f[F["card_age_days"]] > 7)
            & (f[F["amount"]] > 100)
        ),
    ),
)  # fmt: skip


_CHANNEL: Final = F["channel"]
_OF_EVERY_CHANNEL: Final = tuple(rule for rule in RULES if rule.channel is None)
_OF_CHANNEL: Final = {
    channel: tuple(rule for rule in RULES if rule.channel in (None, channel)) for channel in {rule.channel for rule in RULES}
}


def _is_any(value: Any, levels: tuple[float, ...]) -> Any:
    hit = value == levels[0]
    for level in levels[1:]:
        hit = hit | (value == level)
    return hit


def fired_rules(features: Sequence[float]) -> list[Rule]:
    """The rules that fire on one payment; `features` are plain floats in the order of FEATURES (`row.tolist()`)."""
    return [rule for rule in _OF_CHANNEL.get(features[_CHANNEL], _OF_EVERY_CHANNEL) if rule.condition(features)]


def apply_rules(features: Sequence[float]) -> RuleOutcome:
    """What the rules say of one payment; `features` as in `fired_rules`."""
    hits = fired_rules(features)
    if not hits:
        return NOTHING
    actions = {rule.action for rule in hits}
    action: Action | None = "decline" if "decline" in actions else "review" if "review" in actions else None
    return RuleOutcome(action, tuple(rule.code for rule in hits))


def rule_hits(rule: Rule, columns: Any) -> Any:
    """Where a rule fires on a whole matrix, given as its columns: an array of bool, shape (n,)."""
    hits = rule.condition(columns)
    return hits if rule.channel is None else hits & (columns[_CHANNEL] == rule.channel)


def rule_severity(matrix: NDArray[np.float64]) -> NDArray[np.int8]:
    """The sternest action of the rules on each row of (n, FEATURE_COUNT): 0 none, 1 review, 2 decline; shape (n,)."""
    severity = np.zeros(len(matrix), dtype=np.int8)
    columns = list(matrix.T)
    for rule in RULES:
        if rule.action is not None:
            level = np.int8(2 if rule.action == "decline" else 1)
            np.maximum(severity, np.where(rule_hits(rule, columns), level, np.int8(0)), out=severity)
    return severity


def rules_score(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rules baseline: a score in [0, 1] to rank by, shape (n,), from features of shape (n, FEATURE_COUNT).

    Noisy-or of the fired rules' precisions: independent pieces of evidence, any of which suffices. Rows on which no
    rule fires are ranked below by how far the amount lies above the card's habit.
    """
    columns = matrix.T
    innocent = np.ones(len(matrix))
    for rule in RULES:
        innocent *= np.where(rule_hits(rule, columns), 1.0 - rule.precision, 1.0)
    deviation = np.nan_to_num(columns[F["amount_to_card_deviation"]], nan=0.0).clip(0, 1e6)
    unusual = 0.01 * deviation / (1.0 + deviation)  # below 0.01: a habit alone never outranks a rule
    score: NDArray[np.float64] = 1.0 - innocent * (1.0 - unusual)
    return score
