"""What is behind a change: columns ranked by cause before symptom, with effect sizes, since when, and which rows hold it.

Pure functions of frames; `monitor` calls them once something was found. The effect of every column is in one unit, so
that they compare: the share of payments that must have changed (a total variation, or an excess of faulty rows).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from pipelines.monitoring.column_tests import ColumnTest, Sample
from pipelines.monitoring.fault_tests import MAY_BE_NULL, Pair, far_from_usual
from pipelines.monitoring.onset import Onset
from pipelines.monitoring.profile import Binning, Floats, Integers, Mask
from pipelines.monitoring.segment import Change, Segment, Segments
from pipelines.monitoring.window_checks import Finding

# Causes before symptoms: what an upstream system broke, then what people did, then what follows from either.
Tier = Literal["parity", "fault", "message", "feature", "score"]
TIERS: Final[tuple[Tier, ...]] = ("parity", "fault", "message", "feature", "score")
_NO_CAUSE: Final = frozenset(
    {"season", "volume", "lost_payments", "small_window", "empty_window", "column_order", "extra_column", "nullable_dtype"}
)


@dataclass(frozen=True)
class Cause:
    """One column that changed."""

    column: str
    tier: Tier
    what: str  # the kind of the finding, or how the column moved
    effect: float  # share of the window's payments that must have changed
    stability: float | None  # PSI against the reference; None for a finding
    onset: Onset | None
    segment: Segment | None  # None: everywhere, as far as one can tell

    def __str__(self) -> str:
        since = f" since {self.onset.day}" if self.onset else ""
        where = f"; {self.segment}" if self.segment else ""
        return f"{self.column} ({self.what}): {self.effect:.1%} of payments changed{since}{where}"


def root_causes(
    pair: Pair,
    samples: Sequence[Sample],
    moved: Sequence[ColumnTest],
    findings: Sequence[Finding],
    onsets: Mapping[str, Onset],
) -> tuple[Cause, ...]:
    """The causes, the likeliest first; empty where nothing moved. `moved`: the tests that alarmed."""
    by_name = {s.binning.column: s for s in samples}
    segments = Segments(pair)
    causes = [_of_finding(segments, pair, f, by_name, onsets) for f in findings if f.kind not in _NO_CAUSE]
    named = {c.column for c in causes}
    order = _explained_order(pair, [by_name[t.column] for t in moved if t.role == "message"])
    tests = sorted(moved, key=lambda t: (order.index(t.column) if t.column in order else 0, -t.population_stability))
    causes += [_of_test(segments, pair, t, by_name[t.column], onsets) for t in tests if t.column not in named]
    ranked = sorted(causes, key=lambda c: (TIERS.index(c.tier), -c.effect if c.tier in ("parity", "fault") else 0.0))
    return tuple(ranked)


def _of_finding(segments: Segments, pair: Pair, finding: Finding, samples: Mapping[str, Sample], onsets: Mapping[str, Onset]) -> Cause:
    column = "hour" if finding.kind == "clock" else finding.column
    tier: Tier = "parity" if finding.kind == "parity" else "fault" if finding.is_fault else "message"
    marks = _marks(pair, finding, samples.get(column))
    segment = segments.find(Change(*marks), without=_kin(column)) if marks else None
    return Cause(column, tier, finding.kind, finding.share, None, onsets.get(column), segment)


def _of_test(segments: Segments, pair: Pair, test: ColumnTest, sample: Sample, onsets: Mapping[str, Onset]) -> Cause:
    column, binning = test.column, sample.binning
    excess = _excess(sample)
    effect = float(_shares(sample.current) @ excess)
    now, before = (excess[binning.codes(frame[column])] for frame in (pair.current, pair.reference))
    segment = segments.find(Change(now, before), without=_kin(column))
    return Cause(column, test.role, f"moved {test.direction}", effect, test.population_stability, onsets.get(column), segment)


def _marks(pair: Pair, finding: Finding, sample: Sample | None) -> tuple[Floats, Floats] | None:
    """Which rows of window and reference show the finding; None where rows do not tell."""
    column = finding.column
    marks: tuple[Mask, Mask]
    if finding.kind == "null_rate" and column in MAY_BE_NULL:
        marks = pair.current[column].isna().to_numpy(), pair.reference[column].isna().to_numpy()
    elif finding.kind == "unit":
        marks = far_from_usual(pair.current, pair.reference)[:2]
    elif finding.kind == "unseen_level" and sample is not None:
        marks = _unseen(pair.current[column], sample.binning), _unseen(pair.reference[column], sample.binning)
    else:
        return None
    return marks[0].astype(np.float64), marks[1].astype(np.float64)


def _unseen(values: pd.Series, binning: Binning) -> Mask:
    return ~values.isin(binning.levels).to_numpy() & values.notna().to_numpy()


def _excess(sample: Sample) -> Floats:
    """For each bin, the share of the window's rows in it that the reference does not explain, in [0, 1].

    Under the mixture "a part of the rows changed, the rest is as ever" it is the chance that such a row belongs to the
    changed part, for the smallest part that explains the window (its size is the total variation).
    """
    p, q = _shares(sample.current), _shares(sample.reference)
    excess: Floats = np.clip(1 - np.divide(q, p, out=np.zeros_like(q), where=p > 0), 0.0, 1.0)
    return excess


def _explained_order(pair: Pair, samples: Sequence[Sample]) -> list[str]:
    """Columns of the message that moved together, the one first that explains most of the others' shift, and so on.

    A column explains another when the reference, its rows weighted so that the first one's distribution is the window's,
    shows the other's shift too: more online payments bring smaller amounts, smaller amounts bring no channel.
    """
    left, order = list(samples), []
    weights = pair.weights
    while len(left) > 1:
        trials = [(_reweighted(pair.reference, s, weights), s) for s in left]
        rest = [sum(_distance(pair.reference, other, w) for other in left if other is not s) for w, s in trials]
        weights, chosen = trials[int(np.argmin(rest))]
        order.append(chosen.binning.column)
        left.remove(chosen)
    return order + [s.binning.column for s in left]


def _reweighted(reference: pd.DataFrame, sample: Sample, weights: Floats) -> Floats:
    """Weights under which the reference has the window's distribution of one column, shape (m,)."""
    codes = sample.binning.codes(reference[sample.binning.column])
    p, q = _shares(sample.current), _shares(_counts(codes, weights, sample.binning.size))
    return weights * np.divide(p, q, out=np.zeros_like(p), where=q > 0)[codes]


def _distance(reference: pd.DataFrame, sample: Sample, weights: Floats) -> float:
    """Total variation of one column between the window and the reference under these weights."""
    codes = sample.binning.codes(reference[sample.binning.column])
    return float(np.abs(_shares(sample.current) - _shares(_counts(codes, weights, sample.binning.size))).sum() / 2)


def _counts(codes: Integers, weights: Floats, size: int) -> Floats:
    return np.bincount(codes, weights, size).astype(np.float64)


def _shares(counts: Floats) -> Floats:
    shares: Floats = counts / max(counts.sum(), 1e-9)
    return shares


def _kin(column: str) -> str:
    """The dimension of segments that is the column itself, in which its change lies by definition."""
    return {"hour": "hour", "channel": "channel", "category": "category"}.get(column, "")
