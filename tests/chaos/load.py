"""Clients that send payments over kept-alive connections, and the ledger of what they were answered.

Raw streams rather than a client library: a library would retry, pool and pause on its own, and cost more than the service.
"""

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import uvloop

from tests.chaos.service import wait_until
from tests.records import START, transaction

CARDS = 997  # how many cards the payments are spread over; a prime, so that no other cycle falls together with it
LIMIT_S = 15.0  # for one attempt
PAUSE_S = 0.02  # between two attempts


class Payment(NamedTuple):
    """One request to /v1/score."""

    transaction_id: str
    body: bytes


class Answer(NamedTuple):
    """What a client got for one payment, in the end."""

    status: int
    body: bytes
    seconds: float  # from the first attempt to this answer
    attempts: int

    @property
    def acknowledged(self) -> bool:
        return self.status == 200


def payment(number: int, **changes: Any) -> Payment:
    """The payment number `number`, seven seconds after the one before it, of one of CARDS cards."""
    facts: dict[str, Any] = {"card_id": f"card_{number % CARDS}", "event_time": START + timedelta(seconds=7 * number)}
    if number % 3 != 2:  # not online
        facts["latitude"] = 45.0 + number % 5_000 / 1_000
    message = transaction(number, **(facts | changes))
    return Payment(message.transaction_id, message.model_dump_json().encode())


def payments(first: int = 0, end: int | None = None) -> Iterator[Payment]:
    """The payments from number `first` on, without end when `end` is None."""
    return map(payment, count(first) if end is None else range(first, end))


class Load:
    """Sends payments from a thread of its own until they are spent, or until `stop`.

    Each of `clients` sends its next payment when its last one was answered. An attempt that is not answered with 200
    or a 4xx is made again with the same id and body, up to `attempts` in all.

        with Load(port, payments(0, 5_000)) as load:
            ...                      # harm the service
        load.answers["tx_000017"]    # the block waits for the last answer
    """

    def __init__(self, port: int, sends: Iterable[Payment], *, clients: int = 8, attempts: int = 1) -> None:
        self.answers: dict[str, Answer] = {}  # by transaction id
        self.unanswered: dict[str, str] = {}  # id -> why the last attempt broke
        self.broken = 0  # attempts without an answer: refused, reset, or too late
        self.refused = 0  # attempts answered 5xx
        self._port = port
        self._sends = iter(sends)
        self._clients = clients
        self._attempts = attempts
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.stop()
        self._thread.join()
        if kind is None and self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """No new payments; those under way are answered."""
        self._stop.set()

    def wait_for(self, answers: int) -> None:
        """Until so many more payments were answered than now."""
        goal = len(self.answers) + answers
        wait_until(lambda: len(self.answers) >= goal or not self.running, f"{answers} more answers")
        assert len(self.answers) >= goal, "the payments ran out"

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def acknowledged(self) -> dict[str, bytes]:
        """The ledger: id -> answer, of every payment that was answered with 200."""
        return {key: answer.body for key, answer in self.answers.copy().items() if answer.acknowledged}

    @property
    def failures(self) -> int:
        """Payments that were not answered with 200 in the end."""
        return len(self.unanswered) + sum(not answer.acknowledged for answer in self.answers.copy().values())

    def percentile_ms(self, percent: float = 99.0) -> float:
        """Of the time to answer, milliseconds."""
        return float(np.percentile([answer.seconds for answer in self.answers.copy().values()], percent)) * 1e3

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._all())
        except BaseException as error:  # belongs to the test's own thread
            self._failure = error

    async def _all(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self._clients)))

    async def _client(self) -> None:
        connection = Connection(self._port)
        try:
            for each in self._sends:
                await self._send(connection, each)
                if self._stop.is_set():
                    return
        finally:
            await connection.close()

    async def _send(self, connection: "Connection", each: Payment) -> None:
        began = time.perf_counter()
        for attempt in range(1, self._attempts + 1):
            if attempt > 1:
                await asyncio.sleep(PAUSE_S)
            try:
                status, body = await connection.post("/v1/score", each.body)
            except (OSError, EOFError, TimeoutError) as error:
                self.broken += 1
                if attempt == self._attempts:
                    self.unanswered[each.transaction_id] = type(error).__name__
                continue
            if status >= 500:
                self.refused += 1
            if status < 500 or attempt == self._attempts:
                self.answers[each.transaction_id] = Answer(status, body, time.perf_counter() - began, attempt)
                return


class Connection:
    """One kept-alive connection, opened when needed and again after a failure."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError, EOFError, TimeoutError; the connection is then dropped."""
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._exchange(path, body)
        except (OSError, EOFError, TimeoutError):
            await self.close()
            raise

    async def close(self) -> None:
        if self._streams is not None:
            (_, writer), self._streams = self._streams, None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines if line)
        content = await reader.readexactly(int(headers[b"content-length"]))
        if headers.get(b"connection") == b"close":
            await self.close()
        return int(status_line.split(b" ")[1]), content
