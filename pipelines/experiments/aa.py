"""A/A first: the same model in both arms, many times over. What a right split and a right test show, and what broken ones do. Pure.

Each replay draws the cards as a rollout with another id would (`data/serving_plan.py`) and compares a number that no split can have
changed, the alerts per payment. Then p-values are uniform, 5 % of them below 0.05, 95 % intervals hold "no difference" in 95 of 100
replays, and the sample ratio is the one declared. Whatever is off is a fault of the split or of the test, found before it is taken
for a finding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.serving_plan import card_position
from pipelines.experiments.scored import Floats, Mask, Scored, ratio_variance
from pipelines.metrics import Interval, exact_share
from pipelines.rollout.sequential import EITHER_ODDS, OddsTest, rejects

LEVEL: Final = 0.05
RATIO_LEVEL: Final = 0.001  # of the sample-ratio checks: the usual threshold of one look, and the rollout's budget for any number
CARDS_PER_LOOK: Final = 100
NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class Splitter:
    """How a split assigns, and where it goes wrong."""

    name: str
    by_card: bool = True  # else payment by payment
    salted: bool = True  # else every experiment draws the same cards
    sent: float = 1.0  # of the declared share


RIGHT: Final = Splitter("the product's: by card, salted")
BROKEN: Final = (
    Splitter("by payment", by_card=False),
    Splitter("not salted", salted=False),
    Splitter("a fifth too many sent", sent=1.2),  # 12 % for 10 %
)


class Arm(NamedTuple):
    """Sums by card of what one arm answered, each (c,)."""

    payments: Floats
    alerts: Floats


@dataclass(frozen=True, eq=False)
class Replays:
    """What the A/A replays of one splitter showed."""

    splitter: Splitter
    p_values: Floats  # (runs,), of the test by card
    false: Interval  # share of `p_values` below LEVEL
    false_by_payment: Interval  # the same of a test that takes payments for independent
    uniform: float  # p-value of Kolmogorov and Smirnov's test of `p_values`
    covered: Interval  # share of 95 % intervals, by card, that hold "no difference"
    ratio_doubted: Interval  # share of replays in which chi-square doubts the sample ratio, looking once
    ratio_doubted_any_time: Interval  # in which the rollout's own test does, looking at every hundredth card
    cards_until_doubt: float  # seen by then, median; NaN where it never doubts
    both_arms: float  # share of cards that met both arms
    kept: float  # share of the challenger's cards that were the challenger's in the replay before


def draw_positions(cards: NDArray[np.str_], runs: int, seed: int) -> Floats:
    """The cards' places in each of `runs` A/A rollouts, (runs, c): drawn once for all splitters, as hashing is most of the work."""
    return np.array([card_positions(cards, f"aa-{seed}-{run}") for run in range(runs)])


def aa_replays(scored: Scored, splitter: Splitter, drawn: Floats, *, share: float, seed: int) -> Replays:
    """One split of the champion's payments for each row of `drawn`, (runs, c), two rows or more; a pure function of its arguments."""
    runs = len(drawn)
    order = np.argsort(np.unique(scored.card, return_index=True)[1])  # cards by their first payment
    differences, by_payment, chi_square, doubts, both, arms = [], [], [], [], [], []
    for theirs, ours in _splits(scored, splitter, drawn, share, seed):
        differences.append(_difference(theirs, ours))
        by_payment.append(_p_by_payment(theirs, ours))
        heads, tails = theirs.payments > 0, ours.payments > 0
        chi_square.append(chi_square_p(int(heads.sum()), int(tails.sum()), share) < RATIO_LEVEL)
        doubts.append(_first_doubt(heads[order], tails[order], share))
        both.append(float((heads & tails).mean()))
        arms.append(heads)
    difference, error = np.array(differences).T
    p_values = np.array([2 * NORMAL.cdf(-abs(z)) for z in (difference / error).tolist()])
    half = NORMAL.inv_cdf(1 - LEVEL / 2) * error
    kept = [float((before & after).sum() / max(int(after.sum()), 1)) for before, after in pairwise(arms)]
    seen = [cards for cards in doubts if cards is not None]
    return Replays(
        splitter=splitter,
        p_values=p_values,
        false=exact_share(int((p_values < LEVEL).sum()), runs),
        false_by_payment=exact_share(sum(p < LEVEL for p in by_payment), runs),
        uniform=_uniform(p_values),
        covered=exact_share(int((abs(difference) <= half).sum()), runs),
        ratio_doubted=exact_share(sum(chi_square), runs),
        ratio_doubted_any_time=exact_share(len(seen), runs),
        cards_until_doubt=float(np.median(seen)) if seen else float("nan"),
        both_arms=float(np.mean(both)),
        kept=float(np.mean(kept)),
    )


def card_positions(cards: NDArray[np.str_], salt: str) -> Floats:
    """Each card's place in [0, 1), (c,): the serving plan of rollout `salt` gives the challenger those below its share."""
    return np.array([card_position(card, salt) for card in cards.tolist()])


def chi_square_p(heads: int, tails: int, share: float) -> float:
    """Pearson's test of a sample ratio, one degree of freedom; for one look."""
    expected = (heads + tails) * share
    return float(2 * NORMAL.cdf(-abs(heads - expected) / (expected * (1 - share)) ** 0.5))


def _splits(scored: Scored, splitter: Splitter, drawn: Floats, share: float, seed: int) -> Iterator[tuple[Arm, Arm]]:
    """Challenger's and champion's arm of each replay."""
    unsalted, sent = card_positions(scored.cards, ""), share * splitter.sent
    alerts = scored.champion.alerts
    whole = Arm(scored.by_card(np.ones(len(scored))), scored.by_card(alerts))
    for run, positions in enumerate(drawn):
        if splitter.by_card:
            mine = (positions if splitter.salted else unsalted) < sent
            theirs = Arm(whole.payments * mine, whole.alerts * mine)
        else:
            chosen = np.random.default_rng([seed, run]).random(len(scored)) < sent
            theirs = Arm(scored.by_card(chosen), scored.by_card(chosen & alerts))
        yield theirs, Arm(whole.payments - theirs.payments, whole.alerts - theirs.alerts)


def _difference(theirs: Arm, ours: Arm) -> tuple[float, float]:
    """Alerts per payment, challenger less champion, and its standard error by card."""
    (new, new_variance), (old, old_variance) = (ratio_variance(arm.alerts, arm.payments) for arm in (theirs, ours))
    return new - old, float((new_variance / theirs.payments.sum() + old_variance / ours.payments.sum()) ** 0.5)


def _p_by_payment(theirs: Arm, ours: Arm) -> float:
    """The z-test of two proportions that forgets who the payments belong to."""
    n1, n0, x1, x0 = (float(side.sum()) for side in (theirs.payments, ours.payments, theirs.alerts, ours.alerts))
    pooled = (x1 + x0) / (n1 + n0)
    return 2 * NORMAL.cdf(-abs(x1 / n1 - x0 / n0) / (pooled * (1 - pooled) * (1 / n1 + 1 / n0)) ** 0.5)


def _first_doubt(heads: Mask, tails: Mask, share: float) -> int | None:
    """Cards seen when the always-valid test first doubts the ratio, cards in order of arrival; None when it never does."""
    test = OddsTest.against(EITHER_ODDS)
    for first in range(0, len(heads), CARDS_PER_LOOK):
        look = slice(first, first + CARDS_PER_LOOK)
        test = test.add(int(heads[look].sum()), int(tails[look].sum()), share)
        if rejects(test.log_e, RATIO_LEVEL):
            return min(first + CARDS_PER_LOOK, len(heads))
    return None


def _uniform(p_values: Floats) -> float:
    from scipy.stats import kstest

    return float(kstest(p_values, "uniform").pvalue)
