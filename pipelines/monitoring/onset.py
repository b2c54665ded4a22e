"""Since when: the day on which a column began to look like the window rather than like its reference."""

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from pipelines.monitoring.profile import Days, Floats

REFINEMENTS: Final = 3  # the changed shares are estimated anew from the days after the onset; settles in two
SURE: Final = 0.9


@dataclass(frozen=True)
class Onset:
    """The likeliest first day of a change; `low` to `high` hold it with 90 % probability."""

    day: date
    low: date
    high: date
    probability: float  # of exactly `day`

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.day} (probability {self.probability:.2f})"
        return f"{self.day} (probability {self.probability:.2f}; 90 %: {self.low} to {self.high})"


def estimate_onset(seen: Days, reference: Days, changed: Floats, *, effect: float) -> Onset | None:
    """The change point of the daily counts `seen`, from the shares of `reference` to those of `changed` (bins,) counts.

    The log likelihood of "changed from day k on" is the sum of the later days' log likelihood ratios (the statistic of
    Page's CUSUM, Biometrika 1954; as an estimator Hinkley 1970), divided by the design `effect` because payments of a
    day are not independent, and less what the weekday does in the reference. With every day equally likely beforehand
    it gives a posterior over days. None when no day is likelier than "not at all".
    """
    best: int | None = None
    posterior = np.empty(0)
    for _ in range(REFINEMENTS):
        evidence = np.cumsum(_log_ratios(seen, reference, changed)[::-1])[::-1] / effect
        if len(evidence) == 0 or evidence.max() <= 0:
            return None
        posterior = np.exp(evidence - evidence.max())
        posterior /= posterior.sum()
        if best == posterior.argmax():
            break
        best = int(posterior.argmax())
        changed = seen.counts[best:].sum(axis=0)
    assert best is not None
    low, high = _credible(posterior, best)
    return Onset(_date(seen.days[best]), _date(seen.days[low]), _date(seen.days[high]), float(posterior[best]))


def _log_ratios(seen: Days, reference: Days, changed: Floats) -> Floats:
    """Each day's log likelihood ratio of changed to reference shares, (d,)."""
    before = reference.counts.sum(axis=0)
    p, q = ((c + 0.5) / (c.sum() + 0.5 * len(c)) for c in (changed, before))
    ratio = np.log(p / q)
    usual = reference.counts @ ratio
    mean = usual.sum() / reference.counts.sum()
    weekday = np.full(7, mean)
    for w in range(7):
        same = reference.days % 7 == w
        if same.any():
            weekday[w] = usual[same].sum() / reference.counts[same].sum()
    result: Floats = seen.counts @ ratio - seen.counts.sum(axis=1) * (weekday[seen.days % 7] - mean)
    return result


def _credible(posterior: Floats, best: int) -> tuple[int, int]:
    """The run of days around the likeliest one that holds the probability, grown on its heavier side."""
    low, high = best, best
    while posterior[low : high + 1].sum() < SURE:
        left = posterior[low - 1] if low > 0 else -1.0
        right = posterior[high + 1] if high + 1 < len(posterior) else -1.0
        low, high = (low - 1, high) if left >= right else (low, high + 1)
    return low, high


def _date(day: np.int64) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + int(day))
