"""Clients that take their time: each opens a connection, sends too little or too slowly, and notes when it was shut out."""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chaos.load import payment

EVERY_S = 1.0  # between two bytes of a sender that drips

_BODY = payment(7).body
_POST = b"POST /v1/score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
_HEAD = _POST + b"Content-Length: %d\r\n\r\n" % len(_BODY)
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
# kind -> (what is sent at once, what follows byte by byte)
KINDS: dict[str, tuple[bytes, bytes]] = {
    "says nothing": (b"", b""),
    "stops in the headers": (_HEAD[:60], b""),
    "drips the headers": (b"", _HEAD),
    "stops in the body": (_HEAD + _BODY[:50], b""),
    "drips the body": (_HEAD, _BODY),
    "drips a second request": (_HEAD + _BODY, _HEAD),
    "drips chunks": (_CHUNKED, b"1\r\n \r\n" * 50),
}


@dataclass
class SlowClient:
    """One connection. `open_s` is how long the server let it be; None while it still does."""

    kind: str
    connection: socket.socket
    began: float
    drips: bytes
    received: bytes = b""
    sent: int = 0  # bytes dripped so far
    open_s: float | None = None


@dataclass
class Crowd:
    """Slow clients of every kind, kept going by one thread."""

    port: int
    n: int
    clients: list[SlowClient] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def all_shut_out(self) -> bool:
        return len(self.clients) == self.n and all(client.open_s is not None for client in self.clients)

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            kinds = list(KINDS.items())
            for i in range(self.n):
                kind, (at_once, drips) = kinds[i % len(kinds)]
                connection = socket.create_connection(("127.0.0.1", self.port))
                connection.setblocking(False)
                connection.send(at_once)
                self.clients.append(SlowClient(kind, connection, time.monotonic(), drips))
                selector.register(connection, selectors.EVENT_READ, self.clients[-1])
            while not self._over.is_set() and not self.all_shut_out():
                self._listen(selector)
                self._drip()
        for client in self.clients:
            client.connection.close()

    def stop(self) -> None:
        self._over.set()

    def _listen(self, selector: selectors.BaseSelector) -> None:
        for key, _ in selector.select(0.05):
            client: SlowClient = key.data
            try:
                piece = client.connection.recv(2**16)
            except ConnectionError:
                piece = b""
            client.received += piece
            if not piece:
                client.open_s = time.monotonic() - client.began
                selector.unregister(client.connection)

    def _drip(self) -> None:
        """Send every byte that is due, to those who still listen."""
        now = time.monotonic()
        for client in self.clients:
            due = int((now - client.began) / EVERY_S)
            if client.open_s is None and client.sent < min(due, len(client.drips)):
                try:
                    client.sent += client.connection.send(client.drips[client.sent : client.sent + 1])
                except OSError:  # shut out: the next look at it says so
                    client.sent = len(client.drips)


@contextmanager
def crowd(port: int, n: int) -> Iterator[Crowd]:
    """`n` slow clients on `port` until the block ends."""
    found = Crowd(port, n)
    thread = threading.Thread(target=found.run, name="slow clients")
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join()
