"""Promise 2: the service is replaced under load, and a client that sends again once notices nothing but a pause."""

import os
from collections.abc import Callable

import psutil

from data.settings import Settings
from services.programs import programs
from services.supervisor import Supervisor
from tests.chaos.load import Load, payments
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab, wait_until
from tests.chaos.stored import faults, told

NAMES = ("scoring",)


def test_rolling_restarts_are_not_seen_by_a_client_that_retries_once(
    lab: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int]
) -> None:
    restarts = tier(3, 10)
    settings = Settings(home=lab.home, scoring_port=lab.port, mlflow_port=lab.registry.port, registry_poll_s=0.02)
    supervisor = Supervisor(settings, catalogue={"scoring": programs(settings)["scoring"]})
    pids: set[int | None] = set()
    try:
        supervisor.start(NAMES)
        wait_until(lab.is_ready, "the service is ready")
        with Load(lab.port, payments(), clients=20, attempts=2) as load:
            for _ in range(restarts):
                load.wait_for(300)
                pids.add(scoring_pid(supervisor))
                restart(supervisor)
            wait_until(lab.is_ready, "the service is ready")
            load.wait_for(300)
            pids.add(scoring_pid(supervisor))
            load.stop()
    finally:
        supervisor.stop(NAMES)
    assert len(pids) == restarts + 1, "it was not replaced each time"
    counts = {"failed": load.failures} | faults(lab.log, load.acknowledged)
    longest = max(answer.seconds for answer in load.answers.values())
    scoreboard.record(
        promise=2,
        name=f"{restarts} rolling restarts are not seen by a client that retries once",
        n=len(load.answers) + len(load.unanswered),
        failures=sum(counts.values()),
        figure=f"{load.broken} first attempts broke, longest pause {longest:.1f} s{told(counts)}",
        passed=not any(counts.values()),
    )


def restart(supervisor: Supervisor) -> None:
    before = scoring_pid(supervisor)
    supervisor.replace("scoring")
    wait_until(lambda: scoring_pid(supervisor) not in (None, before), "another process")


def scoring_pid(supervisor: Supervisor) -> int | None:
    """The process that answers, which need not be the one that was started."""
    (status,) = supervisor.status()
    assert status.pid is not None and status.pid != os.getpid()
    tree = [psutil.Process(status.pid), *psutil.Process(status.pid).children(recursive=True)]
    return next((process.pid for process in tree if process.cmdline()[1:3] == ["-m", "services.scoring"]), None)
