"""Tests of how many payments come, and how many of them come twice. Called by `portfolio`.

A gateway that sends a payment again under a new id changes neither amounts nor hours nor words: only the count shows it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from pipelines.monitoring.column_tests import compare_marks
from pipelines.monitoring.fault_tests import Pair
from pipelines.monitoring.profile import Floats, Integers, Mask, Profile, Season, day_numbers, milliseconds
from pipelines.monitoring.window_checks import Finding

REPEAT_MS: Final = 600_000  # the same card, till and amount within ten minutes: a retry, or a double tap
MINIMUM_REPEATS: Final = 0.005  # of rows
LOST_RATIO: Final = 0.4  # of payments to those expected: customers who stay away leave more, a feed that is down leaves less
MINIMUM_RATIO: Final = 1.25  # of payments to those expected; holidays and growth stay under it
SMALLEST_SPREAD: Final = 0.05  # of a day's count: fourteen days cannot prove less


@dataclass(frozen=True)
class Traffic:
    """How many payments a reference has, by hour of the week and by day, which of them repeat another, and what their clocks say."""

    repeats: Profile
    clock: Profile  # the hour that payments say, 0 to 23, (none)
    spread: float  # standard deviation of a day's log count about its weekday's
    days: int

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Traffic":
        """Of the reference's rows."""
        days, counts = np.unique(day_numbers(frame["event_time"]), return_counts=True)
        logs, weekend = np.log(counts), (days + 3) % 7 >= 5
        for kind in (weekend, ~weekend):
            logs[kind] -= logs[kind].mean() if kind.any() else 0.0
        spread = max(float(np.sqrt(logs @ logs / max(len(days) - 2, 1))), SMALLEST_SPREAD)
        clock = Profile.of(hours(frame), frame["event_time"], 25)
        return cls(Profile.of_marks(repeats(frame), frame["event_time"]), clock, spread, len(days))


def volume_findings(pair: Pair, traffic: Traffic, days: float) -> list[Finding]:
    """Far more or fewer payments than the season explains, and payments that repeat others. `days`: the window's length."""
    rows = len(pair.current)
    found = _count(rows, traffic, pair.season, pair.level, days, pair.noise.get("volume:", 1.0))
    again = repeats(pair.current)
    rate = compare_marks(traffic.repeats, float(again.sum()), rows, pair.season, pair.level, pair.noise.get("volume:transaction_id"))
    if rate.p_value < pair.level and rate.value - rate.before >= MINIMUM_REPEATS:
        text = f"{rate.value:.1%} of payments repeat one by the same card, till and amount within ten minutes, {rate.before:.1%} before."
        found.append(Finding("duplicates", "transaction_id", text, int(again.sum()), rate.value - rate.before, rate.p_value))
    return found


def _count(rows: int, traffic: Traffic, season: Season, level: float, days: float, noise: float) -> list[Finding]:
    from scipy.special import stdtr

    expected = float(traffic.repeats.expected(season)[:-1].sum())
    if expected <= 0 or rows == 0:
        return []
    ratio = rows / expected
    error = np.sqrt(noise * traffic.spread**2 * (1 / max(days, 1.0) + 1 / traffic.days) + 1 / rows + 1 / expected)
    p = 2 * float(stdtr(max(traffic.days - 2, 1), -abs(np.log(ratio)) / error))
    if p >= level or 1 / MINIMUM_RATIO < ratio < MINIMUM_RATIO:
        return []
    text = f"{rows:,} payments came where {expected:,.0f} were expected."
    return [Finding("lost_payments" if ratio < LOST_RATIO else "volume", "", text, rows, abs(ratio - 1), p)]


def hours(frame: pd.DataFrame) -> Integers:
    """The hour that each payment says, (n,); 24 where it says none."""
    if "hour" not in frame:
        return np.full(len(frame), 24, dtype=np.int64)
    said: Floats = np.nan_to_num(frame["hour"].to_numpy(dtype=np.float64), nan=24.0)
    return np.clip(said, 0, 24).astype(np.int64)


def repeats(frame: pd.DataFrame) -> Mask:
    """Payments whose card paid the same amount at the same terminal up to ten minutes before, (n,)."""
    marked = np.zeros(len(frame), dtype=np.bool_)
    if not {"card_id", "terminal_id", "amount"} <= set(frame):
        return marked
    time, amount = milliseconds(frame["event_time"]), frame["amount"].to_numpy(dtype=np.float64)
    card, terminal = _codes(frame["card_id"]), _codes(frame["terminal_id"])
    order = np.lexsort((time, terminal, card))
    same = np.ones(max(len(frame) - 1, 0), dtype=np.bool_)
    for values in (card, terminal, amount):
        same &= values[order][1:] == values[order][:-1]
    marked[order[1:]] = same & (np.diff(time[order]) <= REPEAT_MS)
    return marked


def _codes(column: pd.Series) -> Floats:
    codes = column.cat.codes.to_numpy() if isinstance(column.dtype, pd.CategoricalDtype) else pd.factorize(column)[0]
    return np.asarray(codes, dtype=np.float64)
