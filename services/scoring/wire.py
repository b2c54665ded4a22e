"""The connection itself, before there is a request: uvicorn's protocol with the limits that it lacks.

uvicorn waits for ever for headers, takes any number of them, leaves a connection open after a body that came too late,
answers what is not HTTP in plain text, and lets any number of requests wait. `services/scoring/fast_path.py` builds on it.
"""

import asyncio
from functools import cache

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from data.errors import LabError
from services.scoring.edge import READ_DEADLINE_S, HeadTooLarge, NotHttp, Overloaded, TooSlow, error_response, request_id_of

MOST_HEAD_BYTES = 2**15  # request line and headers; browsers and proxies send 1 to 4 KB
MOST_WAITING = 128  # requests not answered yet: about 10 ms of scoring, or one slow sync of the log
UNREAD_DEADLINE_S = 10.0  # for a client to read what fills the connection; uvicorn waits for ever
PROBES = frozenset({b"/live", b"/ready", b"/metrics"})  # an orchestrator must hear of an overload, not suffer from it
LOOK_EVERY_S = 0.5  # at the connections that have not sent their request yet
_GRACE_S = 1.0  # for the answer to a body that came too late; then the connection is cut


class _Answered:
    """Stands for a request that needs no application: what still comes of it is read and dropped."""

    response_complete = True
    message_event = asyncio.Event()


class Wire(HttpToolsProtocol):
    """One connection.

    `since`: when the server began to wait for a request that has not arrived whole. `idle_since`: when the last answer
    ended, until the next request begins. `unread_since`: when answers began to fill the connection. Each None otherwise.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since: float | None = self.loop.time()
        self.idle_since: float | None = None
        self.unread_since: float | None = None
        self._in_head = True
        self._head_bytes = 0
        self._common: list[tuple[bytes, bytes]] = []
        self._common_text = ""
        _watch(self)

    def data_received(self, data: bytes) -> None:
        self.idle_since = None
        if self.since is None:
            self.since = self.loop.time()
        waiting_since = self.since
        super().data_received(data)
        if self._in_head and self.since is waiting_since:  # nothing but a piece of a head that has not ended
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(_head_too_large())

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread_since = None

    def is_between_requests(self) -> bool:
        """Whether the last request has arrived whole, and nothing of the next."""
        return self._in_head and self._head_bytes == 0

    def head_arrived(self) -> None:
        """The request line and the headers are there."""
        self._in_head, self._head_bytes = False, 0

    def on_headers_complete(self) -> None:
        self.head_arrived()
        if self.is_full() and self.url not in PROBES and self.is_free():
            given_id = next((value for name, value in self.headers if name == b"x-request-id"), b"")
            self.on_refusal(self.url)
            self.transport.write(overloaded(given_id.decode("latin-1")))
            self.cycle = _Answered()  # type: ignore[assignment]
            return
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MOST_HEAD_BYTES:
            self._refuse(_head_too_large())
        else:
            super().on_headers_complete()

    def is_free(self) -> bool:
        """Whether every request of this connection has been answered; of pipelined ones the answers keep the order."""
        return self.cycle is None or self.cycle.response_complete

    def is_full(self) -> bool:
        """Whether as many requests of all connections wait as can be answered in time."""
        return len(self.tasks) >= MOST_WAITING

    def on_refusal(self, target: bytes) -> None:
        """A request was refused because too many wait; `target` is what it asked for."""

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            super().on_body(body)

    def request_arrived(self) -> None:
        """The request is there, whole: wait for nothing."""
        self._in_head, self._head_bytes, self.since = True, 0, None

    def on_message_complete(self) -> None:
        self.request_arrived()
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn's own, less the timer for an idle connection that it makes and cancels with every request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.idle_since = self.loop.time()

    def common_headers(self) -> str:
        """The headers that every answer has, as uvicorn keeps them: the date."""
        common = self.server_state.default_headers
        if common is not self._common:  # uvicorn makes a new list every second
            self._common, self._common_text = common, "".join([f"{name.decode()}: {value.decode()}\r\n" for name, value in common])
        return self._common_text

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words are not ours
        self._refuse(NotHttp("This is not HTTP/1.1.", next_step="See /docs for the routes and methods there are.", where="request"))

    def look(self, now: float) -> None:
        """Shut out a sender or a reader who took too long, and let go of a connection that nobody uses."""
        if self.unread_since is not None and now - self.unread_since > UNREAD_DEADLINE_S:
            self.transport.abort()  # also one that is closing: it waits for the same reader
        if self.transport.is_closing():
            return
        if self.idle_since is not None and now - self.idle_since > self.timeout_keep_alive:
            self.transport.close()
        if self.since is None:
            return
        waited = now - self.since
        if self._in_head and waited > READ_DEADLINE_S:
            self._refuse(
                TooSlow("The headers did not arrive in time.", next_step=f"Send them in {READ_DEADLINE_S:.0f} s.", where="headers")
            )
        elif waited > READ_DEADLINE_S + _GRACE_S:
            self.transport.abort()  # the edge has answered 408 by now

    def _refuse(self, error: LabError) -> None:
        """Answer in the envelope, without the application, and close."""
        if self.transport.is_closing():
            return
        answer = error_response(error, request_id_of(""))
        answer.headers["connection"] = "close"
        self.transport.write(wire_bytes(answer))
        self.transport.close()


def wire_bytes(answer: Response, more_headers: str = "") -> bytes:
    """An answer as it is sent."""
    head = more_headers.encode() + b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
    return STATUS_LINE[answer.status_code] + head + b"\r\n" + bytes(answer.body)


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"The headers are larger than {MOST_HEAD_BYTES} bytes.", next_step="Send fewer of them.", where="headers")


@cache
def _overloaded_around(length: int) -> list[bytes]:
    """What stands around a request id of this length, in the refusal of an overloaded service."""
    blank = "@" * length
    error = Overloaded("More requests wait than can be answered in time.", next_step="Send it again in a second; it is safe to repeat.")
    return wire_bytes(error_response(error, blank)).split(blank.encode())


def overloaded(given_id: str) -> bytes:
    """A refusal must cost a small part of an answer: all but the request id is made once. `given_id`: the caller's; may be empty."""
    request_id = request_id_of(given_id)
    return request_id.encode().join(_overloaded_around(len(request_id)))


_watching: set[asyncio.AbstractEventLoop] = set()


def _watch(wire: Wire) -> None:
    """One look at all connections twice a second, instead of a timer for every request."""
    loop, connections = wire.loop, wire.connections
    if loop in _watching:
        return
    _watching.add(loop)

    def look() -> None:
        now = loop.time()
        for connection in list(connections):
            connection.look(now)  # type: ignore[union-attr]
        loop.call_later(LOOK_EVERY_S, look)

    look()
