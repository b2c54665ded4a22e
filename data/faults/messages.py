"""What an upstream system can do to its messages: pure changes of a frame of transactions, on any source of payments.

Each fault takes rows in TRANSACTION_COLUMNS and returns the changed rows, in the same order, with a mask of those it touched.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.faults.dose import Dose, Floats, Mask

UNIT_FACTOR: Final = 100  # cents taken for euros, or the reverse: the commonest unit error of card messages
LARGEST_AMOUNT_MINOR: Final = 1_000_000_000  # data/schema.py
HOUR_MS: Final = 3_600_000
NEW_CATEGORY: Final = "crypto_exchange"  # a product launch: a level that no model has seen
ERROR_CODES: Final = {"amount_minor": 1, "latitude": 0.0, "longitude": 0.0}  # what a broken source writes, and the schema lets through


def scale_amounts(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """Prices rise: every amount is multiplied by `strength`, at most the largest amount the schema allows.

    Rounded down, as prices that end in 99 would otherwise all become whole.
    """
    factor = 1 + (dose.strength - 1) * dose.level
    return _changed(frame, amount_minor=_scaled(frame["amount_minor"], factor))


def cents_as_euros(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """The tills of one acquirer send cents as euros: amounts × 100 at a share `strength` of the terminals."""
    hit = dose.share(_places(frame["terminal_id"], dose))
    return _changed(frame, amount_minor=_scaled(frame["amount_minor"], np.where(hit, float(UNIT_FACTOR), 1.0)))


def euros_as_cents(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """A currency's minor unit is taken wrong: amounts ÷ 100 on a share `strength` of the rows, at least one minor unit."""
    hit = dose.share(_places(frame["transaction_id"], dose))
    return _changed(frame, amount_minor=_scaled(frame["amount_minor"], np.where(hit, 1.0 / UNIT_FACTOR, 1.0)))


def drop_values(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """An enrichment service fails: `columns` are null on a share `strength` of rows."""
    hit = dose.share(_places(frame["transaction_id"], dose))
    return _changed(frame, **{name: frame[name].mask(hit) for name in dose.columns})


def write_error_codes(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """A source writes its error code where a value belongs, in `columns`, on a share `strength` of rows; a null stays null."""
    hit = dose.share(_places(frame["transaction_id"], dose))
    return _changed(frame, **{name: frame[name].mask(hit & frame[name].notna(), ERROR_CODES[name]) for name in dose.columns})


def add_category(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """A product launch: a share `strength` of terminals report a merchant category that was never seen."""
    hit = dose.share(_places(frame["terminal_id"], dose))
    return _changed(frame, category=frame["category"].astype(object).mask(hit, NEW_CATEGORY).astype("category"))


def shift_clock(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """A time-zone error: event times move by `strength` hours. Rows keep their order."""
    ahead = pd.Series(np.where(dose.level > 0, dose.strength * HOUR_MS, 0.0).astype("timedelta64[ms]"), index=frame.index)
    return _changed(frame, event_time=frame["event_time"] + ahead)


def _changed(frame: pd.DataFrame, **columns: pd.Series | NDArray[np.int64]) -> tuple[pd.DataFrame, Mask]:
    """The frame with these columns, and the rows in which any of them is not what it was."""
    after = frame.assign(**columns)
    differs = np.zeros(len(frame), dtype=np.bool_)
    for name in columns:
        now, was = after[name].astype(object), frame[name].astype(object)
        differs |= ((now != was) & ~(now.isna() & was.isna())).to_numpy(dtype=np.bool_)
    return after, differs


def _scaled(amounts: pd.Series, factor: Floats) -> NDArray[np.int64]:
    scaled: NDArray[np.int64] = np.clip(np.floor(amounts.to_numpy() * factor + 1e-6), 1, LARGEST_AMOUNT_MINOR).astype(np.int64)
    return scaled


def _places(ids: pd.Series, dose: Dose) -> Floats:
    """Where each row's id lies; an id that repeats is drawn once."""
    codes, known = pd.factorize(ids)
    return dose.positions(known)[codes]
