"""Promise 1: who answers may change at any moment, and no request notices."""

from collections.abc import Callable, Iterator
from itertools import count, cycle
from pathlib import Path

import pytest

from data.serving_plan import ServingPlan
from tests.chaos.load import Load, payments
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab, wait_until
from tests.chaos.stored import StoredAnswers
from tests.chaos.timing import slowdown

ROUNDS = 15  # of both kinds in turn, so that a machine that gets busier meets both alike
SLOWER = 1.5
QUESTIONS = 2  # and one more before a swap is followed: a poll of the registry every 20 ms, a look every 10


def plans() -> Iterator[ServingPlan]:
    """Every version in every role: each plan differs from the one before in its champion, its challenger or both."""
    pairs = cycle([("1", "2"), ("2", "3"), ("3", "1"), ("1", None), ("3", "2"), ("2", None)])
    for epoch, (champion, challenger) in zip(count(1), pairs, strict=False):
        if challenger is None:
            yield ServingPlan(epoch, champion)
        else:
            yield ServingPlan(epoch, champion, challenger, "canary", 0.5, "r1")


@pytest.mark.alone
def test_swaps_under_load_lose_nothing(lab: Lab, scoreboard: Scoreboard, bundles: Path, tier: Callable[[int, int], int]) -> None:
    swaps, requests = tier(200, 2_000), tier(5_000, 100_000)
    quiet: list[float] = []  # p99 of each round, ms
    swapped: list[float] = []
    sent = 0
    acknowledged: dict[str, bytes] = {}
    failures = 0
    lab.start()
    plan, first = plans(), 0
    for turn in range(2 * ROUNDS):
        least = requests // ROUNDS
        with Load(lab.port, payments(first)) as load:
            for _ in range(-(-swaps // ROUNDS)):
                if turn % 2:
                    swap(lab, load, next(plan))
                else:
                    look(lab, load)
            load.wait_for(least - len(load.answers))
            load.stop()
        first += 10 * least + len(load.answers)
        failures += load.failures
        acknowledged |= load.acknowledged
        (swapped if turn % 2 else quiet).append(load.percentile_ms())
        sent += len(load.answers) if turn % 2 else 0
    lab.terminate()

    stored = StoredAnswers(lab.log)
    seen = stored.frame["epoch"].nunique() - 1  # the first epoch was no swap
    assert seen >= swaps, f"{swaps} plans were set, and only {seen} of them answered anything"
    failures += stored.missing(acknowledged) + stored.differing(acknowledged) + stored.not_of_their_version(bundles)
    slower = slowdown(swapped, quiet)
    scoreboard.record(
        promise=1,
        name=f"{seen} swaps under load lose nothing, every score is its version's",
        n=sent,
        failures=failures,
        figure=f"p99 {slower}",
        passed=failures == 0 and sent >= requests and slower.at_least <= SLOWER,
    )


def look(lab: Lab, load: Load) -> None:
    """What `swap` asks of the service, without a change: being asked is not what a swap costs."""
    questions = iter(range(QUESTIONS))
    wait_until(lambda: lab.follows(-1) or next(questions, None) is None, "it was asked", poll_s=0.01)
    load.wait_for(10)


def swap(lab: Lab, load: Load, plan: ServingPlan) -> None:
    """Follow the plan, and answer a few payments by it."""
    lab.registry.set_plan(plan)
    wait_until(lambda: lab.follows(plan.epoch), "the plan is followed", poll_s=0.01)
    load.wait_for(10)
