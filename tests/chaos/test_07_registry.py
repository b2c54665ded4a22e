"""Promise 7: without its registry the service answers as before, and starts from its last good copy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.load import Load, payments
from tests.chaos.registry import SilentPort
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab, wait_until
from tests.chaos.timing import slowdown

SLOWER = 1.1
READY_S = 5.0
Outage = Callable[[Lab], Iterator[None]]


def refused(lab: Lab) -> Iterator[None]:
    """Nobody listens on the registry's port."""
    lab.registry.stop()
    wait_until(lambda: "ConnectError" in problem(lab), "a poll was refused", poll_s=0.05)
    yield


def black_holed(lab: Lab) -> Iterator[None]:
    """The registry's port takes connections and never answers."""
    lab.registry.stop()
    with SilentPort(lab.registry.port) as silent:
        wait_until(lambda: "Timeout" in problem(lab), "a poll was left waiting", poll_s=0.05)
        yield
        assert silent.connections > 0, "nobody tried the registry"


@pytest.mark.alone
@pytest.mark.parametrize(("outage", "name"), [(refused, "refused"), (black_holed, "black-holed")])
def test_without_the_registry_it_answers_as_before(
    lab: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int], outage: Outage, name: str
) -> None:
    rounds, requests = tier(5, 25), tier(1_000, 24_000)  # with and without the registry in turn
    lab.settings = {"LAB_REGISTRY_POLL_S": "0.25", "LAB_HTTP_TIMEOUT_S": "0.5"}
    lab.start()
    up: list[float] = []
    down: list[float] = []
    first = failures = sent = 0
    for _ in range(rounds):
        for broken in (False, True):
            with during(outage if broken else none, lab), Load(lab.port, payments(first, first + requests), clients=4) as load:
                pass
            (down if broken else up).append(load.percentile_ms())
            failures += load.failures
            sent += len(load.answers) if broken else 0
            first += requests
    lab.kill()
    with during(cold, lab) if outage is refused else SilentPort(lab.registry.port):
        seconds = lab.start()
        ready = lab.http.get("/ready").json()
    unclear = int(ready["source"] != "last_good" or ready["version"] != "1" or not ready["age_s"] > 0)
    slower = slowdown(down, up)
    scoreboard.record(
        promise=7,
        name=f"with the registry {name} it answers as before, and starts",
        n=sent,
        failures=failures + unclear,
        figure=f"p99 {slower}, cold start ready after {seconds:.1f} s",
        passed=failures + unclear == 0 and slower.at_least <= SLOWER and seconds <= READY_S,
    )


def none(lab: Lab) -> Iterator[None]:
    lab.registry.start()
    wait_until(lambda: problem(lab) == "", "the registry is heard", poll_s=0.05)
    yield


def cold(lab: Lab) -> Iterator[None]:
    lab.registry.stop()
    yield


@contextmanager
def during(outage: Outage, lab: Lab) -> Iterator[None]:
    yield from outage(lab)


def problem(lab: Lab) -> str:
    """What the service says of its last look at the registry; empty when it went well."""
    return str(lab.serving()["registry_problem"] or "")
