"""What can go wrong between the history and the model: the features of the served log differ from what training would compute.

A fault of features takes rows of the history and a dose, and returns the matrix that the model sees; it leaves its input as it
is. Imports no pandas: the scoring service applies them (`services/scoring/feature_fault.py`).
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from data.faults.dose import Dose, Floats, Mask
from data.features import FEATURE_INDEX, FEATURES


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


def differing(after: Floats, before: Floats) -> Mask:
    """Rows of two matrices that are not the same to the last bit; NaN equals NaN."""
    same = (after == before) | (np.isnan(after) & np.isnan(before))
    rows: Mask = ~same.all(axis=1)
    return rows


FEATURE_FAULTS: Final[dict[str, FeatureFault]] = {"mis_join": mis_join, "stretch_window": stretch_window}
