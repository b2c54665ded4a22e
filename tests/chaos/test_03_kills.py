"""Promise 3: what was acknowledged is stored, once, and is answered the same way again, however the process dies."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from itertools import cycle

import numpy as np
import pytest

from data.prediction_frames import logged_decisions
from services.scoring.engine import BUFFERED
from tests.chaos.load import Load, payment, payments
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import SCORING, Lab
from tests.chaos.stored import END, StoredAnswers, faults, told
from tests.chaos.syscalls import LOG_WRITES, SENDS, SYNCS, Rule, Syscalls, die_after, die_at
from tests.records import START

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to stop a process at a system call")

# Where in the life of an answer the process dies; the number says at which of them from now on.
POINTS: dict[str, Callable[[int], Rule]] = {
    "before write": lambda nth: die_at(nth, LOG_WRITES, of="predictions.db-wal"),
    "after write": lambda nth: die_at(nth, SYNCS, of="predictions.db-wal"),
    "after commit": lambda nth: die_at(nth, SENDS, of="socket:"),
    "after send": lambda nth: die_after(nth, SENDS, of="socket:"),
}
RANDOM = "at random"
SENT_AGAIN = 1_000  # acknowledged payments that are sent again in the end, the last ones
CLIENTS = 8


def test_kills_lose_nothing_and_repeat_nothing(lab: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int]) -> None:
    kills = tier(20, 500)
    rng = np.random.default_rng(3)
    deaths: Counter[str] = Counter()
    unheard: Counter[str] = Counter()  # stored answers whose client had not heard of them when the process died
    with Syscalls(*SYNCS, *LOG_WRITES, *SENDS) as calls:
        lab.start(calls.command(SCORING), pass_fds=calls.pass_fds)
        with Load(lab.port, payments(), attempts=10_000) as load:
            for _, point in zip(range(kills), cycle((*POINTS, RANDOM)), strict=False):
                load.wait_for(int(rng.integers(10, 60)))
                if point == RANDOM:
                    lab.kill()
                else:
                    calls.rule = POINTS[point](int(rng.integers(1, 25)))
                deaths[point] += lab.end() == -9
                unheard[point] += len(logged_decisions(lab.log, START, END).keys() - load.acknowledged.keys())
                lab.start(calls.command(SCORING), pass_fds=calls.pass_fds)
            load.stop()
        again = send_again(lab, load.acknowledged)
        lab.kill()
    assert deaths.total() == kills and calls.killed == kills - deaths[RANDOM], f"not every death was ours: {deaths}"
    counts = {"unanswered": load.failures} | faults(lab.log, load.acknowledged) | again
    between = unheard["after write"] > 0 and unheard["after commit"] > 0
    assert between or any(counts.values()), f"no death fell between a write and its answer: {unheard}"
    scoreboard.record(
        promise=3,
        name="kill -9 at random and at four points loses nothing, repeats nothing",
        n=kills,
        failures=sum(counts.values()),
        figure=f"{len(load.acknowledged):,} acknowledged, {unheard.total()} stored unheard{told(counts)}",
        passed=not any(counts.values()),
    )


def test_a_kill_of_a_service_that_does_not_wait_for_its_log_loses_the_last_moment_and_no_more(
    lab: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int]
) -> None:
    """LAB_LOG_WRITE=buffered. The service alone is killed: the process that writes its log stores what it was sent."""
    lab.settings["LAB_LOG_WRITE"] = "buffered"
    kills = tier(4, 200)
    rng = np.random.default_rng(4)
    last: set[str] = set()  # the last acknowledged before each kill: one for each client and one more group
    lab.start()
    with Load(lab.port, payments(), clients=CLIENTS, attempts=10_000) as load:
        for _ in range(kills):
            load.wait_for(int(rng.integers(100, 400)))
            os.kill(lab.pid, signal.SIGKILL)
            assert lab.end() == -9
            last |= set(list(load.acknowledged)[-CLIENTS - BUFFERED :])
            lab.start()
        load.stop()
    lab.terminate()
    counts = faults(lab.log, load.acknowledged)
    lost = load.acknowledged.keys() - StoredAnswers(lab.log).ids
    counts |= {"lost": len(lost - last), "unanswered": load.failures}
    scoreboard.record(
        promise=3,
        name="LAB_LOG_WRITE=buffered: a kill loses the last moment's answers, and no others",
        n=kills,
        failures=sum(counts.values()),
        figure=f"{len(load.acknowledged):,} acknowledged, {len(lost)} of the last {CLIENTS + BUFFERED} before a kill lost{told(counts)}",
        passed=not any(counts.values()),
    )


def send_again(lab: Lab, acknowledged: dict[str, bytes]) -> dict[str, int]:
    """The same payments again get the same bytes; other payments under their ids are refused."""
    numbers = [int(key.removeprefix("tx_")) for key in list(acknowledged)[-SENT_AGAIN:]]
    with Load(lab.port, map(payment, numbers)) as same:
        pass
    with Load(lab.port, (payment(number, amount_minor=7) for number in numbers)) as other:
        pass
    assert len(same.answers) == len(other.answers) == len(numbers) > 0
    return {
        "answered otherwise": sum(answer.body != acknowledged[key] for key, answer in same.answers.items()),
        "conflicts taken": sum(answer.status != 422 or b'"idempotency_conflict"' not in answer.body for answer in other.answers.values()),
    }
