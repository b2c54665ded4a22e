"""Faults of features in the running service: what was asked for is done to the features, between the history and the models.

Off unless a caller with the lab's key asks (`PUT /v1/faults`); a restart ends it. The log holds the features as the models
saw them, as the log of a service with such a fault does. The history itself is never touched.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.faults.dose import Dose
from data.faults.features import FEATURE_FAULTS, Rows
from data.onset import Onset
from data.prediction_store import PaymentFacts
from services.scoring.messages import AskedFault


class FeatureFaults:
    """What was asked for, and the last payment's features as each fault got them: a join that is off by one needs them next."""

    def __init__(self) -> None:
        self.asked: tuple[AskedFault, ...] = ()
        self._before: list[NDArray[np.float64] | None] = []

    def ask(self, faults: Sequence[AskedFault]) -> None:
        """From the next payment on, these and no others."""
        self.asked = tuple(faults)
        self._before = [None] * len(self.asked)

    def apply(self, matrix: NDArray[np.float64], payments: Sequence[PaymentFacts]) -> NDArray[np.float64]:
        """What the models see in place of `matrix`, (n, FEATURE_COUNT), which the history gave for these payments in this order."""
        ids = [payment.transaction_id for payment in payments]
        moments = np.array([payment.event_time_ms for payment in payments])
        seen = matrix
        for place, fault in enumerate(self.asked):
            rows = Rows(seen, ids, self._before[place])
            self._before[place] = seen[-1].copy()
            onset = Onset(fault.start, fault.ramp_days, fault.days, fault.every_days, fault.until)
            dose = Dose(fault.strength, onset.level(moments), fault.seed)
            seen = FEATURE_FAULTS[fault.mechanism](rows, dose)
        return seen

    def to_json(self) -> list[dict[str, Any]]:
        """For people and programs that ask who serves."""
        return [fault.model_dump(mode="json") for fault in self.asked]
