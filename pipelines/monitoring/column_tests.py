"""Label-free tests of a window against a frozen reference, with one error budget for all of them together.

Evidently's defaults raise a false alarm in a third to all of quiet windows (its thresholds ignore sample sizes, seasons
and the number of columns). Here every test is two-sample, season-matched, corrected for the day-to-day variation that
the reference shows, and gets an equal part of the window's budget (Bonferroni). A difference must also be large enough
to matter: with fifty thousand rows, everything differs a little. Called by `monitor`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.monitoring.profile import Binning, Floats, Profile, Role, Season, design_effect, population_stability, to_deciles

ERROR_BUDGET: Final = 0.001  # chance that a quiet window raises any alarm at all: one false alarm per thousand windows
# Smallest differences worth an alarm. Quiet weeks of the world move by less (measured: `python -m tests.bench.drift`).
MINIMUM_DISTANCE: Final = 0.03  # largest gap between distribution functions, or total variation of levels
MINIMUM_NULL_RISE: Final = 0.005  # of a column's rows
MINIMUM_UNSEEN: Final = 0.001  # share of rows
MINIMUM_ALERT_RATIO: Final = 1.25
COMMON: Final = 0.05  # share from which a mark is no longer rare
COMMON_ROWS: Final = 25.0  # on either side, marked and not: the normal law holds well into the tail
# These move twice as far for no reason: counts, gaps and ways of a day follow its traffic, which grows and has busy weeks, and
# scores rise as cards grow older (by 0.037 to 0.053 in 4 of 60 quiet months of the world, seen first).
RESTLESS: Final = frozenset({"card_count_1d", "seconds_since_card", "terminal_count_1d", "card_distance_km_1d", "score"})
MINIMUM_RESTLESS_DISTANCE: Final = 0.06
CYCLIC: Final = frozenset({"hour"})


@dataclass(frozen=True)
class ColumnTest:
    """One test. `value` is the effect and `threshold` the smallest one that alarms at this budget."""

    column: str
    role: Role
    method: str
    value: float
    threshold: float
    p_value: float
    drifted: bool
    population_stability: float
    direction: str  # "higher", "lower", a level that grew, or "" when nothing moved


@dataclass(frozen=True)
class Sample:
    """One column of window and reference as counts per bin, with the sizes that a test may believe in."""

    binning: Binning
    current: Floats  # (bins,)
    reference: Floats  # (bins,) season-weighted
    current_rows: float  # effective: rows over the design effect
    reference_rows: float

    @classmethod
    def of(cls, binning: Binning, current: Floats, profile: Profile, season: Season, level: float, noise: float | None = None) -> "Sample":
        """`current` counts (bins,) against a reference, for a test at `level`.

        `noise`: the design effect where it was measured (see `noise_floor`); estimated from the reference's days where not.
        """
        if noise is None:
            noise = design_effect(profile.days, ordered=binning.ordered, quantile=1 - level / 2)
        return cls(binning, current, profile.expected(season), float(current[:-1].sum()) / noise, profile.rows(season) / noise)

    @property
    def harmonic(self) -> float:
        """Size of one sample that is worth both together, n m / (n + m)."""
        total = self.current_rows + self.reference_rows
        return self.current_rows * self.reference_rows / total if total else 0.0


def test_column(sample: Sample, level: float) -> ColumnTest:
    """The distribution of one column: Kolmogorov–Smirnov for numbers, chi-square of homogeneity for levels."""
    p, q = _shares(sample.current[:-1]), _shares(sample.reference[:-1])
    numeric = sample.binning.ordered
    gaps = np.cumsum(p - q)
    value = float(np.abs(gaps).max(initial=0.0)) if numeric else float(np.abs(p - q).sum() / 2)
    if sample.binning.column in CYCLIC:
        p_value, critical = _cyclic(value, sample, level)
    else:
        p_value, critical = _kolmogorov(value, sample.harmonic, level) if numeric else _homogeneity(p, q, sample, level)
    threshold = max(critical, MINIMUM_RESTLESS_DISTANCE if sample.binning.column in RESTLESS else MINIMUM_DISTANCE)
    drifted = bool(p_value < level and (value >= threshold or (sample.binning.column in CYCLIC and value >= MINIMUM_DISTANCE)))
    if numeric:
        direction = "higher" if gaps.size and gaps[np.abs(gaps).argmax()] < 0 else "lower"
        psi = population_stability(
            to_deciles(sample.current[:-1], sample.reference[:-1]), to_deciles(sample.reference[:-1], sample.reference[:-1])
        )
    else:
        direction = f"more {sample.binning.levels[int(np.argmax(p - q))]}" if p.size else ""
        psi = population_stability(sample.current[:-1], sample.reference[:-1])
    method = "Kolmogorov–Smirnov distance" if numeric else "total variation, chi-square"
    return ColumnTest(
        sample.binning.column, sample.binning.role, method, value, threshold, p_value, drifted, psi, direction if drifted else ""
    )


@dataclass(frozen=True)
class Rate:
    """A share of a window's rows, its reference's, and the p-value for their being equal."""

    value: float
    before: float
    p_value: float


def compare_marks(
    profile: Profile, marked: float, rows: float, season: Season, level: float, noise: float | None = None, *, mark: int = 1
) -> Rate:
    """So many marked `rows` of a window against the reference's `profile` of marks (bin `mark`); `noise` as in `Sample.of`."""
    usual = profile.expected(season)
    before = float(usual[mark] / max(usual[:-1].sum(), 1e-9))
    effect = design_effect(profile.days, ordered=False, quantile=1 - level / 2) if noise is None else noise
    m = profile.rows(season) / effect
    return Rate(marked / rows, before, rate_p_value(marked / effect, rows / effect, before * m, m))


def rate_p_value(current: float, current_rows: float, reference: float, reference_rows: float) -> float:
    """Two-sided p-value for equal shares of marked rows in two samples.

    Rare marks: given the total, the window's count is binomial with its share of the rows (Przyborowski & Wilenski 1940).
    That is exact for rare marks and wasteful for common ones, which get the pooled two-sample z-test. Counts may be
    fractional: they were divided by a design effect.
    """
    from scipy.special import betainc, ndtr

    total, rows = current + reference, current_rows + reference_rows
    if total <= 0:
        return 1.0
    pooled, share = total / rows, current_rows / rows
    if COMMON < pooled < 1 and min(pooled, 1 - pooled) * min(current_rows, reference_rows) >= COMMON_ROWS:
        error = np.sqrt(pooled * (1 - pooled) * (1 / current_rows + 1 / reference_rows))
        return float(2 * ndtr(-abs(current / current_rows - reference / reference_rows) / error))
    at_least = float(betainc(current, total - current + 1, share)) if current > 0 else 1.0
    at_most = 1.0 - float(betainc(current + 1, total - current, share)) if reference > 0 else 1.0
    return min(1.0, 2 * min(at_least, at_most))


def _kolmogorov(distance: float, rows: float, level: float) -> tuple[float, float]:
    """p-value and critical distance by the limit law, with Stephens' (1970) correction for small samples."""
    from scipy.special import kolmogi, kolmogorov

    if rows <= 0:
        return 1.0, 1.0
    scale = np.sqrt(rows) + 0.12 + 0.11 / np.sqrt(rows)
    return float(kolmogorov(distance * scale)), float(kolmogi(level) / scale)


def _cyclic(distance: float, sample: Sample, level: float) -> tuple[float, float]:
    """For hours, which have no ends: the better of Kolmogorov-Smirnov and chi-square over ten parts of the day, each at half the level.

    A clock that runs wrong moves every hour a little; the largest gap of the distribution functions sees one place only.
    """
    p_value, critical = _kolmogorov(distance, sample.harmonic, level / 2)
    parts = [_shares(to_deciles(counts[:-1], sample.reference[:-1])) for counts in (sample.current, sample.reference)]
    return min(1.0, 2 * min(p_value, homogeneity_p_value(parts[0], parts[1], sample.current_rows, sample.reference_rows))), critical


def homogeneity_p_value(p: Floats, q: Floats, rows: float, reference_rows: float) -> float:
    """Two-sample chi-square p-value for equal shares `p` and `q` of the same levels.

    Levels too rare to expect five rows on either side are taken together (Cochran 1954).
    """
    from scipy.special import chdtrc

    statistic, freedom = _chi_square(p, q, rows, reference_rows)
    return float(chdtrc(freedom, statistic)) if freedom else 1.0


def _chi_square(p: Floats, q: Floats, rows: float, reference_rows: float) -> tuple[float, int]:
    pooled = (p * rows + q * reference_rows) / max(rows + reference_rows, 1e-9)
    rare = pooled * min(rows, reference_rows) < 5
    p, q, pooled = (np.append(x[~rare], x[rare].sum()) for x in (p, q, pooled))
    there = pooled > 0
    harmonic = rows * reference_rows / max(rows + reference_rows, 1e-9)
    return harmonic * float(np.sum((p - q)[there] ** 2 / pooled[there])), max(int(there.sum()) - 1, 0)


def _homogeneity(p: Floats, q: Floats, sample: Sample, level: float) -> tuple[float, float]:
    """The p-value, and about the total variation at which it would reach `level`."""
    from scipy.special import chdtrc, chdtri

    statistic, freedom = _chi_square(p, q, sample.current_rows, sample.reference_rows)
    if not freedom:
        return 1.0, 1.0
    distance = float(np.abs(p - q).sum() / 2)
    critical = distance * np.sqrt(chdtri(freedom, level) / statistic) if statistic > 0 else 1.0
    return float(chdtrc(freedom, statistic)), float(critical)


def _shares(counts: Floats) -> Floats:
    shares: Floats = counts / max(counts.sum(), 1e-9)
    return shares


def ranked(tests: Sequence[ColumnTest]) -> tuple[ColumnTest, ...]:
    """What moved, causes first: messages before the features made of them before the score, then by size."""
    order = {"message": 0, "feature": 1, "score": 2}
    return tuple(sorted((t for t in tests if t.drifted), key=lambda t: (order[t.role], -t.population_stability)))
