"""A process's own copy of the shared history: it advances by what the log says, in the log's order, and by nothing else.

`services/scoring/shared_engine.py` owns one. `data/shared_log.py` says why all copies are equal.
"""

from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.history import History, Payed
from data.prediction_store import Payment
from data.shared_log import Arrival, Exchange

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
        waiting: list[Arrival] = []
        for arrival in exchange.arrivals:
            event = arrival.event
            if isinstance(event, Payment):
                waiting.append(arrival)
                continue
            self._pay(waiting)
            self._history.report(card_id=event.card_id, terminal_id=event.terminal_id, report_time_s=event.report_time_s)
        self._pay(waiting)
        self.position = exchange.position

    def features(self, transaction_id: str) -> NDArray[np.float64] | None:
        """What the models see of a payment of late, shape (FEATURE_COUNT,); None when it is too long ago."""
        return self._features.get(transaction_id)

    def save(self, path: Path) -> None:
        """Write the state after `position`. Raises DiskFull."""
        self._history.save(path)

    def _pay(self, arrivals: list[Arrival]) -> None:
        """Advance by these payments, together, and empty the list."""
        if not arrivals:
            return
        payments: list[Payed] = [arrival.event[1:] for arrival in arrivals]  # type: ignore[misc]
        rows = self._history.advance_many(payments)
        self._features.update(zip((arrival.transaction_id for arrival in arrivals), rows, strict=True))
        for key in list(islice(self._features, max(0, len(self._features) - KEPT))):
            del self._features[key]
        self.newest_s = max(self.newest_s, max(payment[2] for payment in payments))
        arrivals.clear()
