"""What can go wrong between the history and the model: the features of the served log differ from what training would compute.

A fault of features takes rows of the history and a dose, and returns the matrix that the model sees; it leaves its input as it
is. Imports no pandas: the scoring service applies them (`services/scoring/feature_fault.py`).
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from data.faults.dose import Dose, Floats, Mask
from data.features import CARD_WINDOWS_S, FEATURE_INDEX, FEATURES


class Rows(NamedTuple):
    """Payments as the history shows them, in order of arrival."""

    matrix: Floats  # (n, FEATURE_COUNT)
    ids: Sequence[str]
    before: Floats | None = None  # (FEATURE_COUNT,): the payment before the first; None: there was none


FeatureFault = Callable[[Rows, Dose], Floats]

CARD_BLOCK: Final = tuple(name for name in FEATURES if "card" in name or name == "speed_kmh")
_CARD_BLOCK = np.array([FEATURE_INDEX[name] for name in CARD_BLOCK])
VELOCITY: Final = ("card_count_1d", "card_sum_1d", "card_mean_1d")
_COUNT, _SUM, _MEAN = (FEATURE_INDEX[name] for name in VELOCITY)
_WEEK_COUNT, _WEEK_SUM = FEATURE_INDEX["card_count_7d"], FEATURE_INDEX["card_sum_7d"]
TOTALS: Final = tuple(
    f"{total}_{window}" for total in ("card_count", "card_sum", "card_mean", "terminal_count") for window in CARD_WINDOWS_S
)
_COUNTS, _SUMS, _MEANS, _TERMINAL_COUNTS = np.array([FEATURE_INDEX[name] for name in TOTALS]).reshape(4, -1)


def mis_join(rows: Rows, dose: Dose) -> Floats:
    """A join off by one: a share `strength` of payments get the card's features of the payment before them.

    Every column's distribution stays what it was; only its relation to the payment is lost.
    """
    matrix = rows.matrix
    above = np.vstack([matrix[:1] if rows.before is None else rows.before[np.newaxis], matrix[:-1]])
    hit = dose.share(dose.positions(rows.ids))[:, np.newaxis]
    joined = matrix.copy()
    joined[:, _CARD_BLOCK] = np.where(hit, above[:, _CARD_BLOCK], matrix[:, _CARD_BLOCK])
    return joined


def stretch_window(rows: Rows, dose: Dose) -> Floats:
    """Serving counts a card's last day over `strength` days: what lies beyond comes from the card's mean day of the week before.

    Counts stay whole numbers: the part of a payment is drawn by the payment's id.
    """
    matrix = rows.matrix
    more = (dose.strength - 1) * dose.level / 6
    rest = matrix[:, _WEEK_COUNT] - matrix[:, _COUNT]
    extra = np.minimum(np.floor(rest * more + dose.positions(rows.ids)), rest)
    some = np.flatnonzero(extra > 0)
    skewed = matrix.copy()
    skewed[some, _COUNT] += extra[some]
    skewed[some, _SUM] += extra[some] * (matrix[some, _WEEK_SUM] - matrix[some, _SUM]) / rest[some]
    skewed[some, _MEAN] = skewed[some, _SUM] / skewed[some, _COUNT]
    return skewed


def hide_last_hour(rows: Rows, dose: Dose) -> Floats:
    """Totals of card and terminal leave out the hour before the payment, on a share `strength` of payments.

    A store whose clock stands in the next time zone does that: it takes the newest hour for not yet written. Sums are
    subtracted in minor units, so that each bit is that of a window which ends an hour early.
    """
    matrix = rows.matrix
    hit = np.flatnonzero(dose.share(dose.positions(rows.ids)))
    seen, some = matrix.copy(), matrix[hit]
    counts = some[:, _COUNTS] - some[:, _COUNTS[:1]]
    minor = np.rint(100 * some[:, _SUMS])
    sums = (minor - minor[:, :1]) / 100
    seen[np.ix_(hit, _COUNTS)], seen[np.ix_(hit, _SUMS)] = counts, sums
    seen[np.ix_(hit, _MEANS)] = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    seen[np.ix_(hit, _TERMINAL_COUNTS)] = some[:, _TERMINAL_COUNTS] - some[:, _TERMINAL_COUNTS[:1]]
    return seen


def differing(after: Floats, before: Floats) -> Mask:
    """Rows of two matrices that are not the same to the last bit; NaN equals NaN."""
    same = (after == before) | (np.isnan(after) & np.isnan(before))
    rows: Mask = ~same.all(axis=1)
    return rows


FEATURE_FAULTS: Final[dict[str, FeatureFault]] = {"mis_join": mis_join, "stretch_window": stretch_window, "hide_last_hour": hide_last_hour}
