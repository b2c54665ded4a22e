"""What can happen to the stream of payments itself: the same payment arrives more than once.

A fault of arrivals takes rows in TRANSACTION_COLUMNS in order of arrival and returns them with others in between, and a mask
of those it added.
"""

from typing import Final

import numpy as np
import pandas as pd

from data.faults.dose import Dose, Mask

DAY: Final = pd.Timedelta(days=1)
RETRIES: Final = 2  # of one payment, by a gateway that heard no answer
WAIT_S: Final = 15.0  # before each of them


def send_again(frame: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """A retry storm: a share `strength` of payments come twice more, under new ids, WAIT_S apart and within the same day.

    Under their old ids the service would answer them as it did and store nothing; a gateway that makes a new id for each
    attempt is what gets through. Nobody reports a retry as fraud: it was never settled.
    """
    again = frame[dose.share(dose.positions(frame["transaction_id"]))]
    retries = [_retry(again, number) for number in range(1, RETRIES + 1)]
    both = pd.concat([frame, *retries], ignore_index=True).drop_duplicates("transaction_id")  # one storm at a time for one payment
    order = np.argsort(both["event_time"].to_numpy(), kind="stable")
    return both.iloc[order].reset_index(drop=True), order >= len(frame)


def _retry(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    late = frame["event_time"] + pd.Timedelta(seconds=WAIT_S * number)
    tonight = frame["event_time"].dt.floor("D") + DAY - pd.Timedelta(milliseconds=1)
    times = late.where(late < tonight, tonight).astype(frame["event_time"].dtype)
    return frame.assign(transaction_id=frame["transaction_id"] + f".retry{number}", event_time=times)
