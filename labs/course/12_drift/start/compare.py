"""Two samples of payments, column by column: how far apart they are, and how likely that is by chance. Yours to use.

Numbers: Kolmogorov and Smirnov's distance. Words: total variation, with the chi-square test of homogeneity. Missing values are left out
of both, as Evidently does; their shares are told beside them.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import chdtrc, kolmogorov

INPUTS = ("amount", "hour", "channel", "category", "card_count_1h", "card_count_1d", "seconds_since_card", "card_distance_km_1d",
          "amount_to_card_mean", "amount_to_terminal_mean", "terminal_count_1d")  # fmt: skip
WORDS = ("channel", "category")
# Counts and gaps of a card and a till: they follow the traffic, which grows and has busy days.
TRAFFIC = ("card_count_1h", "card_count_1d", "seconds_since_card", "card_distance_km_1d", "terminal_count_1d")


class Comparison(NamedTuple):
    """One column of a window against its reference."""

    column: str
    distance: float  # 0 to 1: the largest gap of the distribution functions, or half the summed differences of the levels' shares
    p_value: float  # of a distance as large, if all rows were drawn independently from one population
    missing: float  # share of the window's rows
    missing_before: float  # of the reference's
    rows: int  # of the window that have a value
    reference_rows: int


def compare(window, reference):
    """A Comparison for each of INPUTS."""
    return [compare_column(window[name], reference[name]) for name in INPUTS]


def corrected(window, reference):
    """The columns that the corrected test calls drifted: 1 % of false alarms, shared by all of them (Bonferroni)."""
    return [found.column for found in compare(window, reference) if found.p_value < 0.01 / len(INPUTS)]


def compare_column(now, before):
    """One column: pandas Series of the window and of the reference."""
    a, b = now.dropna(), before.dropna()
    distance, p_value = (1.0, 0.0) if a.empty or b.empty else _levels(a, b) if now.name in WORDS else _numbers(a, b)
    return Comparison(now.name, distance, p_value, float(now.isna().mean()), float(before.isna().mean()), len(a), len(b))


def _numbers(a, b):
    a, b = np.sort(a.to_numpy(dtype=float)), np.sort(b.to_numpy(dtype=float))
    at = np.unique(a) if len(a) < len(b) else np.unique(b)
    gaps = [np.searchsorted(a, at, side) / len(a) - np.searchsorted(b, at, side) / len(b) for side in ("left", "right")]
    distance = float(max(np.abs(gap).max() for gap in gaps))
    size = np.sqrt(len(a) * len(b) / (len(a) + len(b)))
    return distance, float(kolmogorov(distance * (size + 0.12 + 0.11 / size)))


def _levels(a, b):
    counts = [side.astype(str).value_counts() for side in (a, b)]
    p, q = (pd.concat(counts, axis=1).fillna(0.0).to_numpy(dtype=float)).T
    distance = float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)
    rare = (p + q) * min(len(a), len(b)) / (len(a) + len(b)) < 5  # too few to be tested alone: together
    p, q = (np.append(side[~rare], side[rare].sum()) for side in (p, q))
    p, q = p[p + q > 0], q[p + q > 0]
    expected = [(p + q) * len(side) / (len(a) + len(b)) for side in (a, b)]
    statistic = sum(float(((side - fair) ** 2 / fair).sum()) for side, fair in zip((p, q), expected, strict=True))
    return distance, float(chdtrc(max(len(p) - 1, 1), statistic))
