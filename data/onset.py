"""When a drift is at work, and how far: a step, a ramp of days, or again and again.

Event time, by the day, UTC. Used by `data/world`, `data/scenarios` and, for a fault of features, by the scoring service.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class Onset:
    """The days on which something acts."""

    start: date
    ramp_days: int = 0  # 0 = a step; otherwise full strength is reached evenly over so many days
    days: int | None = None  # how long it lasts; None = it stays
    every_days: int | None = None  # it comes back so many days after it began, again and again; needs `days`
    until: date | None = None  # first day on which it is over, whatever the others say

    @property
    def end(self) -> date | None:
        """First day on which it is over for good; None = never."""
        if self.days is None or self.every_days is not None:
            return self.until
        over = self.start + timedelta(days=self.days)
        return over if self.until is None else min(over, self.until)

    def level(self, event_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of the full strength at each event time (milliseconds since 1970), in [0, 1], shape (n,)."""
        day = event_ms // DAY_MS - (self.start - _EPOCH).days
        within = day if self.every_days is None else day % self.every_days
        over = np.inf if self.end is None else (self.end - self.start).days
        acts = (day >= 0) & (day < over) & (within < (np.inf if self.days is None else self.days))
        return np.where(acts, np.minimum(1.0, (within + 1) / (self.ramp_days + 1)), 0.0)

    def level_on(self, day: date) -> float:
        """The same for one day."""
        return float(self.level(np.array([(day - _EPOCH).days * DAY_MS]))[0])
