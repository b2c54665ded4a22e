"""Thompson sampling with late rewards, beside a fixed split and a paired shadow log. Pure, simulated; an exercise, not the controller.

The reward is a fraud caught, and it is known `delay_days` after the payment. Thompson sampling (Thompson 1933, Biometrika 25; with
delayed feedback, Chapelle and Li 2011, NIPS) sends each payment to the model that a draw from the two posteriors prefers. Rare and late
rewards leave the posteriors wide for weeks, and every fraud meanwhile has been answered by one model alone. A shadow log asks both
models about every fraud, and only their disagreements count (McNemar 1947).

Told honestly: the bandit and the split learn while serving; the shadow serves the champion until it is sure. And labels here are
complete: with real declines a caught fraud is never confirmed (selective labels), which a random hold-out must mend for all three.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.errors import BadInput
from pipelines.experiments.scored import Floats
from pipelines.metrics import Interval, exact_share
from pipelines.rollout.sequential import HIGHER_ODDS, OddsTest, rejects

LEVEL: Final = 0.05  # one-sided, of the split's and of the log's test
SURE: Final = 0.95  # share of traffic by which a bandit has settled
POSTERIOR_DRAWS: Final = 200

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Arms:
    """Two models and the frauds that they meet."""

    champion_recall: float
    challenger_recall: float
    delay_days: int = 7
    days: int = 60
    frauds_per_day: int = 50  # 10,000 payments a day at the world's half per cent
    overlap: float = 0.8  # of what the weaker model catches, the share that the other catches too

    def __post_init__(self) -> None:
        """Raises BadInput naming the value that makes no sense."""
        lower, higher = sorted((self.champion_recall, self.challenger_recall))
        sound = (
            ("recall", lower > 0 and higher < 1, "above 0 and below 1"),
            ("delay", 0 <= self.delay_days < self.days, "0 or more, and shorter than the run"),
            ("frauds", self.frauds_per_day >= 1, "1 or more a day"),
            ("overlap", 0 <= self.overlap <= 1 and lower + higher - self.overlap * lower <= 1, "a share that these recalls allow"),
        )
        for name, holds, expected in sound:
            if not holds:
                raise BadInput(f"{name} must be {expected}.", next_step=f"Correct --{name} and run again.", where=name)

    @property
    def gap(self) -> float:
        """Frauds lost per fraud that the worse model answers."""
        return abs(self.challenger_recall - self.champion_recall)


@dataclass(frozen=True)
class Learned:
    """What one way of learning came to, over many runs."""

    name: str
    traffic: Interval  # mean share that the challenger answered: over runs, with 5 and 95 %
    right: Interval  # share of runs that end on the better model; of equal ones, that stay with the champion
    wrong: Interval  # that end on the worse one; of equal ones, that go to the challenger
    lost: Interval  # frauds lost for not having served the better model from the first day: mean, with 5 and 95 %


def thompson(arms: Arms, *, runs: int, seed: int) -> Learned:
    """Each fraud goes to the arm whose draw is higher; posteriors hold the rewards known by the morning. "Ends on": `SURE` of traffic."""
    random = np.random.default_rng(seed)
    chances = np.array([arms.champion_recall, arms.challenger_recall])
    met, caught = np.zeros((2, arms.days, runs), dtype=np.int64), np.zeros((2, arms.days, runs), dtype=np.int64)
    share = np.zeros((arms.days, runs))
    for day in range(arms.days):
        known = slice(0, max(day - arms.delay_days, 0))
        wins, tries = caught[:, known].sum(axis=1), met[:, known].sum(axis=1)
        draws = random.beta(1 + wins, 1 + tries - wins, (POSTERIOR_DRAWS, 2, runs))
        share[day] = (draws[:, 1] > draws[:, 0]).mean(axis=0)
        theirs = random.binomial(arms.frauds_per_day, share[day])
        met[:, day] = arms.frauds_per_day - theirs, theirs
        caught[:, day] = random.binomial(met[:, day], chances[:, None])
    return _learned("Thompson", arms, share.mean(axis=0), share[-1] > SURE, share[-1] < 1 - SURE)


def fixed_split(arms: Arms, *, runs: int, seed: int) -> Learned:
    """Half of the cards each until the end; then the z-test of what is known decides, and undecided stays with the champion."""
    random = np.random.default_rng(seed)
    tries = arms.frauds_per_day / 2 * (arms.days - arms.delay_days)
    ours, theirs = (random.binomial(int(tries), recall, runs) / tries for recall in (arms.champion_recall, arms.challenger_recall))
    pooled = (ours + theirs) / 2
    z = (theirs - ours) / np.sqrt(np.maximum(pooled * (1 - pooled) * 2 / tries, 1e-12))
    better = z > NormalDist().inv_cdf(1 - LEVEL)
    return _learned("split", arms, np.full(runs, 0.5), better, ~better)


def paired_log(arms: Arms, *, runs: int, seed: int) -> Learned:
    """The champion answers, the challenger shadows; the product's always-valid test reads the log daily and switches once it is sure."""
    random = np.random.default_rng(seed)
    both = arms.overlap * min(arms.champion_recall, arms.challenger_recall)
    only = np.array([arms.champion_recall - both, arms.challenger_recall - both])
    outcomes = random.multinomial(arms.frauds_per_day, [*only, 1 - only.sum()], (runs, arms.days))
    first = np.array([_switch_day(counts, arms) for counts in outcomes])
    switched = np.isfinite(first)
    return _learned("shadow log", arms, np.where(switched, arms.days - first, 0.0) / arms.days, switched, ~switched)


def mcnemar_power(arms: Arms, *, runs: int, seed: int) -> Interval:
    """How often the shadow log of the whole run says "better" in one look at its end: McNemar's test, one-sided."""
    random = np.random.default_rng(seed)
    both = arms.overlap * min(arms.champion_recall, arms.challenger_recall)
    ours, theirs = arms.champion_recall - both, arms.challenger_recall - both
    frauds = arms.frauds_per_day * (arms.days - arms.delay_days)
    counts = random.multinomial(frauds, [ours, theirs, 1 - ours - theirs], runs)
    z = (counts[:, 1] - counts[:, 0]) / np.sqrt(np.maximum(counts[:, 0] + counts[:, 1], 1))
    return exact_share(int((z > NormalDist().inv_cdf(1 - LEVEL)).sum()), runs)


def _switch_day(counts: Counts, arms: Arms) -> float:
    """The morning on which the labels known by then are enough, counted from 0; infinite where they never are. `counts`: (days, 3)."""
    test = OddsTest.against(HIGHER_ODDS)
    for day in range(arms.delay_days, arms.days):
        ours, theirs, _ = counts[day - arms.delay_days].tolist()
        test = test.add(theirs, ours, 0.5)
        if rejects(test.log_e, LEVEL):
            return day + 1
    return float("inf")


def _learned(name: str, arms: Arms, traffic: Floats, on_challenger: NDArray[np.bool_], on_champion: NDArray[np.bool_]) -> Learned:
    """`traffic`, `on_challenger`, `on_champion`: per run, (runs,)."""
    better = arms.challenger_recall > arms.champion_recall
    right, wrong = (on_challenger, on_champion) if better else (on_champion, on_challenger)
    lost = arms.gap * arms.frauds_per_day * arms.days * (1 - traffic if better else traffic)
    runs = len(traffic)
    return Learned(
        name, _mean_and_range(traffic), exact_share(int(right.sum()), runs), exact_share(int(wrong.sum()), runs), _mean_and_range(lost)
    )


def _mean_and_range(values: Floats) -> Interval:
    low, high = np.quantile(values, [0.05, 0.95])
    return Interval(float(values.mean()), float(low), float(high))
