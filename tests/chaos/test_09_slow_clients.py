"""Promise 9: whoever sends too slowly or too much is shut out on a deadline, and nobody else notices."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from labs.endpoint.bodies import Body, parsed, send
from tests.chaos.load import payment
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab
from tests.chaos.slow_clients import KINDS, crowd

DEADLINE_S = 10.0  # for a whole request; services/scoring/edge.py
GRACE_S = 2.0  # to notice it, on a busy machine
MOST_SLOWDOWN = 1.2  # of a well-behaved caller's p99
WARM_UP = 300


@pytest.fixture
def quiet(lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    """A second service like the first, which nobody bothers: what the machine does to one, it does to both."""
    with Lab(tmp_path / "quiet", lab.registry, key_folder=(lab.home / "keys").resolve()) as other:
        yield other


@pytest.mark.alone
def test_slow_senders_are_shut_out_and_others_do_not_notice(
    lab: Lab, quiet: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int]
) -> None:
    lab.start()
    quiet.start()
    n = tier(70, 700)
    with Caller(lab.port) as beside, Caller(quiet.port) as alone:
        for caller in (beside, alone):
            caller.ask(WARM_UP)
            caller.seconds.clear()
        with crowd(lab.port, n) as slow:
            end = time.monotonic() + DEADLINE_S + GRACE_S
            while time.monotonic() < end:  # one here, one there: a busy moment of the machine meets both
                beside.ask(1)
                alone.ask(1)
    held = [client for client in slow.clients if client.open_s is None or client.open_s > DEADLINE_S + GRACE_S]
    kinds = Counter(client.kind for client in slow.clients)
    assert len(slow.clients) == n and set(kinds) == set(KINDS)
    dripped = [client for client in slow.clients if client.drips]
    assert all(client.sent >= 2 for client in dripped), "they did not send slowly"
    early = [client for client in dripped if client.open_s is not None and client.open_s < DEADLINE_S / 3]
    slowdown = beside.p99() / alone.p99()
    wrong = Counter(client.kind for client in held) + Counter(f"{client.kind}, too early" for client in early)
    scoreboard.record(
        promise=9,
        name="slow senders are shut out, others do not notice",
        n=n,
        failures=wrong.total(),
        figure=f"p99 x{slowdown:.2f} over {len(alone.seconds):,} pairs; held too long: {dict(wrong) or 'none'}",
        passed=not wrong and slowdown <= MOST_SLOWDOWN,
    )


HEADS = {
    "10,000 headers": tuple(f"X-Secret-{i}: {i}" for i in range(10_000)),
    "a header of 8 MB": ("X-Secret: " + "x" * 2**23,),
    "a header name of 1 MB": ("X" * 2**20 + ": secret",),
    "a cookie of 1 MB": ("Cookie: secret=" + "x" * 2**20,),
}


def test_greedy_heads_are_refused(lab: Lab, scoreboard: Scoreboard) -> None:
    lab.start()
    before = psutil.Process(lab.pid).memory_info().rss
    wrong = []
    good = payment(1).body
    usual = ("Content-Type: application/json", f"Content-Length: {len(good)}")
    heads = [(name, "/v1/score", headers) for name, headers in HEADS.items()] + [("a query of 1 MB", "/v1/score?" + "x" * 2**20, ())]
    for name, path, headers in heads * 4:
        began = time.monotonic()
        answer = send(lab.port, path, Body(name, (*usual, *headers), good, good, 431, in_list=False))
        if answer.status != 431 or answer.headers.get("content-type") != "application/json":
            wrong.append(f"{name}: status {answer.status} {answer.headers.get('content-type')}")
        if time.monotonic() - began > DEADLINE_S:
            wrong.append(f"{name}: took {time.monotonic() - began:.1f} s")
    grown = (psutil.Process(lab.pid).memory_info().rss - before) / 2**20
    scoreboard.record(
        promise=9,
        name="greedy heads are refused",
        n=len(heads) * 4,
        failures=len(wrong),
        figure=f"memory +{grown:.0f} MB; {wrong[0] if wrong else 'all 4xx in the envelope'}",
        passed=not wrong and grown <= 20,
    )


class Caller:
    """A well-behaved client on one kept connection; notes how long each answer took."""

    def __init__(self, port: int) -> None:
        self.seconds: list[float] = []
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = 0

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, times: int) -> None:
        """Score so many payments, one after the other."""
        for _ in range(times):
            self._number += 1
            body = payment(self._number).body
            head = b"POST /v1/score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            began = time.perf_counter()
            self._connection.sendall(head + body)
            received = b""
            while (answer := parsed(received)) is None:
                received += self._connection.recv(2**16)
            self.seconds.append(time.perf_counter() - began)
            assert answer.status == 200, answer

    def p99(self) -> float:
        """Seconds."""
        return float(np.percentile(self.seconds, 99))
