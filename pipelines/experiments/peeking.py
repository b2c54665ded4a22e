"""Peeking: a test for one look, looked at daily, against one that may be looked at any time; on the user's own payments. Pure.

The event is a card with a fraud that the champion let through: each such card is one coin, heads when it is the challenger's. Under
A/A the coin shows the split's share and nothing else, so every "the challenger misses fewer" is false. With an effect planted (so many
of the challenger's events struck out) the same replays say what it costs to be allowed to look.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipelines.experiments.aa import card_positions
from pipelines.experiments.scored import Scored
from pipelines.metrics import Interval, exact_share
from pipelines.rollout.sequential import OddsTest, rejects

Days = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """How often each way of looking says "fewer", and how soon."""

    runs: int
    one_look: Interval  # z-test on the last day
    peeked: Interval  # z-test at the end of every day
    any_time: Interval  # e-process at the end of every day
    any_time_days: tuple[float, float]  # until it says so: median over all replays, and 80 %; infinite where it has not by the last day


@dataclass(frozen=True)
class Peeking:
    """A/A, and with an effect planted."""

    days: int
    events: int  # cards with a fraud that got through
    effect: float
    nothing: Found
    planted: Found


def peeking(scored: Scored, *, share: float, effect: float, alpha: float, runs: int, seed: int) -> Peeking:
    """`runs` replays of each kind; `effect` is the relative change planted, negative."""
    day, card = first_misses(scored)
    last = int(scored.day.max()) + 1
    heads = np.empty((2, runs, last), dtype=np.int64)
    tails = np.empty((runs, last), dtype=np.int64)
    for run in range(runs):
        theirs = card_positions(scored.cards[card], f"peek-{seed}-{run}") < share
        spared = np.random.default_rng([seed, run]).random(len(card)) < -effect
        heads[0, run] = np.bincount(day[theirs], minlength=last)
        heads[1, run] = np.bincount(day[theirs & ~spared], minlength=last)
        tails[run] = np.bincount(day[~theirs], minlength=last)
    nothing, planted = (_found(some, tails, share, effect, alpha) for some in heads)
    return Peeking(last, len(card), effect, nothing, planted)


def first_misses(scored: Scored) -> tuple[Days, NDArray[np.int64]]:
    """Day and card of each card's first fraud that the champion let through."""
    rows = np.flatnonzero(scored.is_fraud & ~scored.champion.alerts)
    card, first = np.unique(scored.card[rows], return_index=True)
    return scored.day[rows[first]], card


def _found(heads: NDArray[np.int64], tails: NDArray[np.int64], share: float, effect: float, alpha: float) -> Found:
    """`heads`, `tails`: events by replay and day, (runs, days)."""
    runs, days = heads.shape
    theirs, all_of_them = heads.cumsum(axis=1), (heads + tails).cumsum(axis=1)
    z = (theirs - share * all_of_them) / np.sqrt(np.maximum(all_of_them, 1) * share * (1 - share))
    fewer = z < NormalDist().inv_cdf(alpha)
    stops = [_stop(some, others, share, effect, alpha) for some, others in zip(heads.tolist(), tails.tolist(), strict=True)]
    median, most = np.quantile(stops, [0.5, 0.8], method="higher")
    return Found(
        runs=runs,
        one_look=exact_share(int(fewer[:, -1].sum()), runs),
        peeked=exact_share(int(fewer.any(axis=1).sum()), runs),
        any_time=exact_share(sum(stop <= days for stop in stops), runs),
        any_time_days=(float(median), float(most)),
    )


def _stop(heads: list[int], tails: list[int], share: float, effect: float, alpha: float) -> float:
    """The day on which the e-process says "fewer"; infinite where it does not."""
    test = OddsTest.against((1 + effect,))
    for day, (some, others) in enumerate(zip(heads, tails, strict=True), 1):
        test = test.add(some, others, share)
        if rejects(test.log_e, alpha):
            return day
    return math.inf
