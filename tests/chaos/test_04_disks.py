"""Promise 4: a disk that fails or fills costs answers, never an acknowledged one, and no restart when it is well again."""

import errno
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from data.serving_plan import ServingPlan
from tests.chaos.load import Load, payment, payments
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import SCORING, Lab, wait_until
from tests.chaos.stored import faults, told
from tests.chaos.syscalls import LOG_WRITES, SENDS, SYNCS, Call, Syscalls, fail, go_on

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to fail a system call")

WELL_AGAIN_S = 5.0
SMALL_FILE_BYTES = 32 * 1024
PROBES = 2_000_000  # payments that the load does not send, one for each outage
ANY_WRITES = (*LOG_WRITES, *SENDS)
Fault = Callable[[Lab, Syscalls], Iterator[None]]


def failing_sync(_: Lab, calls: Syscalls) -> Iterator[None]:
    """The disk reports an I/O error for every sync of the log."""
    before = calls.failed
    calls.rule = fail(errno.EIO, SYNCS, of="predictions.db")
    yield
    calls.rule = go_on
    assert calls.failed > before, "no sync was failed"


def full_disk(lab: Lab, calls: Syscalls) -> Iterator[None]:
    """There is no space left for any file of the lab's home, and another champion is named meanwhile: its copy finds none either."""
    refused: Counter[str] = Counter()

    def no_write(call: Call) -> int:
        if call.name not in ANY_WRITES or not call.file.startswith(str(lab.home)):
            return 0
        refused["log" if "predictions.db" in call.file else "others"] += 1
        return errno.ENOSPC

    epoch = lab.serving()["plan"]["epoch"] + 1
    calls.rule = no_write
    lab.registry.set_plan(ServingPlan(epoch, str(epoch % 3 + 1)))
    yield
    calls.rule = go_on
    assert refused["log"] and refused["others"], f"not every kind of write was failed: {refused}"
    wait_until(lambda: lab.follows(epoch), "the plan of the outage is followed", limit_s=WELL_AGAIN_S)


def small_files(lab: Lab, _: Syscalls) -> Iterator[None]:
    """No file may grow beyond a size that the log already has: a quota, as far as SQLite can see.

    When SQLite begins its write-ahead log anew, the first few commits fit below the limit, and are as good as any.
    """
    soft, hard = resource.prlimit(lab.pid, resource.RLIMIT_FSIZE)
    assert lab.log.with_name("predictions.db-wal").stat().st_size > SMALL_FILE_BYTES, "the limit would not be felt"
    resource.prlimit(lab.pid, resource.RLIMIT_FSIZE, (SMALL_FILE_BYTES, hard))
    yield
    resource.prlimit(lab.pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (failing_sync, "a failed sync is refused, nothing acknowledged is lost"),
        (full_disk, "a full disk is refused, nothing acknowledged is lost"),
        (small_files, "a file size limit is refused, nothing acknowledged is lost"),
    ],
)
def test_a_bad_disk_costs_answers_but_none_that_was_given(
    lab: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int], fault: Fault, name: str
) -> None:
    outages = tier(3, 50)
    refusals = unclear = given = 0
    slowest = 0.0
    with Syscalls(*SYNCS, *ANY_WRITES) as calls:
        lab.start(calls.command(SCORING), pass_fds=calls.pass_fds)
        process = lab.pid
        with Load(lab.port, payments()) as load:
            for probe in range(PROBES, PROBES + outages):
                load.wait_for(150)
                with outage(fault, lab, calls):
                    wait_until(lambda probe=probe: answer(lab, probe).status_code == 503, "a refusal", limit_s=10)  # type: ignore[misc]
                    before = len(load.acknowledged)  # commits that began before the outage have ended: requests are taken in turn
                    load.wait_for(100)
                    given += 0 if fault is small_files else len(load.acknowledged) - before
                    unclear += unclear_refusals(lab, probe)
                ended = time.monotonic()
                wait_until(lambda probe=probe: answer(lab, probe).status_code == 200, "answers again")  # type: ignore[misc]
                slowest = max(slowest, time.monotonic() - ended)
            load.stop()
        assert lab.pid == process and lab.is_running(), "it was restarted"
        refused = {key: each for key, each in load.answers.items() if not each.acknowledged}
        refusals = len(refused)
        unclear += sum(each.status != 503 or b'"log_unavailable"' not in each.body for each in refused.values())
        with Load(lab.port, (payment(int(key.removeprefix("tx_"))) for key in refused)) as second:
            pass
        lab.kill()
    assert refusals >= 100 * outages, "the outages were not felt"
    acknowledged = load.acknowledged | second.acknowledged
    counts = {"unanswered": len(load.unanswered), "refused again": second.failures, "given in an outage": given, "unclear": unclear}
    counts |= faults(lab.log, acknowledged)
    scoreboard.record(
        promise=4,
        name=name,
        n=len(acknowledged),
        failures=sum(counts.values()),
        figure=f"{refusals:,} refused with 503, serving {slowest:.2f} s after{told(counts)}",
        passed=not any(counts.values()) and slowest <= WELL_AGAIN_S,
    )


def test_without_a_log_it_answers_only_where_somebody_chose_so(lab: Lab, scoreboard: Scoreboard) -> None:
    lab.settings["LAB_LOG_FAILURE"] = "open"
    with Syscalls(*SYNCS) as calls:
        lab.start(calls.command(SCORING), pass_fds=calls.pass_fds)
        calls.rule = fail(errno.EIO, SYNCS, of="predictions.db")
        statuses = [answer(lab, number).status_code for number in range(PROBES, PROBES + 20)]
        assert calls.failed > 0, "no sync was failed"
        calls.rule = go_on
        lab.kill()
    refused = sum(status != httpx.codes.OK for status in statuses)
    scoreboard.record(
        promise=4,
        name="LAB_LOG_FAILURE=open answers without a log",
        n=len(statuses),
        failures=refused,
        figure="closed by default",
        passed=refused == 0,
    )


@contextmanager
def outage(fault: Fault, lab: Lab, calls: Syscalls) -> Iterator[None]:
    yield from fault(lab, calls)


def answer(lab: Lab, number: int) -> httpx.Response:
    """To one payment."""
    return lab.http.post("/v1/score", content=payment(number).body, headers={"content-type": "application/json"})


def unclear_refusals(lab: Lab, number: int) -> int:
    """1 unless a caller is told when to come back, an orchestrator that it is alive, and a load balancer that it is not ready."""
    refusal = answer(lab, number)
    clear = refusal.status_code == 503 and "retry-after" in refusal.headers
    return int(not (clear and lab.http.get("/live").status_code == 200 and lab.http.get("/ready").status_code == 503))
