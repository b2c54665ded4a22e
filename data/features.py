"""What a model sees of one payment: the names, order and meaning of the feature vector.

All windows end at the payment and exclude it: `card_count_1d` counts the card's *earlier* payments of the last 24
hours, (t - 1 d, t]. Amounts are in EUR. NaN means "no such history". `data/history.py` computes them, batch and
online, with one function. Change anything here and `FEATURE_SCHEMA_HASH` changes: old bundles are then refused.
"""

import hashlib
import json
from typing import Final

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
CARD_WINDOWS_S: Final = {"1h": HOUR_S, "1d": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S}
TERMINAL_WINDOWS_S: Final = {"1d": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S}
LABEL_DELAY_S: Final = 7 * DAY_S  # risk compares reports of a window with the payments of the same window this much earlier
CARD_MEMORY: Final = 256  # payments remembered per card: bounds memory and the cost of one event
RISK_PRIOR_COUNT: Final = 10.0  # pseudo-payments that pull a quiet terminal's risk towards 0

_FEATURES: tuple[tuple[str, str], ...] = (
    ("amount", "amount of this payment, EUR"),
    ("hour", "hour of day, UTC, with fraction"),
    ("weekday", "0 = Monday"),
    ("channel", "code of the channel (categorical; -1 unseen)"),
    ("category", "code of the merchant category (categorical; -1 unseen)"),
    *((f"card_count_{w}", f"payments by this card, {w}") for w in CARD_WINDOWS_S),
    *((f"card_sum_{w}", f"their total, EUR, {w}") for w in CARD_WINDOWS_S),
    *((f"card_mean_{w}", f"their mean, EUR, {w}") for w in CARD_WINDOWS_S),
    *((f"card_terminals_{w}", f"distinct terminals this card used, {w}") for w in CARD_WINDOWS_S),
    *((f"card_distance_km_{w}", f"farthest earlier payment of the card from here, {w}") for w in CARD_WINDOWS_S),
    ("card_max_7d", "largest payment by this card, EUR, 7d"),
    ("card_max_30d", "largest payment by this card, EUR, 30d"),
    ("card_max_ratio_7d", "largest amount_to_card_mean among the card's payments, 7d"),
    ("card_max_ratio_14d", "the same, 14d"),
    ("card_max_ratio_28d", "the same, 28d"),
    ("amount_to_card_mean", "this amount over the card's mean of all earlier payments: ratio to habit"),
    ("amount_to_card_max", "this amount over the card's largest earlier payment"),
    ("amount_to_card_deviation", "this amount less the card's mean, in its standard deviations"),
    ("seconds_since_card", "since the card's last payment"),
    ("seconds_since_card_terminal", "since the card's last payment at this terminal"),
    ("seconds_since_card_device", "since the card's last payment with this device"),
    ("card_age_days", "since the card's first payment"),
    ("speed_kmh", "speed needed from the card's last located payment"),
    ("terminal_count_1h", "payments at this terminal, 1h"),
    *((f"terminal_count_{w}", f"payments at this terminal, {w}") for w in TERMINAL_WINDOWS_S),
    ("amount_to_terminal_mean", "this amount over the terminal's mean payment, 30d"),
    *((f"terminal_reports_{w}", f"frauds at this terminal reported, {w}") for w in TERMINAL_WINDOWS_S),
    *((f"terminal_risk_{w}", f"terminal_reports over its payments one label delay earlier, {w}") for w in TERMINAL_WINDOWS_S),
    ("days_since_terminal_report", "since the last fraud reported at this terminal"),
    ("card_reports_30d", "frauds on this card reported, 30d"),
    ("days_since_card_report", "since the last fraud reported on this card"),
)  # fmt: skip

FEATURES: Final[tuple[str, ...]] = tuple(name for name, _ in _FEATURES)
FEATURE_MEANING: Final[dict[str, str]] = dict(_FEATURES)
FEATURE_INDEX: Final[dict[str, int]] = {name: i for i, name in enumerate(FEATURES)}
CATEGORICAL_FEATURES: Final = ("channel", "category")
FEATURE_COUNT: Final = len(FEATURES)

FEATURE_SCHEMA_HASH: Final[str] = hashlib.sha256(
    json.dumps([_FEATURES, CARD_WINDOWS_S, TERMINAL_WINDOWS_S, LABEL_DELAY_S, CARD_MEMORY, RISK_PRIOR_COUNT]).encode()
).hexdigest()
