"""Tests for what an upstream system broke: nulls, levels never seen, units, clocks. Each hit is a typed finding.

Distribution tests miss these (a thirtieth of rows times a hundred moves no quantile; nulls are dropped before a
distribution is drawn), and they ask for another decision: mend the pipeline, do not retrain on its rows. All rates are
compared given what explains them honestly: nulls within a channel, amounts within a terminal. Called by `portfolio`;
`value_tests` holds those that look at single values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from pipelines.monitoring.column_tests import (
    COMMON_ROWS,
    MINIMUM_NULL_RISE,
    MINIMUM_UNSEEN,
    compare_marks,
    homogeneity_p_value,
    rate_p_value,
)
from pipelines.monitoring.profile import (
    WEEK_HOURS,
    Binning,
    Floats,
    Integers,
    Mask,
    Profile,
    Season,
    day_numbers,
    design_effect,
    hour_of_week,
    places,
)
from pipelines.monitoring.window_checks import Finding

MAY_BE_NULL: Final = ("latitude", "device_id")  # longitude goes with latitude
UNIT_FACTOR: Final = 30.0  # over the terminal's usual amount: no honest shop sees it often, a unit error always does
LARGEST_RISE: Final = 5.0  # of all prices together, that may be a rise; above it, or below its inverse, they come in another unit
MINIMUM_UNIT_SHARE: Final = 0.001
FEWEST_FAR: Final = 5  # rows of one terminal
UNDIMINISHED: Final = 0.8  # of the rows that a terminal is expected to have
# Times as many rows as before, at least: where prices halve, rounding alone makes half as many again far from usual (the Handbook's file).
MINIMUM_UNIT_RISE: Final = 2.0
ABOVE, BELOW = 1, 2
ANY_HOUR: Final = Season(np.ones(WEEK_HOURS), "none")  # rare rows are compared with all there are: a short window shares few hours
SURE: Final = 0.95  # of the design effect of rows far off: they are too few for the days of a reference to tell more
CLOCK_FIT: Final = 0.9  # share of the hourly difference that a clock running wrong must explain
CLOCK_DISTANCE: Final = 0.05
SCATTER: Final = 0.05  # p-value above which what a turn leaves is scatter


@dataclass(frozen=True)
class Usual:
    """What is usual of single rows in a reference: what each terminal charges, and what each channel leaves out."""

    terminals: pd.Index
    log_amount: Floats  # (terminals,) mean
    far_at: Integers  # (terminals, 3) rows of each: not far from its usual amount, far above it, far below it
    far: Profile  # the same of all terminals together, and (none)
    far_effect: float  # how much more those vary from day to day than independent rows would
    channels: pd.Index
    nulls: Mapping[str, Floats]  # per column that may be null: its rate in each channel, then overall (channels + 1,)
    null_effects: Mapping[str, float]  # how much more those vary from day to day than independent rows would
    rows: int

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Usual":
        """Of the reference's rows."""
        terminals, log_amount, far = pd.Index([]), np.empty(0), np.zeros(len(frame), dtype=np.int64)
        far_at = np.empty((0, 3), dtype=np.int64)
        if {"amount", "terminal_id"} <= set(frame):
            terminals = pd.Index(frame["terminal_id"].astype(object).unique())
            place, paid = places(frame["terminal_id"], terminals), _log_amount(frame)
            log_amount = np.bincount(place, weights=paid, minlength=len(terminals)) / np.bincount(place, minlength=len(terminals))
            far = _far(paid - log_amount[place])
            far_at = _far_at(place, far, len(terminals))
        channels = pd.Index(frame["channel"].astype(object).dropna().unique() if "channel" in frame else [])
        channel = places(frame["channel"], channels) if len(channels) else np.full(len(frame), -1)
        nulls, effects = {}, {}
        for name in MAY_BE_NULL:
            if name in frame:
                null = frame[name].isna().to_numpy().astype(np.float64)
                nulls[name] = _rates(null, channel, len(channels))
                effects[name] = _excess_variation(null, nulls[name][channel], day_numbers(frame["event_time"]))
        profile = Profile.of(far, frame["event_time"], 4)
        effect = design_effect(profile.days, ordered=False, quantile=SURE)
        return cls(terminals, log_amount, far_at, profile, effect, channels, nulls, effects, len(frame))

    def log_ratio(self, frame: pd.DataFrame) -> Floats:
        """Log of each amount over its terminal's usual one, less a general rise of prices; 0 at terminals not known."""
        place = places(frame["terminal_id"], self.terminals)
        off, known = np.zeros(len(frame)), place >= 0
        if known.any():
            off[known] = _log_amount(frame)[known] - self.log_amount[place[known]]
            rise = float(np.median(off[known]))
            off[known] -= rise if abs(rise) < np.log(LARGEST_RISE) else 0.0
        return off

    def null_rate(self, name: str, frame: pd.DataFrame) -> Floats:
        """The null rate of each row's channel, (n,)."""
        channel = places(frame["channel"], self.channels) if "channel" in frame else np.full(len(frame), -1)
        return self.nulls[name][channel]


@dataclass(frozen=True)
class Pair:
    """The rows of a window and of its reference, with the season that they have in common and the error level of one test."""

    current: pd.DataFrame
    reference: pd.DataFrame
    season: Season
    level: float
    usual: Usual
    noise: Mapping[str, float] = field(default_factory=dict)  # measured design effects by "detector:column"; see `noise_floor`

    @property
    def weights(self) -> Floats:
        """Of the reference's rows, (n,): what gives them the window's season."""
        weights: Floats = self.season.weights[hour_of_week(self.reference["event_time"])]
        return weights


def null_findings(pair: Pair) -> list[Finding]:
    """Columns that are null on more rows than their channels explain (direct standardisation)."""
    findings = []
    for name in pair.usual.nulls:
        if name not in pair.current:
            continue
        null, usual = pair.current[name].isna().to_numpy().astype(np.float64), pair.usual.null_rate(name, pair.current)
        excess, rows = float(null.mean() - usual.mean()), len(null)
        if excess < MINIMUM_NULL_RISE:
            continue
        effect = pair.noise.get(f"null_rate:{name}", pair.usual.null_effects[name])
        p = _null_p_value(null, usual, pair.usual.rows / rows, effect)
        if p < pair.level:
            text = f"Column {name} is null on {null.mean():.1%} of rows where {usual.mean():.1%} is usual for their channels."
            findings.append(Finding("null_rate", name, text, round(excess * rows), excess, p))
    return findings


def _null_p_value(null: Floats, usual: Floats, reference_rows: float, effect: float) -> float:
    """Of no more nulls than their channels explain; `reference_rows` per row of the window.

    Where a channel is always or never null, it adds nothing to the variance of the sum: a z-test on what the others leave.
    Where that is too little for the normal law, the test of rare marks, over the rows whose channel has the value more often
    than not: the nulls of the others are no marks of anything.
    """
    from scipy.special import ndtr

    spread = float((usual * (1 - usual)).sum())
    if spread / effect < COMMON_ROWS:
        present = usual < 0.5
        n, m = float(present.sum()) / effect, float(present.sum()) * reference_rows / effect
        return rate_p_value(float(null[present].mean()) * n, n, float(usual[present].mean()) * m, m) if n else 1.0
    return float(2 * ndtr(-abs(float((null - usual).sum())) / np.sqrt(spread * effect * (1 + 1 / reference_rows))))


def unseen_findings(pair: Pair, binnings: Sequence[Binning]) -> list[Finding]:
    """Levels that the reference never held."""
    findings = []
    for binning in binnings:
        if binning.ordered:
            continue
        values = pair.current[binning.column]
        new = (binning.codes(values) == binning.size - 1) & values.notna().to_numpy()
        share = float(new.mean())
        if share < MINIMUM_UNSEEN:
            continue
        effect = pair.noise.get(f"unseen_level:{binning.column}", 1.0)
        p = rate_p_value(float(new.sum()) / effect, len(new) / effect, 0.0, pair.usual.rows / effect)
        if p < pair.level:
            top = values[new].astype(str).value_counts().index[0]
            count = values[new].nunique()
            text = f"Column {binning.column} holds {count} level(s) never seen before, {top} the commonest, on {share:.1%} of rows."
            findings.append(Finding("unseen_level", binning.column, text, int(new.sum()), share, p))
    return findings


def unit_finding(pair: Pair) -> list[Finding]:
    """Amounts far from their terminal's usual one: another unit where the same terminals repeat it, else out of range.

    Asked of the typical row, of all rows together, and of each terminal alone: one of many that bills in another unit is
    little of all rows.
    """
    off, place = pair.usual.log_ratio(pair.current), places(pair.current["terminal_id"], pair.usual.terminals)
    if everywhere := _unit_everywhere(off[place >= 0], place[place >= 0], pair.level):
        return [everywhere]
    code, effect = _far(off), max(pair.noise.get("unit:amount", pair.usual.far_effect), pair.noise.get("range:amount", 1.0))
    now = _far_at(place, code, len(pair.usual.terminals))
    for side in (ABOVE, BELOW):
        on_top = _on_top(now, pair.usual.far_at, side)
        now[on_top, side] = 0
        far, rows, level = (code == side) & ~np.append(on_top, False)[place], len(code), pair.level / 4  # two sides, two ways to ask
        rate = compare_marks(pair.usual.far, float(far.sum()), rows, ANY_HOUR, level, effect, mark=side)
        few = rate.value - rate.before < MINIMUM_UNIT_SHARE or rate.value < MINIMUM_UNIT_RISE * rate.before
        p = min(1.0 if few else rate.p_value, _terminal_p_value(now, pair.usual.far_at, side))
        if p >= level:
            continue
        hits = pair.current.loc[far, "terminal_id"].astype(object).value_counts()
        repeated = hits[hits >= 3]  # a unit error hits a terminal each time; a rare large purchase does not
        factor = float(np.exp(np.median(off[far])))
        size = f"{factor:.0f} times" if side == ABOVE else f"1/{1 / factor:.0f} of"
        if repeated.sum() < 0.5 * far.sum():
            text = f"Amounts are {size} what is usual at their terminals on {rate.value:.2%} of rows, {rate.before:.2%} before."
            return [Finding("range", "amount", text, int(far.sum()), rate.value, p)]
        where = f"{len(repeated)} terminals, {repeated.index[0]} first," if len(repeated) > 1 else f"terminal {repeated.index[0]}"
        text = (
            f"Amounts at {where} are {size} what is usual there:"
            f" {rate.value:.2%} of rows, {rate.before:.2%} before. Cents taken for euros, or the reverse?"
        )
        return [Finding("unit", "amount", text, int(far.sum()), rate.value, p)]
    return []


def _unit_everywhere(off: Floats, place: Integers, level: float) -> Finding | None:
    """Whether more than half of all payments are off by more than prices rise; (n,) log ratios and terminals of known ones.

    The p-value is of a sign test over terminals: as likely as not, a terminal's typical payment lies above its usual one.
    """
    from scipy.special import bdtrc

    middle = float(np.median(off)) if len(off) else 0.0
    if abs(middle) < np.log(LARGEST_RISE):
        return None
    typical = pd.Series(off).groupby(place).median().to_numpy() * np.sign(middle)
    p = min(1.0, 2 * float(bdtrc(int((typical > 0).sum()) - 1, len(typical), 0.5)))
    if p >= level:
        return None
    far = off * np.sign(middle) > np.log(LARGEST_RISE)
    share, factor = float(far.mean()), float(np.exp(np.median(np.abs(off[far]))))
    size = f"{factor:.0f} times" if middle > 0 else f"1/{factor:.0f} of"
    text = f"Amounts are {size} what is usual at their terminals on {share:.0%} of rows: another unit or currency?"
    return Finding("unit", "amount", text, int(far.sum()), share, p)


def _on_top(now: Integers, usual: Integers, side: int) -> Mask:
    """Terminals, (terminals,), whose far rows come on top of the usual number of rows; both counts (terminals, 3).

    Thieves who try out cards add tiny payments to what a terminal has anyway; another unit adds none.
    """
    rows, expected = now.sum(axis=1), usual.sum(axis=1) * (now.sum() / max(usual.sum(), 1))
    undiminished = rows - now[:, side] >= UNDIMINISHED * expected
    on_top: Mask = (now[:, side] >= FEWEST_FAR) & undiminished & (rows > expected + 2 * np.sqrt(expected))
    return on_top


def _terminal_p_value(now: Integers, usual: Integers, side: int) -> float:
    """Of no terminal with more far rows than its own reference lets expect; both (terminals, 3). Paid for by their number.

    A binomial tail at the rate of Laplace's rule of succession: too high a rate where the reference has few rows. Only of
    terminals with most of their rows far: it is all of them that another unit makes so.
    """
    from scipy.special import bdtrc

    rows = now.sum(axis=1)
    asked = np.flatnonzero((now[:, side] >= FEWEST_FAR) & (2 * now[:, side] > rows))
    if len(asked) == 0:
        return 1.0
    rate = (usual[asked, side] + 1) / (usual[asked].sum(axis=1) + 2)
    return min(1.0, float(bdtrc(now[asked, side] - 1, rows[asked], rate).min()) * int((rows >= FEWEST_FAR).sum()))


def far_from_usual(current: pd.DataFrame, reference: pd.DataFrame) -> tuple[Mask, Mask, Floats]:
    """Rows whose amount is 30 times the usual one of their terminal, or a 30th: of the current rows and of the reference.

    Usual is the reference's geometric mean there, after a general rise of prices is taken out. The third array is the
    current rows' log ratio to it, 0 at terminals that the reference does not know.
    """
    usual = Usual.of(reference)
    off = usual.log_ratio(current)
    before = _log_amount(reference) - usual.log_amount[places(reference["terminal_id"], usual.terminals)]
    return np.abs(off) > np.log(UNIT_FACTOR), np.abs(before) > np.log(UNIT_FACTOR), off


def clock_finding(pair: Pair, current: Floats, reference: Floats) -> list[Finding]:
    """Whether the day's profile is the reference's turned by whole hours on part of the rows; both (24,) counts.

    Least squares of `current = (1 - m) reference + m turned(reference)` for each turn. People who shop later bend the
    profile; only a wrong clock turns it whole.
    """
    p, q = current / max(current.sum(), 1), reference / max(reference.sum(), 1e-9)
    effect = pair.noise.get("clock:event_time", 1.0)
    chance = homogeneity_p_value(p, q, float(current.sum()) / effect, float(pair.usual.rows) / effect)
    if float(np.abs(p - q).sum() / 2) < CLOCK_DISTANCE or chance >= pair.level:
        return []
    best, fit, part = 0, 0.0, 0.0
    for turn in [*range(-11, 0), *range(1, 13)]:
        step = np.roll(q, turn) - q
        m = float(np.clip((p - q) @ step / max(step @ step, 1e-12), 0, 1))
        explained = 1 - float(np.sum((p - q - m * step) ** 2) / np.sum((p - q) ** 2))
        if explained > fit:
            best, fit, part = turn, explained, m
    turned = (1 - part) * q + part * np.roll(q, best)
    # Few payments scatter about any profile: then a turn must leave no more than scatter.
    if fit < CLOCK_FIT and homogeneity_p_value(p, turned, float(current.sum()), float(pair.usual.rows)) < SCATTER:
        return []
    text = f"The hours of {part:.0%} of payments are turned by {best:+d} h: a time zone or a clock, not people."
    return [Finding("clock", "event_time", text, round(part * len(pair.current)), part, chance)]


def _far(off: Floats) -> Integers:
    """0, ABOVE or BELOW for each log ratio, (n,)."""
    limit = np.log(UNIT_FACTOR)
    return np.where(off > limit, ABOVE, np.where(off < -limit, BELOW, 0)).astype(np.int64)


def _far_at(place: Integers, far: Integers, terminals: int) -> Integers:
    """Rows of each terminal by `far`, (terminals, 3); those at terminals not known, -1, are left out."""
    known = place >= 0
    return np.bincount(place[known] * 3 + far[known], minlength=terminals * 3).reshape(terminals, 3)


def _log_amount(frame: pd.DataFrame) -> Floats:
    paid: Floats = np.log(np.maximum(frame["amount"].to_numpy(dtype=np.float64), 0.01))
    return paid


def _rates(null: Floats, channel: Integers, channels: int) -> Floats:
    """Null rates by channel, and the overall one last, where channels never seen find it."""
    overall = null.mean() if len(null) else 0.0
    known = channel >= 0
    rows = np.bincount(channel[known], minlength=channels)
    sums = np.bincount(channel[known], weights=null[known], minlength=channels)
    return np.append(np.where(rows > 0, sums / np.maximum(rows, 1), overall), overall)


def _excess_variation(null: Floats, usual: Floats, day: Integers) -> float:
    """Between-day variance of nulls given their channels, over that of independent rows; at least 1."""
    _, index = np.unique(day, return_inverse=True)
    residual = np.bincount(index, weights=null - usual)
    independent = float((usual * (1 - usual)).sum())
    freedom = max(len(residual) - 1, 1)
    return max(1.0, float(residual @ residual) * len(residual) / freedom / independent) if independent > 0 else 1.0
