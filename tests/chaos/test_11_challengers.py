"""Promise 11: whatever a challenger does wrong, its payments are answered, and it is taken out with a reason."""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from data.serving_plan import ServingPlan
from pipelines.rollout.evidence import trouble_of
from tests.chaos.challengers import HUGE_AMOUNT_MINOR, not_a_number, other_columns, slow
from tests.chaos.load import Load, Payment, payment
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import SCORING, Lab, wait_until
from tests.chaos.stored import StoredAnswers, faults, told
from tests.chaos.wraps import FAULTY_VERSION, wrapped

HUGE_EVERY = 50
AFTERWARDS = 300  # answers that show that life goes on
LIMIT_S = 30.0  # promised; it is loaded after a trial in a child process that gives way to everything else


def raising(folder: Path, key_folder: Path) -> None:
    """Healthy as a file; the process that scores with it is not."""
    healthy = Path(key_folder).parent / "3"
    shutil.copytree(healthy, folder)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("make", "command", "reason", "name"),
    [
        (raising, wrapped("challenger-raises"), "RuntimeError", "that raises"),
        (not_a_number, SCORING, "not a number", "that gives NaN"),
        (slow, SCORING, "slow", "ten times slower"),
        (other_columns, SCORING, "features", "on other columns"),
    ],
)
def test_a_bad_challenger_hurts_nobody(
    lab: Lab,
    scoreboard: Scoreboard,
    tmp_path: Path,
    make: Callable[[Path, Path], None],
    command: Sequence[str],
    reason: str,
    name: str,
) -> None:
    make(tmp_path / "bad", (lab.home / "keys").resolve())
    lab.registry.add_version(FAULTY_VERSION, tmp_path / "bad")
    lab.start(command)
    huge_from_now_on = threading.Event()
    with Load(lab.port, some_of_them_huge(huge_from_now_on)) as load:
        load.wait_for(50)
        lab.registry.set_plan(ServingPlan(1, "1", FAULTY_VERSION, "canary", 0.5, "r1"))
        if make is not_a_number:
            wait_until(lambda: answers_of(load, FAULTY_VERSION) > 0, "it answers what it can")
            huge_from_now_on.set()
        with suppress(AssertionError):  # then it is counted, below
            wait_until(lambda: is_out(lab), "it is taken out", limit_s=LIMIT_S)
        why = trouble_of(lab.serving(), FAULTY_VERSION)  # what the rollout's judge reads, and the ledger then holds
        load.wait_for(AFTERWARDS)
        load.stop()
    lab.kill()
    frame = StoredAnswers(lab.log).frame
    tried = int((frame["model_version"] == FAULTY_VERSION).sum())
    refused_at_the_door = make is other_columns
    assert (tried == 0) == refused_at_the_door, f"the challenger answered {tried} payments"
    counts = {"failed": load.failures, "without a reason": int(reason not in why)} | faults(lab.log, load.acknowledged)
    if make is not_a_number:
        huge = frame[frame["amount_minor"] == HUGE_AMOUNT_MINOR]
        assert len(huge) > 0, "no payment that it fails on was sent"
        counts["not by the champion"] = int((huge["model_version"] != "1").sum())
    scoreboard.record(
        promise=11,
        name=f"a challenger {name} hurts nobody",
        n=len(load.answers),
        failures=sum(counts.values()),
        figure=(f"out after {tried} answers of its own: {why.split(':')[0]}" if why else "not taken out") + told(counts),
        passed=not any(counts.values()),
    )


def some_of_them_huge(from_now_on: threading.Event) -> Iterator[Payment]:
    for number in count():
        huge = from_now_on.is_set() and number % HUGE_EVERY == 0
        yield payment(number, **({"amount_minor": HUGE_AMOUNT_MINOR} if huge else {}))


def answers_of(load: Load, version: str) -> int:
    return sum(f'"model_version":"{version}"'.encode() in body for body in load.acknowledged.values())


def is_out(lab: Lab) -> bool:
    return trouble_of(lab.serving(), FAULTY_VERSION) != ""
