"""Novelty: a challenger that wins on its first day and loses a fortnight later, and what a short test would have said. Pure, simulated.

The mechanism. Fraudsters know two tactics. The challenger catches the usual one better and the other one badly; the champion treats
both alike. Fraudsters copy what pays: the share of a tactic grows with how much more often it gets through than the mean (replicator
dynamics; Taylor and Jonker 1978, Mathematical Biosciences 40). While the champion answers everything the other tactic does not pay.
It pays the more, the more cards the challenger answers: so a small or short test does not only see little of the change, it causes
little of it.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from data.errors import BadInput
from pipelines.experiments.scored import Floats
from pipelines.metrics import Interval, exact_share
from pipelines.rollout.sequential import HIGHER_ODDS, OddsTest, rejects

LEVEL: Final = 0.05  # of a test, both sides together


@dataclass(frozen=True)
class Adversaries:
    """Recall of each model by tactic, and how fast fraudsters learn."""

    champion: tuple[float, float] = (0.50, 0.55)  # of the usual tactic, and of the other
    challenger: tuple[float, float] = (0.65, 0.25)
    learning: float = 2.0  # per day: a tactic that gets through by 0.1 more often grows by a fifth a day
    other_at_first: float = 0.02  # share of attempts

    def __post_init__(self) -> None:
        """Raises BadInput naming the value that makes no sense."""
        sound = (
            ("learning", self.learning >= 0),
            ("other_at_first", 0 < self.other_at_first < 1),
            ("recall", all(0 <= recall <= 1 for recall in (*self.champion, *self.challenger))),
        )
        for name, holds in sound:
            if not holds:
                raise BadInput(f"{name} is no share, or is negative.", next_step="Correct it and run again.", where=name)


@dataclass(frozen=True)
class Trial:
    """What a test of so many days concludes, over repeated tests."""

    days: int
    measured: Interval  # relative change of the frauds that get through, over all its days: median, and 95 of 100 tests
    better: Interval  # share of tests that conclude so
    worse: Interval
    last_day: float  # true relative change on its last day


def recalls(adversaries: Adversaries, share: float, days: int) -> Floats:
    """True recall by day while the challenger answers `share` of the cards, (days, 2): champion, challenger."""
    other, found = adversaries.other_at_first, []
    for _ in range(days):
        mix = np.array([1 - other, other])
        found.append([mix @ adversaries.champion, mix @ adversaries.challenger])
        through = 1 - ((1 - share) * np.array(adversaries.champion) + share * np.array(adversaries.challenger))
        odds = other / (1 - other) * np.exp(adversaries.learning * (through[1] - through[0]))
        other = float(odds / (1 + odds))
    return np.array(found)


def change_by_day(adversaries: Adversaries, share: float, days: int) -> Floats:
    """True relative change of the frauds that get through, challenger against champion, (days,)."""
    missed = 1 - recalls(adversaries, share, days)
    change: Floats = missed[:, 1] / missed[:, 0] - 1
    return change


def short_and_long(
    adversaries: Adversaries, lengths: tuple[int, ...], *, share: float, frauds_per_day: float, runs: int, seed: int
) -> tuple[Trial, ...]:
    """Tests of each length, `runs` of each: a z-test of the coin "whose card was the fraud that got through?" at the end."""
    random, most = np.random.default_rng(seed), max(lengths)
    missed = 1 - recalls(adversaries, share, most)
    ours = random.poisson(frauds_per_day * (1 - share) * missed[:, 0], (runs, most)).cumsum(axis=1)
    theirs = random.poisson(frauds_per_day * share * missed[:, 1], (runs, most)).cumsum(axis=1)
    change = change_by_day(adversaries, share, most)
    found, edge = [], NormalDist().inv_cdf(LEVEL / 2)
    for days in lengths:
        x1, x0 = theirs[:, days - 1], ours[:, days - 1]
        relative = (x1 / share) / np.maximum(x0 / (1 - share), 1e-9) - 1
        z = (x1 - share * (x1 + x0)) / np.sqrt(np.maximum(x1 + x0, 1) * share * (1 - share))
        low, high = np.quantile(relative, [0.025, 0.975])
        found.append(
            Trial(
                days,
                Interval(float(np.median(relative)), float(low), float(high)),
                exact_share(int((z < edge).sum()), runs),
                exact_share(int((z > -edge).sum()), runs),
                float(change[days - 1]),
            )
        )
    return tuple(found)


def holdout_alarm(adversaries: Adversaries, *, kept: float, days: int, frauds_per_day: float, runs: int, seed: int) -> Interval:
    """The day after promotion on which a hold-out, `kept` of the cards left to the champion, shows that the challenger lets more through.

    Read daily by the product's always-valid test; median, and 95 of 100 runs. Infinite where it has not by the last day.
    """
    random, missed = np.random.default_rng(seed), 1 - recalls(adversaries, 1 - kept, days)
    ours = random.poisson(frauds_per_day * kept * missed[:, 0], (runs, days)).tolist()
    theirs = random.poisson(frauds_per_day * (1 - kept) * missed[:, 1], (runs, days)).tolist()
    alarms = []
    for heads, tails in zip(theirs, ours, strict=True):
        test, alarm = OddsTest.against(HIGHER_ODDS), np.inf
        for day in range(days):
            test = test.add(heads[day], tails[day], 1 - kept)
            if rejects(test.log_e, LEVEL):
                alarm = day + 1
                break
        alarms.append(alarm)
    middle, low, high = np.quantile(alarms, [0.5, 0.025, 0.975], method="higher")
    return Interval(float(middle), float(low), float(high))
