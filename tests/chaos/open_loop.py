"""An open-loop load: payments leave at fixed times, whether or not the service keeps up. A process of its own, started by `attack`.

A caller in a closed loop waits for its answer and so slows down with the service, which hides an overload. Here nothing
waits: a payment takes a free connection or a new one. Only when all are taken does one leave late, and `late` counts it;
while that is zero, the time from sending to answer is the whole time a caller waited.

    python -m tests.chaos.open_loop <port> <rate per s> <seconds> <first number>
"""

import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from data.settings import REPOSITORY
from tests.chaos.load import CARDS
from tests.records import START

MOST_CONNECTIONS = 1_000  # of one process
DRAIN_S = 5.0  # for the answers still under way at the end
_PROCESS_RATE = 6_000  # payments per second that one of these processes can send and hear about


@dataclass(frozen=True)
class Outcome:
    """What came of a load."""

    offered: float  # payments sent per second
    statuses: dict[int, int]
    unanswered: int
    late: int  # payments that found every connection taken
    rejected_without_retry: int  # 429 and 503 that do not say when to come back
    admitted_per_s: float
    admitted_p99_ms: float
    rejected_p99_ms: float  # 0 when nothing was rejected


def attack(port: int, *, rate: float, seconds: float, first: int) -> Outcome:
    """Offer `rate` payments per second, numbered from `first`, from as many processes as that takes; returns when all is answered."""
    many = max(1, round(rate / _PROCESS_RATE))
    command = [sys.executable, "-m", "tests.chaos.open_loop", str(port), str(rate / many), str(seconds)]
    running = [subprocess.Popen([*command, str(first + 10**8 * i)], cwd=REPOSITORY, stdout=subprocess.PIPE) for i in range(many)]
    reports: list[dict[str, Any]] = [json.loads(process.communicate()[0]) for process in running]
    statuses: Counter[int] = Counter()
    for report in reports:
        statuses.update({int(status): count for status, count in report["statuses"].items()})
    admitted = np.concatenate([report["admitted_s"] for report in reports])
    rejected = np.concatenate([report["rejected_s"] for report in reports])
    return Outcome(
        offered=sum(report["sent"] for report in reports) / seconds,
        statuses=dict(statuses),
        unanswered=sum(report["unanswered"] for report in reports),
        late=sum(report["late"] for report in reports),
        rejected_without_retry=sum(report["without_retry"] for report in reports),
        admitted_per_s=sum(report["admitted_in_time"] for report in reports) / seconds,
        admitted_p99_ms=_p99_ms(admitted),
        rejected_p99_ms=_p99_ms(rejected),
    )


def _p99_ms(seconds: Any) -> float:
    return float(np.percentile(seconds, 99)) * 1e3 if len(seconds) else 0.0


class _Sender:
    """One process's share of the load, on one thread and as few calls per payment as there can be."""

    def __init__(self, port: int, first: int) -> None:
        self._address = ("127.0.0.1", port)
        self._number = first
        self._sockets: dict[int, socket.socket] = {}
        self._free: list[int] = []
        self._waiting: dict[int, tuple[float, bytes]] = {}  # descriptor -> when its payment left, what has come back
        self._poll = select.epoll()
        self.sent = self.late = self.without_retry = self.admitted_in_time = 0
        self.statuses: Counter[int] = Counter()
        self.admitted_s: list[float] = []
        self.rejected_s: list[float] = []

    def run(self, rate: float, seconds: float) -> None:
        began = time.perf_counter()
        due = 0
        while (now := time.perf_counter() - began) < seconds + DRAIN_S:
            target = int(min(now, seconds) * rate)
            while due < target and self._send():
                due += 1
            self.late += due < target
            if now >= seconds and due >= target and not self._waiting:
                break
            self._listen(end=began + seconds)

    def report(self) -> dict[str, Any]:
        facts = {"sent": self.sent, "statuses": self.statuses, "unanswered": len(self._waiting), "late": self.late}
        return facts | {
            "without_retry": self.without_retry,
            "admitted_in_time": self.admitted_in_time,
            "admitted_s": self.admitted_s,
            "rejected_s": self.rejected_s,
        }

    def _send(self) -> bool:
        """Send the next payment; False when every connection waits."""
        if self._free:
            fd = self._free.pop()
        elif len(self._sockets) < MOST_CONNECTIONS:
            fd = self._connect()
        else:
            return False
        request, when = self._request(), time.perf_counter()
        try:
            self._sockets[fd].send(request)
        except OSError:  # closed since its last answer
            self._forget(fd)
            return True
        self._waiting[fd] = (when, b"")
        self.sent += 1
        return True

    def _connect(self) -> int:
        connection = socket.create_connection(self._address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fd = connection.fileno()
        self._sockets[fd] = connection
        self._poll.register(fd, select.EPOLLIN)
        return fd

    def _request(self) -> bytes:
        self._number += 1
        n = self._number
        moment = (START + timedelta(seconds=n % 10**7)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = b'{"transaction_id":"o%d","event_time":"%s","card_id":"card_%d","terminal_id":"t_%d","amount_minor":%d}' % (
            n, moment.encode(), n % CARDS, n % 101, 100 + n % 9_999,
        )  # fmt: skip
        return (
            b"POST /v1/score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )

    def _listen(self, end: float) -> None:
        for fd, _ in self._poll.poll(0.0005):
            try:
                piece = self._sockets[fd].recv(2**14)
            except ConnectionError:
                piece = b""
            if not piece:
                self._forget(fd)
            elif fd in self._waiting:
                when, before = self._waiting[fd]
                self._heard(fd, when, before + piece, end)

    def _heard(self, fd: int, when: float, received: bytes, end: float) -> None:
        head, found, content = received.partition(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"content-length: ")
        if not found or len(content) < int(lower[at + 16 :].split(b"\r\n", 1)[0]):
            self._waiting[fd] = (when, received)
            return
        now = time.perf_counter()
        del self._waiting[fd]
        self._free.append(fd)
        status = int(head[9:12])
        self.statuses[status] += 1
        if status == 200:
            self.admitted_s.append(now - when)
            self.admitted_in_time += now <= end
        else:
            self.rejected_s.append(now - when)
            self.without_retry += b"\r\nretry-after: " not in lower

    def _forget(self, fd: int) -> None:
        if self._waiting.pop(fd, None) is not None:
            self.statuses[0] += 1
        if fd in self._free:
            self._free.remove(fd)
        self._sockets.pop(fd).close()


if __name__ == "__main__":
    sender = _Sender(int(sys.argv[1]), int(sys.argv[4]))
    sender.run(float(sys.argv[2]), float(sys.argv[3]))
    json.dump(sender.report(), sys.stdout)
