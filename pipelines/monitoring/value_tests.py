"""Tests of single values in messages: amounts beyond what the reference holds, and one value that is suddenly everywhere.

A hundredfold amount on a thousandth of rows moves no quantile, and a source that writes 0 for what it does not know
writes no null. Called by `portfolio`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from pipelines.monitoring.column_tests import rate_p_value
from pipelines.monitoring.fault_tests import LARGEST_RISE, Pair
from pipelines.monitoring.profile import Floats, Integers
from pipelines.monitoring.window_checks import Finding

RANGED: Final = ("amount",)
SPIKING: Final = ("amount", "latitude", "longitude", "device_id")
# A limit is the reference's k-th value from its end: none lie beyond the first, so few rows suffice there, while the
# later ones are found again in every reference.
DEPTHS: Final = (0, 10, 100)
MINIMUM_TAIL_RISE: Final = 0.001  # of rows
# To the share of rows that lay beyond the limit before. Shoppers who move to dearer trades double an end that few rows make up.
MINIMUM_TAIL_RATIO: Final = 3.0
MINIMUM_SPIKE: Final = 0.01  # of rows: a busy new till is less
SPIKE_RATIO: Final = 3.0  # to its former share: what a channel's growth makes more frequent grows by less
STEADY: Final[Mapping[str, float]] = {}  # no column moved as a whole


@dataclass(frozen=True)
class Values:
    """The single values of a reference: limits of its ranges, and how often it holds each value."""

    limits: Mapping[str, tuple[Floats, Floats]]  # low and high, per depth
    medians: Mapping[str, float]
    counts: Mapping[str, tuple[pd.Index, Floats]]
    rows: int

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Values":
        """Of the reference's rows; columns that it lacks are not watched."""
        limits, medians = {}, {}
        for name in (n for n in RANGED if n in frame):
            values = np.sort(frame[name].dropna().to_numpy(dtype=np.float64))
            if len(values) > 2 * DEPTHS[-1]:
                limits[name] = values[list(DEPTHS)], values[[-1 - depth for depth in DEPTHS]]
                medians[name] = float(np.median(values))
        return cls(limits, medians, {name: _frequencies(frame[name]) for name in SPIKING if name in frame}, len(frame))


def range_findings(pair: Pair, values: Values, moved: Mapping[str, float] = STEADY) -> list[Finding]:
    """Columns with more rows beyond the reference's limits than two samples of one population would have.

    Where the column as a whole moved (`moved`: by what Kolmogorov-Smirnov distance), its ends move along: a general rise of
    prices is taken out (the medians are made equal), and the ends are at fault only if they are most of the move.
    """
    findings = []
    for name, ends in values.limits.items():
        if name not in pair.current or pair.current[name].isna().all():
            continue
        now = pair.current[name].to_numpy(dtype=np.float64)
        if name in moved:
            rise = float(np.nanmedian(now)) / values.medians[name] if values.medians[name] > 0 else 0.0
            now = now / rise if 1 / LARGEST_RISE < rise < LARGEST_RISE else now
        for limits, side in zip(ends, ("below", "above"), strict=True):
            counts = np.array([int((now < edge).sum() if side == "below" else (now > edge).sum()) for edge in limits])
            chance, best = _rarest(counts, len(now), values.rows, pair.noise.get(f"range:{name}", 1.0))
            share, before = counts[best] / len(now), DEPTHS[best] / values.rows
            least = max(MINIMUM_TAIL_RISE, moved.get(name, 0.0) / 2)
            if chance < pair.level and share - before >= least and share >= MINIMUM_TAIL_RATIO * before:
                text = f"Column {name} lies {side} {limits[best]:g} on {share:.2%} of rows, {before:.2%} before."
                findings.append(Finding("range", name, text, int(counts[best]), share, chance))
    return findings


def _rarest(counts: Integers, rows: int, reference_rows: int, effect: float) -> tuple[float, int]:
    """The smallest p-value over the depths, paid for by their number, and which one it was.

    Both ends of a column share its level: each p-value has two sides, of which one is asked for.
    """
    n, m = rows / effect, reference_rows / effect
    chances = [rate_p_value(count / effect, n, depth / effect, m) for count, depth in zip(counts, DEPTHS, strict=True)]
    best = int(np.argmin(chances))
    return min(1.0, chances[best] * len(DEPTHS)), best


def spike_findings(pair: Pair, values: Values, moved: Mapping[str, float] = STEADY) -> list[Finding]:
    """Columns in which one exact value became far more frequent: what a broken source writes for "unknown".

    Where the column as a whole moved, one value must be most of the move: half of all prices has its favourites too.
    """
    findings = []
    for name, (known, counts) in values.counts.items():
        if name not in pair.current:
            continue
        seen, now = _frequencies(pair.current[name])
        if len(seen) == 0:
            continue
        place = known.get_indexer(seen)
        before = np.where(place >= 0, counts[place], 0.0)
        rows = len(pair.current)
        rise = now / rows - before / values.rows
        top = int(rise.argmax())
        effect = pair.noise.get(f"value_spike:{name}", 1.0)
        p = rate_p_value(now[top] / effect, rows / effect, before[top] / effect, values.rows / effect)
        p = min(1.0, p * len(seen))  # any of the values might have been the one
        often = rise[top] >= max(MINIMUM_SPIKE, moved.get(name, 0.0) / 2) and now[top] / rows >= SPIKE_RATIO * before[top] / values.rows
        if often and p < pair.level:
            share = now[top] / rows
            text = f"One value of {name} is on {share:.1%} of rows, {before[top] / values.rows:.2%} before: an error code?"
            findings.append(Finding("value_spike", name, text, int(now[top]), float(rise[top]), p))
    return findings


def _frequencies(column: pd.Series) -> tuple[pd.Index, Floats]:
    """The distinct values of a column, nulls left out, and how many rows hold each."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        counts = np.bincount(column.cat.codes.to_numpy()[column.notna().to_numpy()], minlength=len(column.cat.categories))
        return column.cat.categories[counts > 0].astype(object), counts[counts > 0].astype(np.float64)
    values, counts = np.unique(column.dropna().to_numpy(), return_counts=True)
    return pd.Index(values), counts.astype(np.float64)
