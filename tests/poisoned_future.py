"""A label feed that lies about all that nobody can know yet: a judge that reads one such label decides otherwise."""

from datetime import datetime

import numpy as np

from pipelines.rollout.evidence import Reports
from tests.simulated_service import START, SimulatedService


class PoisonedFuture(SimulatedService):
    """Tells of labels that nobody can know yet: every payment so far turns out a fraud, from the next second on."""

    def reports(self, known_by: datetime) -> Reports:
        true = super().reports(known_by)
        every = self.served(START, self.now).transaction_id
        later = np.full(len(every), int(known_by.timestamp()) + 1)
        return Reports(
            np.concatenate([every, true.transaction_id]),
            np.concatenate([later, true.report_time_s]),
            np.concatenate([np.ones(len(every), dtype=bool), true.is_fraud]),
        )
