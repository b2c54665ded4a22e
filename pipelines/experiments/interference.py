"""Interference: fraudsters who go where less is caught, and what they do to a card-level and to a payment-level split. Pure, simulated.

The mechanism. A ring of fraudsters holds many stolen cards and means to make so many attempts. It uses one card until an attempt is
stopped, which burns the card; then it goes on with another card (chance `mobility`) or gives up. So what one arm stops decides what the
other arm meets, and no payment's outcome depends on its own arm alone: the assumption under every A/B test (SUTVA, Rubin 1980) fails.

- Split by card: cards of the arm that catches less live longer and draw more attempts. Fraud is pushed into the champion's arm and
  counted as prevented in the challenger's.
- Split by payment: a card burnt by either model is burnt for both. The arms share what each prevents.
- Split by ring: nothing crosses. Rings are not known beforehand; a place, a merchant or a period in turns is the nearest that is
  (cluster randomisation, Ugander et al. 2013, KDD; switchback, Bojinov, Simchi-Levi and Zhao 2023, Management Science 69).
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from data.errors import BadInput
from pipelines.experiments.scored import Floats
from pipelines.metrics import Interval

Level = Literal["card", "payment", "ring"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


@dataclass(frozen=True)
class Rings:
    """How the fraudsters work, and what the models catch of each attempt."""

    champion_recall: float
    challenger_recall: float
    mobility: float  # chance that a ring whose card was burnt goes on with another
    attempts: int = 12  # that a ring means to make
    share: float = 0.5  # of cards, payments or rings that the challenger answers

    def __post_init__(self) -> None:
        """Raises BadInput naming the value that makes no sense."""
        sound = (
            ("recall", 0 < self.champion_recall < 1, "above 0 and below 1"),
            ("challenger-recall", 0 < self.challenger_recall < 1, "above 0 and below 1"),
            ("share", 0 < self.share < 1, "above 0 and below 1"),
            ("mobility", 0 <= self.mobility <= 1, "between 0 and 1"),
            ("attempts", self.attempts >= 1, "1 or more"),
        )
        for name, holds, expected in sound:
            if not holds:
                raise BadInput(f"{name} must be {expected}.", next_step=f"Correct --{name} and run again.", where=name)

    @property
    def recalls(self) -> tuple[float, float]:
        return self.champion_recall, self.challenger_recall


@dataclass(frozen=True)
class Bias:
    """What one experiment measures, beside the truth."""

    level: Level
    truth: float  # relative change of the frauds that get through if all cards went to the challenger
    measured: Interval  # the same as the experiment says: median, and 95 of 100 experiments
    champion_arm: float  # frauds through the champion's arm, relative to its share of those before the experiment

    @property
    def misleads(self) -> bool:
        """Whether 95 of 100 experiments leave the truth on one side."""
        return not self.measured.low <= self.truth <= self.measured.high


def interference(rings: Rings, level: Level, *, count: int, runs: int, seed: int) -> Bias:
    """`runs` experiments on `count` rings each, split at one level."""
    random = np.random.default_rng(seed)
    champion, challenger = _through(rings, level, count, runs, random)
    measured = (challenger / rings.share) / (champion / (1 - rings.share)) - 1
    low, high = np.quantile(measured, [0.025, 0.975])
    before, after = (expected_through(rings, recall) for recall in rings.recalls)
    return Bias(
        level=level,
        truth=after / before - 1,
        measured=Interval(float(np.median(measured)), float(low), float(high)),
        champion_arm=float(champion.mean() / ((1 - rings.share) * count * before) - 1),
    )


def expected_through(rings: Rings, recall: float) -> float:
    """Frauds of one ring that get through when one model answers everything; exact, by recursion over attempts left."""
    through = 0.0
    for _ in range(rings.attempts):
        through = (1 - recall) * (1 + through) + recall * rings.mobility * through
    return through


def expected_measured(rings: Rings, level: Level) -> float:
    """The relative change that an endless experiment at this level would show; exact, the check of the simulation."""
    if level == "ring":
        return expected_through(rings, rings.challenger_recall) / expected_through(rings, rings.champion_recall) - 1
    if level == "payment":  # both arms meet the same cards, and each lets through what it lets through
        return (1 - rings.challenger_recall) / (1 - rings.champion_recall) - 1
    through = np.zeros((2, 2))  # [arm of the card in use, arm that lets through]
    shares = np.array([1 - rings.share, rings.share])
    for _ in range(rings.attempts):
        anew = shares @ through
        through = np.array([(1 - r) * (np.eye(2)[arm] + through[arm]) + r * rings.mobility * anew for arm, r in enumerate(rings.recalls)])
    champion, challenger = (shares @ through) / shares
    return float(challenger / champion - 1)


def _through(rings: Rings, level: Level, count: int, runs: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Frauds that got through the champion's arm and the challenger's, (runs,) each."""
    recalls = np.array(rings.recalls)
    arm = random.random((runs, count)) < rings.share
    active = np.ones((runs, count), dtype=np.bool_)
    through = np.zeros((2, runs))
    for _ in range(rings.attempts):
        if level == "payment":
            arm = random.random((runs, count)) < rings.share
        stopped = random.random((runs, count)) < recalls[arm.astype(np.intp)]
        passed = active & ~stopped
        through += (passed & ~arm).sum(axis=1), (passed & arm).sum(axis=1)
        burnt = active & stopped
        active &= ~burnt | (random.random((runs, count)) < rings.mobility)
        if level == "card":
            arm = np.where(burnt, random.random((runs, count)) < rings.share, arm)
    return through[0], through[1]
