"""Alerts on replayed payments: how often a challenger that alerts no more than the plan bears is called out for its alerts.

The world's payments and models, as `canary_money.py` replays them. Alerts come in sprees of one card, which the test, payment by
payment, knows nothing of; so both nulls draw by card. Equal: champion and challenger change places on each card by a coin. At the
edge: one of them has the other's alerts on four cards of five, so that their ratio is the plan's in the mean, and no more.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.settings import Settings
from labs.contenders import from_world
from pipelines.experiments.scored import Mask, Scored
from pipelines.rollout.paired import Alerts
from pipelines.rollout.sequential import FRACTIONS, MeanTest
from tests.bench.canary_money import LONGEST, LOOK, Floats, log_mixture
from tests.bench.canary_rules import PLAN
from tests.bench.drift_goals import Rate

BUDGET: Final = PLAN.budgets.alerts / 2
ENDS: Final = np.arange(LOOK, LONGEST + 1, LOOK)  # payments after which a replay is looked at


def measure(replays: int, seed: int) -> dict[str, Rate]:
    """False alarms within LONGEST payments at the plan's budget: of each null, those of the direction that it tempts."""
    scored, random = from_world(Settings.load()), np.random.default_rng(seed)
    ours, theirs = scored.champion.alerts, scored.models[1].alerts
    start, ratio = Alerts.start(PLAN), PLAN.alert_ratio
    alarms: dict[str, list[bool]] = {"equal": [], "at the upper edge": [], "at the lower edge": []}
    for first in random.integers(0, len(scored) // LOOK - LONGEST // LOOK, replays) * LOOK:
        rows = np.flatnonzero((ours | theirs)[first : first + LONGEST]) + first
        a, b, place = ours[rows], theirs[rows], rows - first
        swapped, kept = _coins(scored, rows, 0.5, random), _coins(scored, rows, 1 / ratio, random)
        champion, challenger = np.where(swapped, b, a), np.where(swapped, a, b)
        alarms["equal"].append(_alarm(start.more, place, challenger - ratio * champion))
        alarms["at the upper edge"].append(_alarm(start.more, place, a - ratio * (a & kept)))
        alarms["at the lower edge"].append(_alarm(start.fewer, place, a / ratio - (a & kept)))
    return {name: Rate(sum(raised), replays) for name, raised in alarms.items()}


def _coins(scored: Scored, rows: NDArray[np.int64], chance: float, random: np.random.Generator) -> Mask:
    """One for each card, as its payments at `rows` have it."""
    cards, place = np.unique(scored.card[rows], return_inverse=True)
    return np.asarray((random.random(len(cards)) < chance)[place])


def _alarm(test: MeanTest, place: NDArray[np.int64], values: Floats) -> bool:
    """Whether the product's test, looked at every LOOK payments, ever refutes its null: all looks at once."""
    grown = np.cumsum(np.log1p(np.array(FRACTIONS) / test.bound * values[:, None]), axis=0)
    totals = np.concatenate([np.zeros((1, len(FRACTIONS))), grown])[np.searchsorted(place, ENDS)]
    return bool(log_mixture([totals]).max() >= np.log(1 / BUDGET))
