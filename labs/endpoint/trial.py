"""The trials themselves: what is wrong with an answer to a hostile body, and whether every answer under load is one model's.

Pure but for the requests that they send. Each returns what it found; what that means is for the caller to say.
"""

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from data.schema import Transaction
from labs.endpoint.bodies import Answer, Body, corpus, in_batch, send
from labs.endpoint.process import Client, Reply, ServiceProcess

ONE: Final = "/predict"
MANY: Final = "/predict/batch"
VERSION: Final = "x-model-version"
LIMIT_S: Final = 2.0  # for the answer to a hostile body
_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{6,}")
_TOO_LARGE: Final = 413


class Fault(NamedTuple):
    """A hostile body that was not refused as it should be."""

    path: str
    body: Body
    answer: Answer
    kind: str  # accepted, silent, failed, status, not_json, echo
    said: str  # in words


def hostile_bodies() -> list[tuple[str, Body]]:
    """Where each goes. What is no HTTP at all is the server's to refuse, and stays out."""
    bodies = [body for body in corpus() if body.status != 400]
    return [(ONE, body) for body in bodies] + [(MANY, in_batch(body)) for body in bodies if body.in_list]


def hostile_faults(service: ServiceProcess, bodies: Iterable[tuple[str, Body]]) -> Iterator[Fault]:
    """Each fault as it is found. Words of the service's own file are no echo."""
    known = words(service.file.read_bytes()) | words(json.dumps(Transaction.model_json_schema()).encode())
    for path, body in bodies:
        answer = send(service.port, path, body, limit_s=LIMIT_S)
        if (found := fault_of(body, answer, known)) is not None:
            yield Fault(path, body, answer, *found)


def fault_of(body: Body, answer: Answer, known: set[str]) -> tuple[str, str] | None:
    """Kind and words of what is wrong with an answer to a hostile body; `known`: words that are no echo."""
    if answer.status == 0:
        return "silent", f"got no answer within {LIMIT_S:.0f} s"
    if answer.status < 400:
        return "accepted", f"was answered with {answer.status}"
    if answer.status >= 500:
        return "failed", f"was answered with {answer.status}, as if the service were at fault"
    if body.status == _TOO_LARGE and answer.status != _TOO_LARGE:
        return "status", f"was answered with {answer.status}, after all of it was read"
    if not isinstance(_json(answer.content), dict):
        return "not_json", f"was refused with {answer.status}, and not in JSON"
    if echoed := (words(body.content) & words(answer.content)) - known:
        return "echo", f"comes back in the answer ({', '.join(sorted(echoed))[:60]})"
    return None


def words(content: bytes) -> set[str]:
    """Runs of six and more characters that a token, a number or a name is made of."""
    return set(_WORD.findall(content[: 2**16].decode("utf-8", "replace")))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


class Load:
    """Sends payments from threads of its own, each thread its own list in order, until they are spent or the block ends.

    with Load(port, lists) as load:
        ...                      # harm the service
    load.replies                 # to the first payments of each list, in its order
    """

    def __init__(self, port: int, lists: Sequence[Sequence[dict[str, Any]]], pause_s: float = 0.01) -> None:
        """`pause_s`: between an answer and the next payment of its thread."""
        self.replies: list[list[Reply]] = [[] for _ in lists]
        self._port, self._pause_s = port, pause_s
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=pair) for pair in zip(lists, self.replies, strict=True)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, seconds: float) -> None:
        """Let it run for so long."""
        self._ended.wait(seconds)

    def saw(self, version: str, limit_s: float) -> float | None:
        """Seconds until an answer names this version; None when none does within the limit."""
        seen, began = [len(replies) for replies in self.replies], time.monotonic()
        while (passed := time.monotonic() - began) < limit_s:
            new = [reply for replies, start in zip(self.replies, seen, strict=True) for reply in replies[start:]]
            if any(reply.headers.get(VERSION) == version for reply in new):
                return passed
            self.go_on(0.02)
        return None

    def _send(self, payments: Sequence[dict[str, Any]], replies: list[Reply]) -> None:
        with Client(self._port) as client:
            for payment in payments:
                replies.append(client.post(ONE, payment))
                if self._ended.wait(self._pause_s):
                    return
