"""What an upstream system can do to its messages: pure changes of a frame of transactions, on any source of payments.

Each fault takes rows in TRANSACTION_COLUMNS and returns the changed rows with a mask of those it touched. Which rows
are touched depends on the seed and the row's own id alone, never on how the rows were cut into batches or days.
Called by `data/scenarios.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

UNIT_FACTOR: Final = 100  # cents taken for euros: the commonest unit error of card messages
LARGEST_AMOUNT_MINOR: Final = 1_000_000_000  # data/schema.py
HOUR_MS: Final = 3_600_000
NEW_CATEGORY: Final = "crypto_exchange"  # a product launch: a level that no model has seen


@dataclass(frozen=True)
class Dose:
    """How much of a fault each of n rows gets."""

    strength: float
    level: Floats  # (n,) in [0, 1]: 0 before the start, 1 once the ramp is over
    seed: int

    def share(self, ids: pd.Series) -> Mask:
        """Rows whose id falls into the touched share, `strength` at full level: sticky, and nested as the level rises."""
        return _position(ids, self.seed) < self.strength * self.level


Fault = Callable[[pd.DataFrame, Dose], tuple[pd.DataFrame, Mask]]


def scale_amounts(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """Prices rise: every amount is multiplied by `strength`, at most the largest amount the schema allows."""
    factor = 1 + (dose.strength - 1) * dose.level
    return frame.assign(amount_minor=_scaled(frame["amount_minor"], factor)), factor != 1


def change_unit(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """The tills of one acquirer send cents as euros: amounts × 100 at a share `strength` of the terminals."""
    hit = dose.share(frame["terminal_id"])
    return frame.assign(amount_minor=_scaled(frame["amount_minor"], np.where(hit, float(UNIT_FACTOR), 1.0))), hit


def drop_details(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """An enrichment service fails: place and device are null on a share `strength` of rows that had them."""
    had = (frame["latitude"].notna() | frame["device_id"].notna()).to_numpy()
    hit = dose.share(frame["transaction_id"]) & had
    blank = {name: frame[name].mask(hit) for name in ("latitude", "longitude", "device_id")}
    return frame.assign(**blank), hit


def add_category(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """A product launch: a share `strength` of terminals report a merchant category that was never seen."""
    hit = dose.share(frame["terminal_id"])
    levels = frame["category"].astype(object).mask(hit, NEW_CATEGORY).astype("category")
    return frame.assign(category=levels), hit


def shift_clock(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """A time-zone error: event times move by `strength` hours. Rows keep their order."""
    hit = dose.level > 0
    ahead = pd.Series(np.where(hit, dose.strength * HOUR_MS, 0.0).astype("timedelta64[ms]"), index=frame.index)
    return frame.assign(event_time=frame["event_time"] + ahead), hit


def _scaled(amounts: pd.Series, factor: Floats) -> NDArray[np.int64]:
    scaled: NDArray[np.int64] = np.clip(np.rint(amounts.to_numpy() * factor), 1, LARGEST_AMOUNT_MINOR).astype(np.int64)
    return scaled


def _position(ids: pd.Series, seed: int) -> Floats:
    """A fixed place in [0, 1) for each id: SipHash of the id, keyed by the seed."""
    hashed = pd.util.hash_array(ids.astype(object).to_numpy(), hash_key=f"{seed:016d}"[-16:])
    return (hashed >> np.uint64(11)).astype(np.float64) / 2**53
