"""Randomness that knows no order: any number of the world can be drawn without the ones before it.

Two kinds, both counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
- `generator` for columns of a day: NumPy's Philox, keyed by (seed, stream), its counter set to the day;
- `hashed` for facts that outlive a day (a favourite shop, a trip, a campaign): a 64-bit mix of the words that name the
  fact, so that it need not be stored.

For the files of `data/world/` only.
"""

from datetime import date
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_WORD: Final = 0xFFFFFFFFFFFFFFFF
_EPOCH: Final = date(1970, 1, 1).toordinal()


class Stream(IntEnum):
    """Who draws. One stream per concern, so that changing one changes no other. Never renumber: it would change the world."""

    TOWNS = 1
    CUSTOMERS = 2
    CARDS = 3
    TERMINALS = 4
    COUNTS = 10
    PLACES = 11
    TIMES = 12
    AMOUNTS = 13
    DEVICES = 14
    COMPANIONS = 15
    SUBSCRIPTIONS = 16
    SHIFT = 17
    LOSSES = 18
    DISPUTES = 19
    DORMANCY = 30
    TRIPS = 31
    FAVOURITES = 32
    GADGETS = 33
    TOKENS = 34
    CAMPAIGNS = 40


def day_number(day: date) -> int:
    """Days since 1970."""
    return day.toordinal() - _EPOCH


def date_of(day: int) -> date:
    """The date of a day number."""
    return date.fromordinal(day + _EPOCH)


def generator(seed: int, stream: Stream, day: int = 0) -> np.random.Generator:
    """The generator of one stream on one day (days since 1970)."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, day]))


def hashed(seed: int, stream: int, *words: NDArray[np.integer] | int) -> Words:
    """64 well-mixed bits for each tuple of words, broadcast together.

    Each word is folded in by a step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    bits = np.array([_prefix(seed, stream)], np.uint64)
    for word in words:
        bits = _mix(bits + np.atleast_1d(word).astype(np.uint64))
    return bits


def again(bits: Words, purpose: int) -> Words:
    """Fresh bits of the same owner for another purpose (a small number, one per use in the code)."""
    return _mix(bits ^ np.uint64(purpose * 0xD1B54A32D192ED03 & _WORD))


@lru_cache(maxsize=256)
def _prefix(seed: int, stream: int) -> int:
    mixed = _mix(np.array([seed], np.uint64)) + np.uint64(stream)  # mixed first, so that (7, day 4) is not (8, day 3)
    return int(_mix(mixed)[0])


def _mix(bits: Words) -> Words:
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def fraction(bits: Words, lane: int = 0) -> NDArray[np.float64]:
    """A uniform number in [0, 1) from one of the two 32-bit halves of hashed bits."""
    half = bits & np.uint64(0xFFFFFFFF) if lane == 0 else bits >> np.uint64(32)
    return half.astype(np.float64) * 2.0**-32
