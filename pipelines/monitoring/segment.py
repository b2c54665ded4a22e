"""Which rows hold a change: the kind of payments in which it lies, with its share, its lift, and a check that it is no luck.

Levels of a dimension (terminals, say) are picked on every other row and measured on the rest: of thousands of terminals
some look guilty by chance, and on rows that had no part in picking them they do not. Called by `root_cause`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.monitoring.fault_tests import Pair
from pipelines.monitoring.profile import Floats, Integers

Coded = tuple[Integers, Integers, tuple[str, ...]]  # levels of the window's rows (n,), of the reference's (m,), their names

LIFT: Final = 2.0  # a segment must be twice as rich in changed rows as the window, or "everywhere" is the better answer
HOLDS: Final = 0.5  # and hold at least half of the change
LEAST_ROWS: Final = 20.0  # changed rows in the half that measures: fewer tell no segment
PRIOR_ROWS: Final = 1.0  # pulls the rate of a level with few rows down
NAMED: Final = 3
BLOCK_LETTERS: Final = 7  # "card_3f": issuers hand out card numbers in blocks, and tokens keep them where they keep order


@dataclass(frozen=True)
class Segment:
    """A kind of payments that holds more of a change than its number explains."""

    dimension: str
    levels: tuple[str, ...]  # the richest first; at most NAMED
    level_count: int
    share: float  # of the window's payments that lie in it
    holds: float  # share of the changed payments that lie in it
    lift: float  # holds / share

    def __str__(self) -> str:
        names = ", ".join(self.levels) + (f" and {self.level_count - NAMED} more" if self.level_count > NAMED else "")
        return f"{self.holds:.0%} of them in {self.share:.1%} of payments, {self.dimension} {names} (lift {self.lift:.1f})"


@dataclass(frozen=True)
class Change:
    """How far each row shows the change, in [0, 1]: of the window (n,) and, as a base line, of the reference (m,)."""

    now: Floats
    before: Floats


# Column, and what of it makes a level.
DIMENSIONS: Final[dict[str, tuple[str, Callable[[Any], str]]]] = {
    "channel": ("channel", str),
    "category": ("category", str),
    "hour": ("hour", lambda part: f"{4 * int(part):02d}-{4 * int(part) + 4:02d} h"),
    "terminal": ("terminal_id", str),
    "card block": ("card_id", lambda card: str(card)[:BLOCK_LETTERS]),
}


class Segments:
    """The dimensions of one window and its reference, each coded once however many changes are asked about."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._coded: dict[str, Coded] = {}

    def find(self, change: Change, *, without: str = "") -> Segment | None:
        """The segment that is worth most: much of the change, on few payments, of few levels; None where none has the LIFT.

        `without` leaves one dimension out: that of the column itself.
        """
        found = [self._in_dimension(name, change) for name, (column, _) in DIMENSIONS.items() if name != without and self._has(column)]
        segments = [s for s in found if s is not None and s.lift >= LIFT and s.holds >= HOLDS]
        return max(segments, key=_worth, default=None)

    def _has(self, column: str) -> bool:
        return column in self._pair.current.columns and column in self._pair.reference.columns

    def _in_dimension(self, name: str, change: Change) -> Segment | None:
        now, before, levels = self._codes(name)
        usual = np.bincount(before, self._pair.weights * change.before, len(levels)) / self._pair.weights.sum()
        halves = [np.arange(len(now)) % 2 == half for half in (0, 1)]
        (rows, excess), (rows_apart, excess_apart) = (_sums(now[h], change.now[h], usual) for h in halves)
        if excess.sum() <= 0 or excess_apart.sum() < LEAST_ROWS:
            return None
        guilty = excess / (rows + PRIOR_ROWS) >= LIFT * excess.sum() / rows.sum()
        share, holds = rows_apart[guilty].sum() / rows_apart.sum(), excess_apart[guilty].sum() / excess_apart.sum()
        if share <= 0:
            return None
        richest = np.flatnonzero(guilty)[np.argsort(-excess[guilty], kind="stable")][:NAMED]
        named = tuple(levels[i] for i in richest)
        return Segment(name, named, int(guilty.sum()), float(share), float(min(holds, 1.0)), float(holds / share))

    def _codes(self, name: str) -> "Coded":
        if name not in self._coded:
            column, level = DIMENSIONS[name]
            now, before = self._pair.current[column], self._pair.reference[column]
            self._coded[name] = _coded(now // 4, before // 4, level) if name == "hour" else _coded(now, before, level)
        return self._coded[name]


def _worth(segment: Segment) -> float:
    """Bits that naming it saves on each changed payment, less a part of those that its levels take to name."""
    return segment.holds * float(np.log2(segment.lift)) - 0.1 * float(np.log2(segment.level_count))


def _sums(codes: Integers, change: Floats, usual: Floats) -> tuple[Floats, Floats]:
    """Rows of each level, and how many more of them show the change than the reference explains."""
    rows = np.bincount(codes, minlength=len(usual)).astype(np.float64)
    return rows, np.bincount(codes, change, len(usual)) - usual * len(codes)


def _coded(now: pd.Series, before: pd.Series, level: Callable[[Any], str]) -> Coded:
    """Both columns as positions in one list of levels; a null is a level of its own, the first."""
    parts = [pd.factorize(column) for column in (now, before)]
    names = [[level(value) for value in uniques] for _, uniques in parts]
    levels = ("none", *dict.fromkeys(name for part in names for name in part))
    place = {name: i for i, name in enumerate(levels)}
    codes = [np.array([0, *(place[name] for name in part)])[codes + 1] for part, (codes, _) in zip(names, parts, strict=True)]
    return codes[0], codes[1], levels
