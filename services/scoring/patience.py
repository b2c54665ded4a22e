"""How long a challenger may take: its time is the caller's, so one that is slow is taken out, as one that fails is.

Both models score the same rows, one after the other, so the champion is the measure: it tells a slow model from a slow
machine. The means are of the last few hundred payments, and a single call weighs at most MOST budgets, so that a pause
of the interpreter or of the machine in the middle of a call cannot decide. Only `services/scoring/decide.py` reports here.
"""

from collections.abc import Callable

from services.scoring.slots import Serving

FACTOR = 5.0  # times the champion's mean: a challenger of twice or three times the trees is no scandal, one of ten is
FLOOR_S = 10e-6  # a fifth of a whole request; below it nobody is hurt, whatever the champion takes
FEWEST = 200  # payments before the first verdict: the first calls also load what the later ones find loaded
SPAN = 500  # payments that a mean looks back on (exponentially weighted)
MOST = 20.0  # budgets that one call counts for: one pause moves a mean by 4 % of the budget


class Patience:
    """Judges the challenger in the slot. Belongs to the event loop's thread."""

    def __init__(self, bench: Callable[[str, str], None]) -> None:
        """`bench` takes a version out of this process; it is given the version and why."""
        self._bench = bench
        self._begin(("", ""))

    def failed(self, version: str, why: str) -> None:
        """A challenger could not score a payment: once is enough."""
        self._bench(version, why)

    def took(self, serving: Serving, rows: int, champion_s: float, challenger_s: float) -> None:
        """The two models of `serving` took so many seconds for the same `rows`. May bench the challenger."""
        assert serving.challenger is not None
        pair = serving.champion.version, serving.challenger.version
        if pair != self._pair:
            self._begin(pair)
        self._rows += rows
        weight = min(1.0, rows / min(self._rows, SPAN))
        self._champion_s += weight * (_at_most(champion_s / rows, self._champion_s) - self._champion_s)
        budget = max(FACTOR * self._champion_s, FLOOR_S)
        self._challenger_s += weight * (min(challenger_s / rows, MOST * budget) - self._challenger_s)
        if self._challenger_s > budget and self._rows >= FEWEST:
            why = f"slow: {self._challenger_s * 1e6:.0f} us a payment, the champion {self._champion_s * 1e6:.0f} us"
            self._begin(("", ""))
            self._bench(pair[1], why)

    def _begin(self, pair: tuple[str, str]) -> None:
        self._pair = pair
        self._rows = 0
        self._champion_s = self._challenger_s = 0.0  # means, seconds a row


def _at_most(seconds: float, mean: float) -> float:
    """A champion's call, a pause in it cut; the first call has no mean to be cut at."""
    return min(seconds, MOST * mean) if mean > 0 else seconds
