"""Why a payment was reviewed or declined: stable codes, each with one line a person can read.

Codes come from the rules that fired and from the features that stand out most against a fixed limit: cheap enough
for every decision. They describe the payment; they do not claim to be the model's own arithmetic, which TreeSHAP
gives at far greater cost. Pure; any code may call it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from data.features import FEATURE_INDEX
from data.rules import RULES
from data.schema import CHANNELS

MOST_REASONS: Final = 4  # as many as the adverse-action notices of US Regulation B ask for
_ONLINE: Final = float(CHANNELS.index("online"))
_CHANNEL: Final = FEATURE_INDEX["channel"]
_SINCE_DEVICE: Final = FEATURE_INDEX["seconds_since_card_device"]


@dataclass(frozen=True)
class Signal:
    """A feature that stands out once it reaches `limit`; value over limit ranks it among the others."""

    code: str
    meaning: str
    feature: str
    limit: float


SIGNALS: Final = (
    Signal("amount_over_habit", "the amount lies far above what this card usually pays", "amount_to_card_deviation", 3.0),
    Signal("amount_over_largest", "the amount is well above the card's largest payment so far", "amount_to_card_max", 1.5),
    Signal("amount_over_terminal", "the amount is far above what is usual at this terminal", "amount_to_terminal_mean", 4.0),
    Signal("spending_raised", "the card has recently paid many times its habit", "card_max_ratio_7d", 4.0),
    Signal("burst", "several payments by this card within an hour", "card_count_1h", 3.0),
    Signal("many_terminals", "this card was used at many terminals within a day", "card_terminals_1d", 5.0),
    Signal("far_away", "far from where this card paid within the last week", "card_distance_km_7d", 300.0),
    Signal("fast_travel", "the card moved faster than a train since its last payment", "speed_kmh", 300.0),
    Signal("terminal_at_risk", "frauds were reported at this terminal within a week", "terminal_reports_7d", 1.0),
    Signal("card_reported", "fraud was reported on this card within a month", "card_reports_30d", 1.0),
)
NEW_DEVICE: Final = "new_device"
MODEL_SCORE: Final = "model_score"
RANDOM_APPROVE: Final = "random_approve"
STORE_AWAY: Final = "store_away"
REASONS: Final[dict[str, str]] = {
    **{rule.code: rule.meaning for rule in RULES},
    **{signal.code: signal.meaning for signal in SIGNALS},
    NEW_DEVICE: "an online payment from a device this card never used",
    RANDOM_APPROVE: "due to be declined, and let through as one of a random few, so that its outcome becomes known",
    STORE_AWAY: "the shared store was away: answered on what this process knew, without what others had just seen",
    MODEL_SCORE: "the model's score, from many features none of which stands out alone",
}
_PLACES: Final = tuple((signal.code, FEATURE_INDEX[signal.feature], signal.limit) for signal in SIGNALS)


def model_reasons(features: Sequence[float]) -> tuple[str, ...]:
    """At most MOST_REASONS codes for one payment, the strongest first; never empty. `features`: plain floats, in order."""
    found = [(value / limit, code) for code, place, limit in _PLACES if (value := features[place]) >= limit]  # NaN is not
    if features[_CHANNEL] == _ONLINE and features[_SINCE_DEVICE] != features[_SINCE_DEVICE]:
        found.append((1.0, NEW_DEVICE))
    if not found:
        return (MODEL_SCORE,)
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return tuple(code for _, code in found[:MOST_REASONS])
