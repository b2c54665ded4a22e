"""How long a challenger may take: its time is the caller's, so one that is slow is taken out, as one that fails is.

Both models score the same rows one after the other, so the champion is the measure: it tells a slow model from a slow
machine. Calls are counted, not summed up: a pause of the interpreter or of the machine in the middle of a call makes
that one call late, however long it was. Only `services/scoring/decide.py` reports here.
"""

from collections.abc import Callable

from services.scoring.slots import Serving

FACTOR = 5.0  # times the champion's time makes a call late: two or three times the trees are no scandal, ten times are
FLOOR_S = 10e-6  # a row, a fifth of a whole request: below it nobody is hurt, whatever the champion takes
WINDOW = 200  # calls that are judged together
MOST_LATE = 50  # of them; a good model on a machine with three times its work has about two


class Patience:
    """Judges the challenger in the slot. Belongs to the event loop's thread."""

    def __init__(self, bench: Callable[[str, str], None]) -> None:
        """`bench` takes a version out of this process; it is given the version and why."""
        self._bench = bench
        self._begin("")

    def failed(self, version: str, why: str) -> None:
        """A challenger could not score a payment: once is enough."""
        self._bench(version, why)

    def took(self, serving: Serving, rows: int, champion_s: float, challenger_s: float) -> None:
        """The two models of `serving` took so many seconds for the same `rows`. May bench the challenger."""
        assert serving.challenger is not None
        version = serving.challenger.version
        if version != self._version or self._calls == WINDOW:
            self._begin(version)
        self._calls += 1
        if challenger_s > FACTOR * champion_s and challenger_s > FLOOR_S * rows:
            self._late += 1
            if self._late > MOST_LATE:
                why = f"slow: {self._late} of {self._calls} calls took more than {FACTOR:.0f} times as long as the champion's"
                self._begin("")
                self._bench(version, why)

    def _begin(self, version: str) -> None:
        self._version = version
        self._calls = self._late = 0
