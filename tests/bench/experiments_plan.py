"""Planned sizes against simulation: how often experiments of the planned size find the effect, and how often they find one in vain."""

import math
from dataclasses import dataclass

import numpy as np

from labs.commands.ab_words import amount, share
from pipelines.experiments.power import Coin, Question, paired_coin, paired_once, sequential, split_coin, split_once
from pipelines.metrics import Interval, exact_share
from pipelines.rollout.sequential import OddsTest
from tests.bench.drift_goals import Goal
from tests.bench.table import publish

QUESTIONS = (Question(0.0025, -0.2), Question(0.0025, 0.5, share=0.1), Question(0.01, -0.1, alpha=0.01))
EDGE = {0.05: 1.6449, 0.01: 2.3263}


@dataclass(frozen=True)
class Kept:
    """One planned size, and what it did."""

    question: Question
    design: str
    payments: float
    deciding: float  # events among them that tell the models apart
    found: Interval  # share of simulated experiments that find the effect; `power` wanted
    in_vain: Interval  # that find it where there is none; at most `alpha` wanted


def measure_plan(runs: int, seed: int) -> list[Kept]:
    """Each design of each question."""
    kept, random = [], np.random.default_rng(seed)
    for question in QUESTIONS:
        for name, coin, once in (
            ("split", split_coin(question), split_once(question)),
            ("pairs", paired_coin(question), paired_once(question)),
        ):
            coins = coin.rate * once
            rates = [_one_look(chance, coin, coins, question, runs, random) for chance in (coin.chance, coin.null)]
            kept.append(Kept(question, f"{name} once", once, coins, *rates))
            planned = sequential(question, coin)
            ends = [_any_time(chance, coin, coin.rate * planned, question, runs, random) for chance in (coin.chance, coin.null)]
            kept.append(Kept(question, f"{name} ever", planned, coin.rate * planned, *ends))
    return kept


def judge_plan(found: list[Kept]) -> Goal:
    """Print the table. A size that turns out larger than needed is a fault of large numbers applied to few events, and is told."""
    rows: list[list[object]] = []
    for kept in found:
        asked = kept.question
        what, design = f"{asked.base_rate:g} {asked.effect:+.0%} {asked.alpha:.0%}", f"{kept.design} {asked.share:g}"
        rows.append([what, design, amount(kept.payments), amount(kept.deciding), share(kept.found), share(kept.in_vain)])
    columns = ["rate effect α", "design", "payments", "events", "found", "in vain"]
    publish("experiments_plan", "Planned sizes, simulated (power 80 %)", columns, rows, {})
    least, most = min(found, key=lambda kept: kept.found.value), max(found, key=lambda kept: kept.found.value)
    honest = all(kept.in_vain.low <= kept.question.alpha for kept in found)
    said = (
        f"{least.found.value:.0%} to {most.found.value:.0%} (that with {most.deciding:.0f} events that decide);"
        f" false alarms {'within' if honest else 'OVER'} alpha in all {len(found)} designs"
    )
    return Goal(
        "X1", "planned sizes, simulated", "power ≥ 75 % where 80 % is planned, false ≤ alpha", said, honest and least.found.value >= 0.75
    )


def _one_look(chance: float, coin: Coin, mean: float, question: Question, runs: int, random: np.random.Generator) -> Interval:
    """The z-test of the coin at the end; the number of coins is Poisson, as events of so many payments are."""
    coins = np.maximum(random.poisson(mean, runs), 1)
    heads = random.binomial(coins, chance)
    z = (heads - coin.null * coins) / np.sqrt(coins * coin.null * (1 - coin.null)) * math.copysign(1, question.effect)
    return exact_share(int((z > EDGE[question.alpha]).sum()), runs)


def _any_time(chance: float, coin: Coin, mean: float, question: Question, runs: int, random: np.random.Generator) -> Interval:
    """The product's test after every coin, up to the planned number. Its wealth, coin by coin, is what one head and one tail add."""
    test = OddsTest.against((coin.odds,))
    head, tail = test.add(1, 0, coin.null).log_e, test.add(0, 1, coin.null).log_e
    wealth = np.where(random.random((runs, math.ceil(mean))) < chance, head, tail).cumsum(axis=1)
    return exact_share(int((wealth.max(axis=1) >= math.log(1 / question.alpha)).sum()), runs)
