"""Spans of payments that a fault has spoilt, as the ledger remembers them: training leaves them out.

Monitoring records one whenever its verdict is to mend the pipeline; `lab train --retrain` reads them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from data.ledger import Ledger

if TYPE_CHECKING:  # pandas is heavy, and its rows come from the caller
    import pandas as pd

KIND: Final = "fault_window"


@dataclass(frozen=True)
class FaultWindow:
    """Payments with event times in [start, end) whose rows nobody should learn from."""

    start: datetime
    end: datetime
    column: str
    what: str  # the kind of the finding


def covered(event_time: "pd.Series", windows: Sequence[FaultWindow]) -> NDArray[np.bool_]:
    """Which rows lie in one of the windows, shape (n,); `event_time` is aware."""
    hit = np.zeros(len(event_time), dtype=np.bool_)
    for window in windows:
        hit |= ((event_time >= window.start) & (event_time < window.end)).to_numpy()
    return hit


def record_fault_window(ledger: Ledger, window: FaultWindow, at: datetime) -> bool:
    """Put it on record; False when it is there already. Raises what `Ledger.record` raises."""
    if window in fault_windows(ledger):
        return False
    facts = {"start": window.start.isoformat(), "end": window.end.isoformat(), "column": window.column, "what": window.what}
    ledger.record(KIND, facts, at)
    return True


def fault_windows(ledger: Ledger) -> tuple[FaultWindow, ...]:
    """All that are on record, oldest entry first. Raises LedgerBroken."""
    return tuple(
        FaultWindow(
            datetime.fromisoformat(entry.facts["start"]),
            datetime.fromisoformat(entry.facts["end"]),
            entry.facts["column"],
            entry.facts["what"],
        )
        for entry in ledger.entries()
        if entry.kind == KIND
    )
