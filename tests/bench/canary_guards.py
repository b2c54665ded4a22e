"""What the guardrails cost a good challenger, and how soon they see a bad one: whole rollouts, latency, sample ratio. Simulated.

Looked at after every request, which is as often as anybody can. The product's own tests, over many rollouts at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.rollout.sequential import EITHER_ODDS, HIGHER_ODDS, OBJECTIVE_ODDS
from pipelines.rollout.split import null_share
from tests.bench.canary_ramp import AT_ONCE, RAMP, Level, in_parts
from tests.bench.canary_rules import NEVER, PLAN, first_true, log_e, split
from tests.bench.drift_goals import Rate, quantiles

BASES: Final = (0.0002, 0.002, 0.01, 0.02, 0.05)  # failing share of both models
REQUESTS: Final = 8_000  # of the canary, for latency
SPLIT_REQUESTS: Final = 20_000
ALONE: Final = 0.01  # a budget of its own, beside the plan's: what a latency guard might spend if it were the only one
USUAL_SLOW: Final = 0.002  # of the champion's answers
STEP: Final = 10  # requests between two looks at latency and sample ratio


@dataclass(frozen=True)
class Detection:
    """How often an alarm was raised, and after how many requests of the canary, or of both arms for a split."""

    what: str
    truth: str
    budget: float
    found: Rate
    median: float
    late: float  # 95th percentile


def false_rollbacks(base: float, runs: int, seed: int) -> Rate:
    """Rollouts of a challenger that is no worse, rolled back by failures or latency; slow answers lie at the objective itself."""
    random, hits = np.random.default_rng([seed, int(1e6 * base)]), 0
    for first in range(0, runs, AT_ONCE):
        count = min(AT_ONCE, runs - first)
        wrong = _failing(base, count, random) | _slower(count, random) | _slow(count, random)
        hits += int(wrong.sum())
    return Rate(hits, runs)


def _failing(base: float, runs: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Requests on which one model alone fails, in order: each a fair coin."""
    coins = random.binomial(sum(requests for _, requests in RAMP), 2 * base * (1 - base), runs)
    happens = np.arange(coins.max())[None, :] < coins[:, None]
    heads = random.random(happens.shape) < 0.5
    null = np.full(happens.shape[1], null_share(0.5, PLAN.tolerance))
    return _ever(heads & happens, ~heads & happens, null, HIGHER_ODDS, PLAN.budgets.errors)


def _slower(runs: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Slow answers of either arm, in order: each the challenger's as often as its share says."""
    found = np.zeros(runs, dtype=bool)
    columns, shares = [], []
    for share, requests in RAMP:
        slow = random.binomial(requests, PLAN.slow_share, runs)
        happens = np.arange(slow.max())[None, :] < slow[:, None]
        heads = random.random(happens.shape) < share
        columns.append((heads & happens, ~heads & happens))
        shares.append(np.full(happens.shape[1], null_share(share, PLAN.tolerance)))
    heads, tails = (np.concatenate(parts, axis=1) for parts in zip(*columns, strict=True))
    return found | _ever(heads, tails, np.concatenate(shares), HIGHER_ODDS, PLAN.budgets.latency / 4)


def _slow(runs: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Answers of the challenger against the objective. The odds only rise at a slow one, so the fast ones between are drawn as gaps."""
    answers = int(sum(share * requests for share, requests in RAMP))
    gaps = random.geometric(PLAN.slow_share, (runs, int(2 * PLAN.slow_share * answers)))
    heads = np.cumsum(gaps, axis=1) <= answers
    null = np.full(heads.shape[1], PLAN.slow_share)
    crossed = log_e(heads.astype(np.int64), np.where(heads, gaps - 1, 0), null, OBJECTIVE_ODDS) >= np.log(2 / PLAN.budgets.latency)
    found: NDArray[np.bool_] = crossed.any(axis=1)
    return found


def _ever(
    heads: NDArray[np.bool_], tails: NDArray[np.bool_], null: NDArray[np.float64], odds: Sequence[float], alpha: float
) -> NDArray[np.bool_]:
    rejected: NDArray[np.bool_] = (log_e(heads.astype(np.int64), tails.astype(np.int64), null, odds) >= np.log(1 / alpha)).any(axis=1)
    return rejected


def latency(runs: int, seed: int) -> list[Detection]:
    """The guard "no more than 1 % of its answers are slow", at the plan's budget and at one of its own."""
    found = []
    for true in (0.01, 0.012, 0.02, 0.05, 0.2):
        for budget in (PLAN.budgets.latency / 2, ALONE):
            told = f"{true:.1%} of its answers are slow"
            found.append(_detect("latency", told, (true, PLAN.slow_share, OBJECTIVE_ODDS, budget), REQUESTS, runs, seed))
    return found


def latency_on_ramp(runs: int, seed: int) -> list[Detection]:
    """Both latency guards of the plan on the ramp, beside a champion that is slow on 0.2 % of its answers."""
    found = []
    for true in (USUAL_SLOW, 0.02, 0.05, 0.2):
        after: list[float] = []
        for draws in in_parts(Level(USUAL_SLOW, true), runs, seed):
            slower = split(draws) >= np.log(4 / PLAN.budgets.latency)
            objective = np.full(len(draws.share), PLAN.slow_share)
            slow = log_e(draws.canary_failed, draws.canary - draws.canary_failed, objective, OBJECTIVE_ODDS)
            first = first_true(slower | (slow >= np.log(2 / PLAN.budgets.latency)))
            stopped = np.flatnonzero(first != NEVER)
            after += draws.exposed[stopped, first[stopped]].tolist()
        told = f"{true:.1%} of its answers are slow, {USUAL_SLOW:.1%} of the champion's"
        found.append(Detection("latency on the ramp", told, 0.75 * PLAN.budgets.latency, Rate(len(after), runs), *quantiles(after)))
    return found


def sample_ratio(runs: int, seed: int) -> list[Detection]:
    """The guard "the cards fit the declared share"."""
    found = []
    for declared, sent in ((0.1, 0.1), (0.5, 0.5), (0.1, 0.12), (0.05, 0.08), (0.5, 0.55), (0.5, 0.52)):
        told = f"{sent:.0%} for {declared:.0%}"
        coin = (sent, declared, EITHER_ODDS, PLAN.budgets.sample_ratio)
        found.append(_detect("sample ratio", told, coin, SPLIT_REQUESTS, runs, seed))
    return found


def _detect(what: str, truth: str, coin: tuple[float, float, Sequence[float], float], requests: int, runs: int, seed: int) -> Detection:
    """`coin`: chance of heads, its chance under the null, the alternatives, the budget."""
    chance, null, odds, budget = coin
    random, after = np.random.default_rng([seed, int(1e6 * chance), int(1e6 * null)]), list[float]()
    for first in range(0, runs, AT_ONCE):
        heads = random.binomial(STEP, chance, (min(AT_ONCE, runs - first), requests // STEP))
        crossed = log_e(heads, STEP - heads, np.full(heads.shape[1], null), odds) >= np.log(1 / budget)
        after += (STEP * (crossed.argmax(axis=1)[crossed.any(axis=1)] + 1.0)).tolist()
    return Detection(what, truth, budget, Rate(len(after), runs), *quantiles(after))
