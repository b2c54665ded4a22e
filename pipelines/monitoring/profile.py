"""Columns as counts per bin and day: the form in which windows are compared with their reference.

A column is binned once, on the frozen reference: numbers at its quantiles, words by their levels. Everything that
monitoring asks (tests, distances, onset, timelines) is then arithmetic on small tables of counts. Called by
`column_tests`, `onset` and `monitor`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Role = Literal["message", "feature", "score"]

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
WEEK_HOURS: Final = 168
QUANTILE_BINS: Final = 50  # a move inside a bin shifts the distribution function by at most 1/50
DECILES: Final = 10

# What is watched. Messages come first: when a message moves, the features made of it move with it.
WATCHED: Final[dict[str, Role]] = {
    "amount": "message",
    "hour": "message",
    "channel": "message",
    "category": "message",
    "card_count_1h": "feature",
    "card_count_1d": "feature",
    "seconds_since_card": "feature",
    "card_distance_km_1d": "feature",
    "amount_to_card_mean": "feature",
    "amount_to_terminal_mean": "feature",
    "terminal_count_1d": "feature",
    "score": "score",
}
CATEGORICAL: Final = frozenset({"channel", "category"})


@dataclass(frozen=True)
class Binning:
    """How one column falls into bins, fixed by the reference. The last bin holds nulls, or levels never seen."""

    column: str
    role: Role
    edges: Floats | None  # upper edges of all numeric bins but the last, increasing
    levels: tuple[str, ...] = ()

    @property
    def ordered(self) -> bool:
        return self.edges is not None

    @property
    def size(self) -> int:
        return (len(self.levels) if self.edges is None else len(self.edges) + 1) + 1

    def codes(self, values: pd.Series) -> Integers:
        """The bin of each value, shape (n,)."""
        if self.edges is None:
            found = places(values, pd.Index(self.levels))
            return np.where(found < 0, self.size - 1, found)
        numbers = values.to_numpy(dtype=np.float64)
        bins = np.searchsorted(self.edges, numbers, side="left").astype(np.int64)
        return np.where(np.isnan(numbers), self.size - 1, bins)


def places(values: pd.Series, index: pd.Index) -> Integers:
    """The place of each value in an index of unique words, (n,); -1 for nulls and for words that it does not hold."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        of_level = np.append(index.get_indexer(values.cat.categories.astype(object)), -1)
        return of_level[values.cat.codes.to_numpy()].astype(np.int64)
    return index.get_indexer(pd.Index(values.astype(object))).astype(np.int64)


def fit_binning(column: str, values: pd.Series) -> Binning:
    """Bins of one reference column: at its quantiles, or one per level."""
    if column in CATEGORICAL:
        return Binning(column, WATCHED[column], None, tuple(sorted(values.dropna().astype(str).unique())))
    numbers = values.to_numpy(dtype=np.float64)
    inner = np.arange(1, QUANTILE_BINS) / QUANTILE_BINS
    known = numbers[np.isfinite(numbers)]
    edges = np.unique(np.quantile(known, inner, method="inverted_cdf")) if len(known) else np.empty(0)
    return Binning(column, WATCHED[column], edges)


@dataclass(frozen=True)
class Days:
    """Counts per day and bin of one column."""

    days: Integers  # (d,) days since 1970, increasing
    counts: Floats  # (d, bins)

    def since(self, day: int) -> "Days":
        keep = self.days >= day
        return Days(self.days[keep], self.counts[keep])


def day_numbers(event_time: pd.Series) -> Integers:
    """Whole days since 1970, UTC."""
    return milliseconds(event_time) // DAY_MS


def milliseconds(event_time: pd.Series) -> Integers:
    """Milliseconds since 1970, UTC."""
    return np.asarray(event_time.astype("datetime64[ms, UTC]").astype(np.int64), dtype=np.int64)


def count_days(codes: Integers, day: Integers, size: int) -> Days:
    """Counts of each bin on each day that has rows."""
    days, index = np.unique(day, return_inverse=True)
    flat = np.bincount(index * size + codes, minlength=len(days) * size)
    return Days(days, flat.reshape(len(days), size).astype(np.float64))


@dataclass(frozen=True)
class Season:
    """How often the hours of the week occur in a window, per time that they occur in the reference."""

    weights: Floats  # (168,) by `hour_of_week`
    name: Literal["week", "day", "none"]


def hour_of_week(event_time: pd.Series) -> Integers:
    """0 to 167; which hour is 0 does not matter, as both sides count alike."""
    return milliseconds(event_time) // HOUR_MS % WEEK_HOURS


def season_of(reference_days: Integers, start: datetime, end: datetime) -> Season:
    """Weights that give a reference of these days the same hours of the week as the window [start, end).

    By the calendar and not by traffic, so that a shift in *when* people pay stays visible; weighted counts are then those
    expected in the window. A reference that never saw some of the window's hours of the week is matched by hour of the
    day, and failing that not at all.
    """
    window = np.arange(_ms(start) // HOUR_MS, -(-_ms(end) // HOUR_MS))
    covered = (np.asarray(reference_days)[:, None] * 24 + np.arange(24)).ravel()
    seasons: tuple[tuple[Literal["week", "day"], int], ...] = (("week", WEEK_HOURS), ("day", 24))
    for name, period in seasons:
        wanted = np.bincount(window % period, minlength=period)
        have = np.bincount(covered % period, minlength=period)
        if np.all(have[wanted > 0] > 0):
            return Season(np.tile(wanted / np.maximum(have, 1), WEEK_HOURS // period), name)
    return Season(np.full(WEEK_HOURS, len(window) / max(len(covered), 1)), "none")


@dataclass(frozen=True)
class Profile:
    """The reference of one column, or of one mark on its rows: counts per bin, by hour of the week and by day."""

    hours: Floats  # (168, bins)
    days: Days

    @classmethod
    def of(cls, codes: Integers, event_time: pd.Series, size: int) -> "Profile":
        flat = np.bincount(hour_of_week(event_time) * size + codes, minlength=WEEK_HOURS * size)
        return cls(flat.reshape(WEEK_HOURS, size).astype(np.float64), count_days(codes, day_numbers(event_time), size))

    @classmethod
    def of_marks(cls, marked: Mask, event_time: pd.Series) -> "Profile":
        """Bins: not marked, marked, (none)."""
        return cls.of(marked.astype(np.int64), event_time, 3)

    def expected(self, season: Season) -> Floats:
        """Counts per bin that a quiet window of this season would have, (bins,)."""
        counts: Floats = season.weights @ self.hours
        return counts

    def rows(self, season: Season) -> float:
        """Rows of the reference that the weighting leaves effective (Kish 1965), without those of the last bin."""
        rows = self.hours[:, :-1].sum(axis=1)
        squares = float(season.weights**2 @ rows)
        return float(season.weights @ rows) ** 2 / squares if squares else 0.0


def design_effect(days: Days, *, ordered: bool, quantile: float) -> float:
    """How much more a column varies from day to day than independent rows would: divides sample sizes, at least 1.

    Payments of a day share its weather, paydays and campaigns, so a test that trusts each row alone finds "drift" in
    every quiet week. First-order correction of Rao & Scott (1984, "On chi-squared tests for multiway contingency
    tables...", Annals of Statistics 12), with days as clusters, means of like days removed, on cumulative shares for
    ordered bins. It is itself estimated, from few days: the ratio of the t to the normal quantile at `quantile` widens
    it accordingly.
    """
    from scipy.special import ndtri, stdtrit

    counts = days.counts[:, :-1]
    shares = np.cumsum(counts, axis=1)[:, :-1] if ordered else counts
    rows = counts.sum(axis=1, keepdims=True)
    groups = _alike(days.days)
    freedom = len(days.days) - len(np.unique(groups))
    if freedom < 1 or counts.shape[1] < 2:
        return 1.0
    expected = np.empty_like(shares)
    for group in np.unique(groups):
        member = groups == group
        expected[member] = shares[member].sum(axis=0) / np.maximum(rows[member].sum(), 1)
    residual = np.sqrt(rows) * (shares / np.maximum(rows, 1) - expected)
    independent = (expected * (1 - expected)).mean(axis=0).sum()
    between = (residual**2).sum() / freedom
    known = freedom * _directions(residual, freedom, counts.shape[1] - 1)
    widen = (stdtrit(known, quantile) / ndtri(quantile)) ** 2
    return float(max(1.0, between / independent if independent > 0 else 1.0) * widen)


def _directions(residual: Floats, freedom: int, most: int) -> float:
    """In how many independent directions a column's bins vary together: the variance is that much better known.

    Satterthwaite (1946) needs the covariance's tr² / tr(·²); the same of the days' Gram matrix is less, by as few days
    as there are, which is undone here.
    """
    common = residual @ residual.T
    seen = float(np.trace(common)) ** 2 / max(float((common**2).sum()), 1e-300)
    return float(np.clip(seen * freedom / max(freedom - seen, 1e-9), 1.0, max(most, 1)))


def _alike(days: Integers) -> Integers:
    """The group of each day: its weekday where there are four of each, else working day or weekend, else one for all."""
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    for groups, least in ((weekday, 4), ((weekday >= 5).astype(np.int64), 2)):
        if np.bincount(groups)[np.unique(groups)].min(initial=least) >= least:
            return np.asarray(groups, dtype=np.int64)
    return np.zeros_like(days)


def population_stability(current: Floats, reference: Floats) -> float:
    """PSI of two histograms: the sum of (p - q) ln(p / q), with half a row added to each bin."""
    p, q = _smoothed(current), _smoothed(reference)
    return float(np.sum((p - q) * np.log(p / q)))


def to_deciles(counts: Floats, reference: Floats) -> Floats:
    """Fine ordered bins (..., bins) merged to about ten of equal weight in the `reference` (bins,)."""
    share = np.cumsum(reference) - reference / 2
    group = np.minimum((share / max(reference.sum(), 1e-9) * DECILES).astype(np.int64), DECILES - 1)
    return np.stack([counts[..., group == g].sum(axis=-1) for g in np.unique(group)], axis=-1)


def _smoothed(counts: Floats) -> Floats:
    shares: Floats = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def watched_columns(frame: pd.DataFrame) -> Sequence[str]:
    """The watched columns that a frame has, in order of cause before symptom."""
    return [name for name in WATCHED if name in frame.columns]
