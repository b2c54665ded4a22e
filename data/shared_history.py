"""A process's own copy of the shared history: it advances by what the log says, in the log's order, and by nothing else.

`services/scoring/shared_engine.py` owns one. `data/shared_log.py` says why all copies are equal.
"""

from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.history import History, Payed
from data.prediction_store import FraudReport
from data.shared_log import Exchange

KEPT: Final = 4_096  # payments whose features are at hand for a process that has to answer in another's place; 1.7 MB


class SharedHistory:
    """A history and its place in the log."""

    def __init__(self, history: History, position: int) -> None:
        self._history = history
        self._features: dict[str, NDArray[np.float64]] = {}  # of the last payments, by transaction id
        self.position = position
        self.newest_s = history.newest_s()  # the latest event time so far, seconds since 1970

    def follow(self, exchange: Exchange) -> None:
        """Advance by what arrived."""
        keys: list[str] = []
        payments: list[Payed] = []
        for key, _, event in exchange.arrivals:
            if isinstance(event, FraudReport):
                self._pay(keys, payments)
                keys, payments = [], []
                self._history.report(card_id=event.card_id, terminal_id=event.terminal_id, report_time_s=event.report_time_s)
            else:
                keys.append(key)
                payments.append(event)
        self._pay(keys, payments)
        self.position = exchange.position

    def features(self, transaction_id: str) -> NDArray[np.float64] | None:
        """What the models see of a payment of late, shape (FEATURE_COUNT,); None when it is too long ago."""
        return self._features.get(transaction_id)

    def aside(self) -> History:
        """A copy, to be advanced by what the log does not say."""
        return self._history.copy()

    def save(self, path: Path) -> None:
        """Write the state after `position`. Raises DiskFull."""
        self._history.save(path)

    def _pay(self, keys: list[str], payments: list[Payed]) -> None:
        """Advance by these payments, together, and keep their features."""
        if not payments:
            return
        self._features.update(zip(keys, self._history.advance_many(payments), strict=True))
        for key in list(islice(self._features, max(0, len(self._features) - KEPT))):
            del self._features[key]
        self.newest_s = max(self.newest_s, max(payment[2] for payment in payments))
