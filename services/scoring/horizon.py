"""How far ahead a payment's event time may lie: the one decision that asks the wall clock, and no answer depends on it.

A payment dated next month would stand last in its card's history until then, and push out what the windows still need.
It is a sender's broken clock, so it is refused. What is "ahead" has two references, as this machine's clock may be wrong too,
and a replayed world may lie in its future: a payment must be near the wall clock, or near the newest payment that was seen.
Only the engine uses it.
"""

from collections.abc import Sequence

from data.clock import Clock
from data.errors import BadInput
from data.schema import event_seconds

WALL_AHEAD_S = 5 * 60  # two hosts' clocks may be minutes apart
LIVE_AHEAD_S = 3_600  # of the newest payment, when that is of today: this machine's clock may be slow by so much, and nothing stops
REPLAY_AHEAD_S = 24 * 3_600  # of the newest payment of another time: a quiet night between two payments of a replay


class Horizon:
    """Knows the newest event time that was taken in; `newest_s` is in seconds since 1970, 0 before the first."""

    def __init__(self, clock: Clock, newest_s: int) -> None:
        self._clock = clock
        self.newest_s = newest_s

    def admit(self, moment_s: int, where: str = "event_time") -> None:
        """Raises BadInput when a payment of this time lies too far ahead. Nothing is remembered of it."""
        if moment_s <= self.newest_s + LIVE_AHEAD_S:  # nearly always
            return
        now_s = event_seconds(self._clock.now())
        live = abs(self.newest_s - now_s) <= REPLAY_AHEAD_S
        ahead_s = LIVE_AHEAD_S if live else REPLAY_AHEAD_S
        if moment_s > max(now_s + WALL_AHEAD_S, self.newest_s + ahead_s):
            hours = "an hour" if live else f"{REPLAY_AHEAD_S // 3600} hours"
            raise BadInput(
                f"{where}: expected a time at most {WALL_AHEAD_S // 60} minutes ahead of this machine's clock, or "
                f"{hours} ahead of the newest payment so far, found a later one.",
                next_step="Correct the sender's clock; in a replay, send the payments in order of time.",
                where=where,
            )

    def take(self, moment_s: int) -> None:
        """`admit` a payment, and know from then on that it was taken in. Raises BadInput."""
        if moment_s <= self.newest_s:
            return
        self.admit(moment_s)
        self.newest_s = moment_s

    def admit_all(self, moments_s: Sequence[int]) -> None:
        """The same for a batch, each row after those before it; raises for the first that lies too far ahead."""
        if max(moments_s) <= self.newest_s + LIVE_AHEAD_S:
            return
        trial = Horizon(self._clock, self.newest_s)
        for row, moment_s in enumerate(moments_s):
            trial.admit(moment_s, f"transactions.{row}.event_time")
            trial.passed(moment_s)

    def passed(self, moment_s: int) -> None:
        """A payment of this time was taken in."""
        if moment_s > self.newest_s:
            self.newest_s = moment_s
