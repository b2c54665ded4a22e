"""When things happen in the demo, in days of event time after the history ends. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Schedule:
    """A quiet week first: a monitor that cannot say "nothing is wrong" says nothing."""

    quiet_days: int = 7
    watched_weeks: int = 5  # verdicts at most, one a week
    mature_days: int = 7  # after the verdict: by then a week of the new payments is in the training rows, with its labels
    rollout_days: int = 40  # payments kept ready for it; its plan allows 40

    @property
    def live_days(self) -> int:
        """Live days that the run may use."""
        return 7 * self.watched_weeks + self.mature_days + self.rollout_days

    def drift(self, live: date) -> date:
        """First day of the drift."""
        return live + timedelta(days=self.quiet_days)

    def windows(self, live: date) -> list[date]:
        """The days on which a verdict is asked for, each ending a week."""
        return [live + timedelta(days=7 * week) for week in range(1, self.watched_weeks + 1)]

    def retraining(self, verdict: date) -> date:
        """When the labels that a retraining needs have matured."""
        return verdict + timedelta(days=self.mature_days)

    def end(self, live: date) -> date:
        """No payments from here on."""
        return live + timedelta(days=self.live_days)
