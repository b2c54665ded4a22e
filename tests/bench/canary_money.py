"""Money on replayed payments: how soon labels tell a worse challenger, and how often an equal one is called worse.

The world's payments and models of `labs/contenders.py`, every label known, nothing declined. A replay begins somewhere in fifty
days and is looked at every thousand payments. For the null, champion and challenger change places on each card by a coin: whatever
differs between them, neither is then the worse one, and a spree stays one event.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.costs import DecisionCosts
from data.settings import Settings
from labs.contenders import from_world
from pipelines.experiments.scored import Decided, Scored
from pipelines.rollout.evidence import APPROVE, Served
from pipelines.rollout.money import Money, card_days
from pipelines.rollout.sequential import FRACTIONS
from tests.bench.canary_rules import NEVER, PLAN, first_true
from tests.bench.drift_goals import Rate, quantiles

Floats = NDArray[np.float64]
LOOK: Final = 1_000  # payments
LONGEST: Final = 60_000
ALPHA: Final = 0.05
WINDOWS: Final = 200  # replays of each challenger
TESTS: Final = ("dearer", "missing", "gain")  # of `card_days`, in the order of `Units.growth`
COSTS: Final = DecisionCosts()


@dataclass(frozen=True)
class Worth:
    """One challenger on the same payments."""

    challenger: str
    per_thousand: tuple[float, float, float]  # EUR, challenger less champion, with its interval
    recall: float
    worse: tuple[Rate, float]  # called worse within LONGEST at ALPHA, and the median payments that took
    in_money: tuple[Rate, float]  # the same by money alone
    in_plan: tuple[Rate, float]  # the same at the budget of the plan
    not_worse: tuple[Rate, float]  # shown to cost at most the margin more


class Null(NamedTuple):
    """Equal challengers, replayed."""

    worse: Rate  # called worse at ALPHA
    in_plan: Rate  # the same at the budget of the plan


class Units(NamedTuple):
    """The card-days on which a challenger differs, in order of the looks."""

    look: NDArray[np.int64]  # (u,)
    card: NDArray[np.int64]  # (u,), places in `Scored.cards`
    growth: NDArray[np.float64]  # (tests, u, bets), of the logarithm of each bet's wealth


def measure(replays: int, seed: int) -> tuple[list[Worth], Null]:
    """Every challenger, and `replays` nulls of the one most like the champion."""
    scored = from_world(Settings.load())
    worths = [_worth(scored, model, seed) for model in scored.models[1:]]
    return worths, null(scored, scored.models[1], replays, seed)


def _worth(scored: Scored, challenger: Decided, seed: int) -> Worth:
    units = _units(scored, scored.champion, challenger)
    looks = len(scored) // LOOK
    growth = np.zeros((len(TESTS), looks, len(FRACTIONS)))
    for test, grown in enumerate(units.growth):
        np.add.at(growth[test], units.look, grown)
    starts = np.random.default_rng(seed).integers(0, looks - LONGEST // LOOK, WINDOWS)
    windows = starts[:, None] + np.arange(LONGEST // LOOK)
    dearer, missing, not_worse = (np.cumsum(grown[windows], axis=1) for grown in growth)
    whole = _served(scored, scored.champion, challenger, slice(0, len(scored)))
    return Worth(
        challenger=challenger.name,
        per_thousand=Money.start(PLAN, COSTS).add(whole, scored.is_fraud, PLAN, COSTS).per_thousand(ALPHA),
        recall=float(challenger.alerts[scored.is_fraud].mean()),
        worse=_found([dearer, missing], ALPHA),
        in_money=_found([dearer], ALPHA),
        in_plan=_found([dearer, missing], PLAN.budgets.money),
        not_worse=_found([not_worse], PLAN.promotion_alpha),
    )


def _found(totals: list[Floats], alpha: float) -> tuple[Rate, float]:
    crossed = first_true(log_mixture(totals) >= np.log(1 / alpha))
    found = crossed[crossed != NEVER]
    return Rate(len(found), len(crossed)), quantiles((LOOK * (found + 1.0)).tolist())[0]


def null(scored: Scored, challenger: Decided, replays: int, seed: int) -> Null:
    """Replays in which the two models change places on half of the cards, drawn anew each time."""
    straight, swapped = _units(scored, scored.champion, challenger), _units(scored, challenger, scored.champion)
    random, length = np.random.default_rng(seed), LONGEST // LOOK
    highest = []
    for start in random.integers(0, len(scored) // LOOK - length, replays).tolist():
        rows = slice(*np.searchsorted(straight.look, (start, start + length)))
        change = (random.random(len(scored.cards)) < 0.5)[straight.card[rows]]
        grown = np.where(change[:, None], swapped.growth[:2, rows], straight.growth[:2, rows])
        ends = np.searchsorted(straight.look[rows], np.arange(start, start + length), side="right")
        totals = np.concatenate([np.zeros((2, 1, grown.shape[2])), np.cumsum(grown, axis=1)], axis=1)[:, ends]
        highest.append(float(log_mixture(list(totals)).max()))
    rates = [Rate(int(np.sum(np.array(highest) >= np.log(1 / alpha))), replays) for alpha in (ALPHA, PLAN.budgets.money)]
    return Null(*rates)


def _units(scored: Scored, champion: Decided, challenger: Decided) -> Units:
    """All looks, one after the other; the same card-days whichever of the two is called the champion."""
    looks, cards, values = [], [], []
    for look in range(len(scored) // LOOK):
        rows = slice(LOOK * look, LOOK * (look + 1))
        days = card_days(_served(scored, champion, challenger, rows), scored.is_fraud[rows], PLAN, COSTS)
        day = scored.time_s[rows] // 86_400
        unit = np.unique(scored.card[rows] * (day.max() + 1) + day)
        moved = np.flatnonzero((days.dearer != 0) | (days.missing != 0) | (days.gain != 0) | (days.champion != 0))
        looks.append(np.full(len(moved), look))
        cards.append((unit // (day.max() + 1))[moved])
        values.append(np.stack([getattr(days, test)[moved] for test in TESTS]))
    money = Money.start(PLAN, COSTS)
    bounds = np.array([money.dearer.bound, money.missing.bound, money.not_worse.bound])
    bets = np.array(FRACTIONS) / bounds[:, None]
    every = np.concatenate(values, axis=1)
    return Units(np.concatenate(looks), np.concatenate(cards), np.log1p(bets[:, None, :] * every[:, :, None]))


def _served(scored: Scored, champion: Decided, challenger: Decided, rows: slice) -> Served:
    """Payments as the judge takes them: both scored them, all were let through."""
    count = rows.stop - rows.start
    nobody = np.full(count, "", dtype=object)
    return Served(
        transaction_id=nobody, card_id=scored.cards[scored.card[rows]].astype(object), event_time_s=scored.time_s[rows],
        amount=scored.amount[rows], rollout_id=nobody, epoch=np.zeros(count, np.int64), champion_version=nobody, challenger_version=nobody,
        by_challenger=np.zeros(count, np.bool_), champion_score=champion.score[rows], challenger_score=challenger.score[rows],
        champion_decision=champion.decision[rows], challenger_decision=challenger.decision[rows],
        decision=np.full(count, APPROVE, np.int8), latency_ms=np.ones(count),
    )  # fmt: skip


def log_mixture(totals: list[Floats]) -> Floats:
    """Log e-value of the mean of several tests' means over their bets; each (..., bets)."""
    every = np.concatenate(totals, axis=-1)
    top = every.max(axis=-1)
    return np.asarray(top + np.log(np.exp(every - top[..., None]).mean(axis=-1)))
