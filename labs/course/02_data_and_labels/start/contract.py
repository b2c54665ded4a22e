"""Yours: the contract that a nightly batch of payments must keep before anything uses it."""

from datetime import datetime

import pandas as pd


def problems(batch: pd.DataFrame, now: datetime) -> list[str]:
    """What is wrong with the batch that arrived `now`, each naming its column ("amount_minor: ..."); empty: let it in.

    A batch is let in or refused as a whole. Its columns, and which may be null, are `data.schema.TRANSACTION_COLUMNS`.
    """
    raise NotImplementedError("Write `problems` in contract.py.")
