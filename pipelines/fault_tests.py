"""Tests for what an upstream system broke: nulls, levels never seen, units, clocks. Each hit is a typed finding.

Distribution tests miss these (a thirtieth of rows times a hundred moves no quantile; nulls are dropped before a
distribution is drawn), and they ask for another decision: mend the pipeline, do not retrain on its rows. All rates are
compared given what explains them honestly: nulls within a channel, amounts within a terminal. Called by `monitor`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from pipelines.drift_profile import Binning, Floats, Mask
from pipelines.drift_tests import MINIMUM_NULL_RISE, MINIMUM_UNSEEN, rate_p_value
from pipelines.window_checks import Finding

MAY_BE_NULL: Final = ("latitude", "device_id")  # longitude goes with latitude
UNIT_FACTOR: Final = 30.0  # over the terminal's usual amount: no honest shop sees it often, a unit error always does
MINIMUM_UNIT_SHARE: Final = 0.001
CLOCK_FIT: Final = 0.9  # share of the hourly difference that a clock running wrong must explain
CLOCK_DISTANCE: Final = 0.05


@dataclass(frozen=True)
class Pair:
    """The rows of a window and of its season-weighted reference, with the error level of one test."""

    current: pd.DataFrame
    reference: pd.DataFrame
    weights: Floats  # (reference rows,)
    level: float

    def rates(self, current: Floats, reference: Floats) -> tuple[float, float, float]:
        """Share of rows in the window, in the reference, and the p-value for their being equal."""
        n, m = len(self.current), self.weights.sum() ** 2 / max((self.weights**2).sum(), 1e-9)
        before = float(self.weights @ reference / self.weights.sum())
        return float(current.mean()), before, rate_p_value(float(current.sum()), n, before * m, m)


def null_findings(pair: Pair) -> list[Finding]:
    """Columns that are null on more rows than their channels explain (direct standardisation)."""
    findings = []
    for name in MAY_BE_NULL:
        if name not in pair.current or name not in pair.reference:
            continue
        null = pair.current[name].isna().to_numpy().astype(np.float64)
        before = pair.reference[name].isna().to_numpy().astype(np.float64)
        usual = _usual_by_channel(pair, before)
        excess = float(null.mean() - usual.mean())
        if excess < MINIMUM_NULL_RISE:
            continue
        rows = len(null)
        p = rate_p_value(float(null.sum()), rows, float(usual.sum()), rows)
        if p < pair.level:
            text = f"Column {name} is null on {null.mean():.1%} of rows where {usual.mean():.1%} is usual for their channels."
            findings.append(Finding("null_rate", name, text, round(excess * rows), excess, p))
    return findings


def unseen_findings(pair: Pair, binnings: Sequence[Binning]) -> list[Finding]:
    """Levels that the reference never held."""
    findings = []
    for binning in binnings:
        if binning.ordered:
            continue
        values = pair.current[binning.column]
        new = ~values.isin(binning.levels) & values.notna()
        share, _, p = pair.rates(new.to_numpy().astype(np.float64), np.zeros(len(pair.reference)))
        if share >= MINIMUM_UNSEEN and p < pair.level:
            top = values[new].astype(str).value_counts().index[0]
            count = values[new].nunique()
            text = f"Column {binning.column} holds {count} level(s) never seen before, {top} the commonest, on {share:.1%} of rows."
            findings.append(Finding("unseen_level", binning.column, text, int(new.sum()), share, p))
    return findings


def unit_finding(pair: Pair) -> list[Finding]:
    """Amounts far from their own terminal's usual one, again and again at the same terminals."""
    far, far_before, off = far_from_usual(pair.current, pair.reference)
    share, before, p = pair.rates(far.astype(np.float64), far_before.astype(np.float64))
    hits = pair.current.loc[far, "terminal_id"].astype(object).value_counts()
    repeated = hits[hits >= 3]  # a unit error hits a terminal each time; a rare large purchase does not
    if share - before < MINIMUM_UNIT_SHARE or p >= pair.level or repeated.sum() < 0.5 * far.sum():
        return []
    factor = float(np.exp(np.median(off[far])))
    size = f"{factor:.0f} times" if factor > 1 else f"1/{1 / factor:.0f} of"
    text = (
        f"Amounts at {len(repeated)} terminals, {repeated.index[0]} first, are {size} what is usual there:"
        f" {share:.2%} of rows, {before:.2%} before. Cents taken for euros, or the reverse?"
    )
    return [Finding("unit", "amount", text, int(far.sum()), share, p)]


def far_from_usual(current: pd.DataFrame, reference: pd.DataFrame) -> tuple[Mask, Mask, Floats]:
    """Rows whose amount is 30 times the usual one of their terminal, or a 30th: of the current rows and of the reference.

    Usual is the reference's geometric mean there, after a general rise of prices is taken out. The third array is the
    current rows' log ratio to it, 0 at terminals that the reference does not know.
    """
    terminals = pd.Index(reference["terminal_id"].astype(object).unique())
    now, before = (terminals.get_indexer(pd.Index(f["terminal_id"].astype(object))) for f in (current, reference))
    log_now, log_before = (np.log(np.maximum(f["amount"].to_numpy(dtype=np.float64), 0.01)) for f in (current, reference))
    usual = np.bincount(before, weights=log_before, minlength=len(terminals)) / np.bincount(before, minlength=len(terminals))
    known = now >= 0
    off = np.zeros(len(now))
    if known.any():
        off[known] = log_now[known] - usual[now[known]]
        off[known] -= np.median(off[known])
    return np.abs(off) > np.log(UNIT_FACTOR), np.abs(log_before - usual[before]) > np.log(UNIT_FACTOR), off


def clock_finding(pair: Pair, current: Floats, reference: Floats) -> list[Finding]:
    """Whether the day's profile is the reference's turned by whole hours on part of the rows; both (24,) counts.

    Least squares of `current = (1 - m) reference + m turned(reference)` for each turn. People who shop later bend the
    profile; only a wrong clock turns it whole.
    """
    p, q = current / max(current.sum(), 1), reference / max(reference.sum(), 1e-9)
    distance = float(np.abs(p - q).sum() / 2)
    if distance < CLOCK_DISTANCE:
        return []
    best, fit, part = 0, 0.0, 0.0
    for turn in [*range(-11, 0), *range(1, 13)]:
        step = np.roll(q, turn) - q
        m = float(np.clip((p - q) @ step / max(step @ step, 1e-12), 0, 1))
        explained = 1 - float(np.sum((p - q - m * step) ** 2) / np.sum((p - q) ** 2))
        if explained > fit:
            best, fit, part = turn, explained, m
    if fit < CLOCK_FIT:
        return []
    text = f"The hours of {part:.0%} of payments are turned by {best:+d} h: a time zone or a clock, not people."
    return [Finding("clock", "event_time", text, round(part * len(pair.current)), part)]


def _usual_by_channel(pair: Pair, null_before: Floats) -> Floats:
    """The null rate that each current row's channel had in the reference, (n,)."""
    if "channel" not in pair.current or "channel" not in pair.reference:
        return np.full(len(pair.current), pair.weights @ null_before / pair.weights.sum())
    channels = pd.Index(pair.reference["channel"].astype(object).unique())
    before = channels.get_indexer(pd.Index(pair.reference["channel"].astype(object)))
    rows = np.bincount(before, weights=pair.weights, minlength=len(channels))
    nulls = np.bincount(before, weights=pair.weights * null_before, minlength=len(channels))
    overall = nulls.sum() / max(rows.sum(), 1e-9)
    rates = np.append(np.where(rows > 0, nulls / np.maximum(rows, 1e-9), overall), overall)  # the last for a new channel
    now: Floats = rates[channels.get_indexer(pd.Index(pair.current["channel"].astype(object)))]
    return now
