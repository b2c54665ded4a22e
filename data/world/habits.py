"""Tables of habit: what segments of people buy, when shops are busy, what things cost.

The numbers are the lab's own, chosen so that the validation bands of `validation.py` hold; they are meant to be read
and changed. For the files of `data/world/` only.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.schema import CATEGORIES

SOLD: Final = tuple(c for c in CATEGORIES if c != "unknown")  # "unknown" is a lost field, not a trade
CELLS: Final = 1024  # resolution of the look-up tables


class Trade(NamedTuple):
    """One merchant category."""

    ticket: float  # median amount, EUR
    spread: float  # standard deviation of its logarithm
    visits: float  # relative frequency in person
    online: float  # relative frequency online
    rhythm: str  # hours in person


TRADES: Final[dict[str, Trade]] = {
    "grocery": Trade(22, 0.80, 26, 6, "shop"),
    "fuel": Trade(46, 0.45, 7, 0, "commute"),
    "restaurant": Trade(18, 0.70, 15, 9, "food"),
    "fashion": Trade(41, 0.80, 6, 14, "shop"),
    "electronics": Trade(68, 1.10, 2.5, 11, "shop"),
    "pharmacy": Trade(14, 0.80, 5, 3, "shop"),
    "travel": Trade(85, 1.00, 1, 6, "shop"),
    "hotel": Trade(110, 0.75, 1.2, 3, "leisure"),
    "entertainment": Trade(16, 0.80, 5, 9, "leisure"),
    "home": Trade(37, 1.00, 4, 9, "shop"),
    "digital_goods": Trade(9, 1.00, 0, 16, "shop"),
    "gift_cards": Trade(34, 0.70, 0.7, 2.5, "shop"),
    "jewellery": Trade(95, 1.00, 0.4, 1, "shop"),
    "transport": Trade(6, 0.90, 13, 7, "commute"),
    "services": Trade(27, 1.00, 4, 8, "shop"),
    "cash": Trade(60, 0.65, 5, 0, "shop"),
}


class Segment(NamedTuple):
    """One kind of customer."""

    share: float
    activity: float  # payments, relative
    spend: float  # amounts, relative
    online: float  # share of purchases made online
    weekend: float  # weekend over weekday activity
    trips: float  # probability of a trip within four weeks
    taste: dict[str, float]  # categories bought more or less than others do


SEGMENTS: Final[dict[str, Segment]] = {
    "student": Segment(0.15, 1.1, 0.65, 0.34, 1.25, 0.20, {"fuel": 0.3, "digital_goods": 2.0, "transport": 1.8, "jewellery": 0.3}),
    "worker": Segment(0.38, 1.1, 1.0, 0.24, 1.1, 0.20, {"fuel": 1.2, "restaurant": 1.1}),
    "family": Segment(0.25, 1.2, 1.15, 0.26, 1.2, 0.15, {"grocery": 1.5, "pharmacy": 1.3, "home": 1.3, "fuel": 1.3}),
    "retiree": Segment(0.15, 0.6, 0.85, 0.12, 0.8, 0.12, {"pharmacy": 2.2, "cash": 2.0, "digital_goods": 0.3, "transport": 0.6}),
    "affluent": Segment(0.07, 1.5, 2.2, 0.32, 1.1, 0.50, {"travel": 2.5, "hotel": 2.5, "jewellery": 3.0, "restaurant": 1.5}),
}
_ON_A_TRIP = {"hotel": 9.0, "restaurant": 2.5, "entertainment": 2.5, "transport": 1.5, "cash": 2.0, "grocery": 0.5, "home": 0.1}
_STAYING_HOME = {"electronics": 2.5, "gift_cards": 3.0, "digital_goods": 1.6, "home": 2.5, "grocery": 3.0, "travel": 0.1, "hotel": 0.1}

# Relative traffic per hour of the day, 0 to 23 h (UTC; the region lives on it).
_HOURS: Final[dict[str, tuple[float, ...]]] = {
    "shop": (0, 0, 0, 0, 0, 0.2, 1, 3, 5, 7, 8, 8, 8, 7, 7, 7, 8, 9, 8, 5, 3, 1, 0.5, 0.2),
    "food": (1, 0.6, 0.3, 0.2, 0.1, 0.3, 1, 2, 3, 2, 2, 6, 10, 8, 3, 2, 2, 4, 8, 10, 9, 6, 4, 2),
    "leisure": (2, 1.5, 1, 0.5, 0.3, 0.2, 0.3, 0.5, 1, 2, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9, 9, 8, 6, 4),
    "commute": (0.5, 0.3, 0.2, 0.2, 0.5, 2, 6, 9, 8, 4, 3, 4, 4, 4, 4, 5, 8, 9, 7, 4, 3, 2, 2, 1),
    "online": (3.5, 2.5, 2, 1.7, 1.6, 1.6, 2.2, 3, 4, 5, 6, 6, 7, 6, 6, 6, 6, 7, 8, 10, 11, 10, 8, 5),
    "evening": (4, 2.5, 1.5, 1, 1, 1, 1.5, 2, 3, 4, 4, 4, 4, 4, 4, 5, 6, 8, 10, 13, 14, 13, 10, 7),
    "night": (6, 6, 5.5, 5, 4.5, 3.5, 2.5, 2.5, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 6, 6),
    "working_day": (0.2, 0.1, 0.1, 0.1, 0.1, 0.3, 1, 3, 7, 9, 9, 9, 8, 9, 9, 9, 8, 5, 3, 2, 1, 0.6, 0.4, 0.3),
}
RHYTHMS: Final = tuple(_HOURS)

MIXES: Final = (*SEGMENTS, "trip", *(f"{s}_online" for s in SEGMENTS), "trip_online", "staying_home")  # rows of `category_table`
TRIP_MIX: Final = len(SEGMENTS)
ONLINE_MIX: Final = len(SEGMENTS) + 1  # add it to an in-person mix
STAYING_HOME_MIX: Final = len(MIXES) - 1


def draw_table(weights: NDArray[np.float64]) -> NDArray[np.int8]:
    """Inverse distribution of `weights` at CELLS points: entry floor(u * CELLS) is a draw for uniform u."""
    edges = np.cumsum(weights) / weights.sum()
    return np.searchsorted(edges, (np.arange(CELLS) + 0.5) / CELLS, side="right").astype(np.int8)


def category_table() -> NDArray[np.int8]:
    """Index into SOLD by mix and cell; shape (len(MIXES), CELLS)."""
    visits = np.array([TRADES[c].visits for c in SOLD])
    online = np.array([TRADES[c].online for c in SOLD])
    tastes = [*(s.taste for s in SEGMENTS.values()), _ON_A_TRIP]
    tilts = [np.array([taste.get(c, 1.0) for c in SOLD]) for taste in tastes]
    home = online * np.array([_STAYING_HOME.get(c, 1.0) for c in SOLD])
    return np.stack([draw_table(w) for w in (*(visits * t for t in tilts), *(online * t for t in tilts), home)])


def hour_table() -> NDArray[np.float32]:
    """Second of the day by rhythm and cell, to be interpolated; shape (len(RHYTHMS), CELLS + 1)."""
    rows = []
    for weights in _HOURS.values():
        edges = np.concatenate([[0.0], np.cumsum(weights)]) / sum(weights)
        edges += np.arange(25) * 1e-9  # strictly rising, so that empty hours are skipped
        rows.append(np.interp(np.linspace(0, edges[-1], CELLS + 1), edges, np.arange(25) * 3600.0))
    return np.stack(rows).astype(np.float32)


def second_of_day(table: NDArray[np.float32], rhythm: NDArray[np.integer], u: NDArray[np.floating]) -> NDArray[np.float32]:
    """Draws of the second of the day: uniform `u` through the inverse distribution of each row's rhythm."""
    position = u * np.float32(CELLS)
    cell = position.astype(np.int32)
    flat = rhythm * np.int32(CELLS + 1) + cell
    low = table.ravel()[flat]
    drawn: NDArray[np.float32] = low + (position - cell) * (table.ravel()[flat + 1] - low)
    return drawn
