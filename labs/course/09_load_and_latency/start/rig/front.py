"""The front: one address before several scoring services. shedding.py says whom it lets in, routing.py whom it asks.

    python rig/front.py PORT SHEDDING ROUTING URL [URL ...]      (the two files; "-": everybody is let in, and the first replica asked)

The plumbing of an HTTP proxy and nothing else; read it, leave it as it is. A replica is asked AT_ONCE requests at a time, and the
others wait in line here: a scoring service refuses what it cannot begin within 4 ms. `alive` are the replicas that nobody
found dead at the last probe, twice a second, as a load balancer has it: one that died is among them for a while.
"""

import asyncio
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

AT_ONCE = 2
PROBE_EVERY_S = 0.5
CARD = re.compile(rb'"card_id": ?"([^"]*)"')
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n"


class Replica:
    """One scoring service, and the idle connections to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = urlsplit(url)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and bytes of its answer, when it is this request's turn. Raises OSError or EOFError when there is none."""
        async with self._turn:
            return await self._ask(request)

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        self._idle = [(reader, writer) for reader, writer in self._idle if not reader.at_eof()]  # the replica may have closed some
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._address.hostname, self._address.port)
        try:
            writer.write(request)
            head, body = await read_message(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return int(head[9:12]), head + body

    async def probe(self) -> bool:
        """Whether it lives. A slow one does: to take it out would make the others slow, too."""
        try:
            await asyncio.wait_for(self._ask(b"GET /live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"), PROBE_EVERY_S)
        except TimeoutError:
            return True
        except (OSError, EOFError):
            return False
        return True


class Front:
    """What all connections share."""

    def __init__(self, replicas: Sequence[Replica], shedding: Any, routing: Any) -> None:
        self.replicas = {replica.url: replica for replica in replicas}
        self.alive = list(self.replicas)
        self.shedding, self.routing = shedding, routing
        self.waiting = 0

    async def probe(self) -> None:
        while True:
            self.alive = [url for url, replica in self.replicas.items() if await replica.probe()]
            await asyncio.sleep(PROBE_EVERY_S)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests, one after the other."""
        try:
            while True:
                head, body = await read_message(reader)
                writer.write(await self.answer(head, body))
        except (OSError, EOFError):
            pass  # the caller has left
        finally:
            writer.close()

    async def answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /front"):
            return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        if not self.shedding.admit(self.waiting):
            retry = b"" if (seconds := self.shedding.retry_after_s()) is None else f"retry-after: {seconds}\r\n".encode()
            return UNAVAILABLE + retry + b"\r\n"
        self.waiting += 1
        try:
            return await self.forward(head + body, CARD.search(body))
        finally:
            self.waiting -= 1

    async def forward(self, request: bytes, card: re.Match[bytes] | None) -> bytes:
        left, attempt = list(self.alive), 1
        while left:
            url = self.routing.pick(card[1].decode() if card else "", left)
            try:
                status, answer = await self.replicas[url].ask(request)
                failure = "overloaded" if status in (429, 503) else "refused" if status >= 400 else ""
            except (OSError, EOFError):
                answer, failure = UNAVAILABLE + b"\r\n", "gone"
            if not failure or not self.routing.ask_another(attempt, failure):
                return answer
            left, attempt = [other for other in left if other != url], attempt + 1
        return UNAVAILABLE + b"\r\n"


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a request or an answer. Raises EOFError at the end of the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: ?(\d+)", head, re.IGNORECASE)
    return head, await reader.readexactly(int(length[1])) if length else b""


class LetIn:
    """In place of shedding.py."""

    @staticmethod
    def admit(_: int) -> bool:
        return True


class AskFirst:
    """In place of routing.py."""

    @staticmethod
    def pick(_: str, alive: Sequence[str]) -> str:
        return alive[0]

    @staticmethod
    def ask_another(*_: object) -> bool:
        return False


def module_of(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None  # a .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def main(port: int, shedding: str, routing: str, urls: Sequence[str]) -> None:
    rules = (LetIn if shedding == "-" else module_of(Path(shedding)), AskFirst if routing == "-" else module_of(Path(routing)))
    running = Front([Replica(url) for url in urls], *rules)
    server = await asyncio.start_server(running.serve, "127.0.0.1", port, limit=2**22, backlog=2_048)
    async with server:
        await running.probe()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
