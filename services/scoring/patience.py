"""What of a challenger cannot wait for the rollout's judge, who looks now and then: it is taken out of this process at once.

- A score that is no probability: once.
- Failures, many in a row. One in a hundred is the judge's business: the champion answers those payments, and the log says so.
- Time: it is the caller's. Both models score the same rows one after the other, so the champion is the measure: it tells
  a slow model from a slow machine. Calls are counted, not summed up: a pause of the interpreter or of the machine in the middle
  of a call makes that one call late, however long it was.

Only `services/scoring/decide.py` reports here.
"""

from collections.abc import Callable

MOST_FAILURES = 20  # in a row: a tenth of a second of traffic at 200 payments/s; with 30 % errors, one run in 10^10
# Times the champion's time make a call late: two or three times the trees are no scandal, ten times are. What a call costs beside the
# trees, 5 us of a few rows, is in both times, so that of ten times the trees four times are left.
FACTOR = 4.0
FLOOR_S = 10e-6  # a row, a fifth of a whole request: below it nobody is hurt, whatever the champion takes
WINDOW = 200  # calls that are judged together
MOST_LATE = 50  # of them; a good model on a machine with three times its work has about two


class Patience:
    """Judges the challenger in the slot. Belongs to the event loop's thread."""

    def __init__(self, bench: Callable[[str, str], None], count: Callable[[], None] = lambda: None) -> None:
        """`bench` takes a version out of this process; it is given the version and why. `count` hears of every failure."""
        self._bench = bench
        self._count = count
        self._failures = 0  # in a row
        self._out = ""  # the version taken out last
        self._begin("")

    def scored(self) -> None:
        """The challenger gave scores."""
        self._failures = 0

    def failed(self, version: str, why: str) -> None:
        """A challenger could not score a payment."""
        self._count()
        self._failures += 1
        self._out = ""
        if self._failures >= MOST_FAILURES:
            self._take_out(version, f"{self._failures} failures in a row: {why}")

    def is_out(self, version: str) -> bool:
        """Whether the last failure was one too many."""
        return version == self._out

    def poisoned(self, version: str, why: str) -> None:
        """A challenger gave something else than a probability: what it computes with is damaged."""
        self._count()
        self._take_out(version, f"its score was {why}")

    def took(self, version: str, rows: int, champion_s: float, challenger_s: float) -> None:
        """Champion and this challenger took so many seconds for the same `rows`. May bench the challenger."""
        if version != self._version or self._calls == WINDOW:
            self._begin(version)
        self._calls += 1
        if challenger_s > FACTOR * champion_s and challenger_s > FLOOR_S * rows:
            self._late += 1
            if self._late > MOST_LATE:
                self._take_out(
                    version, f"slow: {self._late} of {self._calls} calls took more than {FACTOR:.0f} times as long as the champion's"
                )

    def _take_out(self, version: str, why: str) -> None:
        self._failures, self._out = 0, version
        self._begin("")
        self._bench(version, why)

    def _begin(self, version: str) -> None:
        self._version = version
        self._calls = self._late = 0
