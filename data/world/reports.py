"""What becomes known, and when: late, partial and sometimes wrong.

A reported fraud is noticed by its cardholder within hours (source `alert`) or comes back as a chargeback after a
lognormal delay, at most 90 days. Some are never reported. Some honest payments are disputed by the person who made them
(friendly fraud: the truth says genuine, the label says fraud, source `dispute`), and a few are looked into and cleared
(`investigation`, not fraud). For the files of `data/world/` only.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.schema import LABEL_SOURCES
from data.world.config import WorldConfig
from data.world.rows import NEVER
from data.world.streams import Words, fraction

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
CHARGEBACK, ALERT = LABEL_SOURCES.index("chargeback"), LABEL_SOURCES.index("alert")
DISPUTE, INVESTIGATION = LABEL_SOURCES.index("dispute"), LABEL_SOURCES.index("investigation")
ALERT_MEDIAN_HOURS: Final = 5.0
ALERT_SPREAD: Final = 1.1
CHARGEBACK_SPREAD: Final = 0.8  # of the logarithm: 5 % take longer than four times the median
LATEST_DAYS: Final = 90.0  # card schemes close the window for most disputes at 120 days; 90 keeps the lab's files short
SMALL_EUR: Final = 5.0
CLEARED_SHARE: Final = 0.0003  # of genuine payments, investigated and cleared


def normal(bits: Words) -> NDArray[np.float64]:
    """A standard normal number from hashed bits (Box and Muller 1958)."""
    drawn: NDArray[np.float64] = np.sqrt(-2 * np.log1p(-fraction(bits))) * np.cos(2 * np.pi * fraction(bits, 1))
    return drawn


def fraud_reports(
    config: WorldConfig, time_ms: NDArray[np.int64], amount: NDArray[np.float32], victim: Words, use: Words
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Report time (ms since 1970, or NEVER) and source of frauds. How a victim notices is one draw per victim."""
    alert = fraction(victim) < config.alert_share
    hours = ALERT_MEDIAN_HOURS * np.exp(ALERT_SPREAD * normal(use))
    days = np.minimum(config.chargeback_median_days * np.exp(CHARGEBACK_SPREAD * normal(use)), LATEST_DAYS)
    delay = np.where(alert, hours * HOUR_MS, days * DAY_MS).astype(np.int64)
    overlooked = config.unreported_share * np.where(amount < SMALL_EUR, 3.0, 1.0)
    never = fraction(victim, 1) < overlooked
    source = np.where(alert, ALERT, np.where(fraction(use, 1) < 0.1, INVESTIGATION, CHARGEBACK))
    return np.where(never, NEVER, time_ms + delay), source.astype(np.int8)


def honest_reports(
    config: WorldConfig, time_ms: NDArray[np.int64], amount: NDArray[np.float32], online: NDArray[np.bool_], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    """Which honest payments are reported all the same: positions, report times (ms) and sources (dispute or investigation).

    Disputes come from purchases online above a few EUR, four times as often as from others.
    """
    u = random.random(len(time_ms))
    weight = np.where(online & (amount > SMALL_EUR), 2.4, 0.6)
    disputed = u < config.disputed_share * weight
    cleared = ~disputed & (u > 1 - CLEARED_SHARE)
    which = np.flatnonzero(disputed | cleared)
    days = np.minimum(config.chargeback_median_days * np.exp(CHARGEBACK_SPREAD * random.standard_normal(len(which))), LATEST_DAYS)
    source = np.where(disputed[which], DISPUTE, INVESTIGATION).astype(np.int8)
    return which, time_ms[which] + (days * DAY_MS).astype(np.int64), source
