"""The one place where the framework is stepped around: `POST /v1/score`, when nothing about the request is out of the ordinary.

An empty FastAPI endpoint costs 114 us of CPU, nearly twice what a whole durable answer does here (`make bench-serving`); most
of it is a task, a scope and a chain of callables that this one request has no use for. So the ordinary request is answered on
the connection itself, by the same decoder, engine and envelope. Everything else (another path, a header to think
about, a body that does not decode) goes on to the framework, which knows what to say. The route there stays the
contract: it makes the OpenAPI page, and tests send it the same requests and compare.
"""

import asyncio
import re
import time
from functools import partial
from typing import Any

from data.errors import BadInput
from data.prediction_store import Answer
from data.schema import Transaction
from services.scoring.edge import MAX_BODY_BYTES, error_response, request_id_of
from services.scoring.engine import NOT_LOGGED, Unlogged
from services.scoring.messages import decode
from services.scoring.metrics import Metrics
from services.scoring.routes import Service
from services.scoring.scorer import Pay, Scorer
from services.scoring.wire import MOST_HEAD_BYTES, MOST_WAITING, Wire, overloaded, wire_bytes

PATH = "/v1/score"
_TARGET = PATH.encode()
_END_OF_HEAD = b"\r\n\r\n"
_GIVEN_ID = re.compile(rb"\r\n[Xx]-[Rr]equest-[Ii][Dd]: ([!-~]{1,64})(?=\r\n|$)")  # as most programs write it
_MOST_HEADS = 512  # of some 200 bytes: there is one for each length of a body and each program
_UNUSUAL = frozenset({b"origin", b"transfer-encoding", b"expect", b"content-encoding", b"upgrade"})
_NOT_LOGGED = f"{NOT_LOGGED[0]}: {NOT_LOGGED[1]}\r\n"


class _Scoring:
    """A request under way here. It stands where the framework's would, so that what follows on the connection waits its turn."""

    __slots__ = ("body", "disconnected", "given_id", "keep_alive", "request_id", "response_complete", "started")
    message_event = asyncio.Event()  # set by uvicorn when the connection is lost; nobody waits

    def __init__(self, given_id: str, body: bytes = b"") -> None:
        """`given_id`: the caller's request id; empty when it gave none."""
        self.given_id = given_id
        self.request_id = request_id_of(given_id)
        self.started = time.perf_counter()
        self.body = body
        self.keep_alive = True  # until the server begins to shut down
        self.response_complete = self.disconnected = False


class Together:
    """What all connections know."""

    def __init__(self) -> None:
        self.waiting = 0  # requests under way here
        self.deaf = 0  # those of the framework's that wait for their client to read
        self.heads: dict[bytes, int] = {}  # request line and headers that were found ordinary, less a request id -> the body's length


class FastPath(Wire):
    """One connection. Answers ordinary requests to score one payment; the framework gets all others."""

    def __init__(self, *arguments: Any, engine: Scorer, metrics: Metrics, hosts: frozenset[bytes], together: Together, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._all = together
        self._engine = engine
        self._metrics = metrics
        self._hosts = hosts
        self._is_deaf = False

    def data_received(self, data: bytes) -> None:
        """A program sends the same head again and again: one that was found ordinary, whole and alone needs no parser."""
        whole_head, _, body = data.partition(_END_OF_HEAD)
        head, given_id = _apart(whole_head)
        begins = self.is_between_requests()
        if begins and self._all.heads.get(head) == len(body) and self.is_free():
            self.since = None
            if self.is_full():
                self.idle_since = self.loop.time()
                self.on_refusal(_TARGET)
                self.transport.write(overloaded(given_id))
                return
            self.idle_since = None
            scoring = _Scoring(given_id, body)
            self.cycle = scoring  # type: ignore[assignment]
            if self._score(scoring):
                return
            self.cycle = None  # type: ignore[assignment]
        before = self.cycle
        super().data_received(data)
        arrived: object = self.cycle
        whole = begins and self.is_between_requests() and arrived is not before and isinstance(arrived, _Scoring)
        if whole and arrived.body == body and arrived.given_id == given_id:  # type: ignore[attr-defined]
            if len(self._all.heads) >= _MOST_HEADS:
                self._all.heads.clear()
            self._all.heads[head] = len(body)

    def is_full(self) -> bool:
        """Whether as many requests wait as can be answered in time, with those that wait here; not those that wait for their client."""
        return self._engine.is_full or self._all.waiting + len(self.tasks) - self._all.deaf >= MOST_WAITING

    def pause_writing(self) -> None:
        super().pause_writing()
        self._mark_deaf(not self.is_free())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._mark_deaf(False)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._mark_deaf(False)

    def _mark_deaf(self, is_deaf: bool) -> None:
        self._all.deaf += is_deaf - self._is_deaf
        self._is_deaf = is_deaf

    def on_refusal(self, target: bytes) -> None:
        self._metrics.refused(PATH if target == _TARGET else "none")

    def on_message_begin(self) -> None:
        """A request begins. What only the framework needs is made when it gets one."""
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        given_id = self._ordinary() if self.url == _TARGET and not self.is_full() else None
        if given_id is None:
            self._give_to_framework()
        else:
            self.head_arrived()
            self.cycle = _Scoring(given_id.decode("latin-1"))  # type: ignore[assignment]

    def _give_to_framework(self) -> None:
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if isinstance(self.cycle, _Scoring):
            self.cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if isinstance(cycle, _Scoring):
            self.request_arrived()
            if self._score(cycle):
                return
            self.cycle = None
            self._give_to_framework()  # after all, and whole
            super().on_body(cycle.body)
        super().on_message_complete()

    def _ordinary(self) -> bytes | None:
        """The caller's request id, empty when it gave none; None when something is for the framework to judge."""
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        if not self.is_free():
            return None  # pipelined: the framework keeps the order
        hosted = typed = sized = False
        request_id, size = b"", 0
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"host":
                hosted = value in self._hosts or value.rpartition(b":")[0] in self._hosts
            elif name == b"content-type":
                typed = value == b"application/json"
            elif name == b"content-length":
                sized = value.isdigit() and int(value) <= MAX_BODY_BYTES
            elif name == b"x-request-id":
                request_id = value
            elif name in _UNUSUAL or (name == b"connection" and value.lower() != b"keep-alive"):
                return None
        return request_id if hosted and typed and sized and size <= MOST_HEAD_BYTES else None

    def _score(self, cycle: _Scoring) -> bool:
        """Answer now, or once the answer is durable. False: the body says no payment."""
        try:
            transaction = decode(Transaction, cycle.body)
        except BadInput:
            return False
        try:
            asked = self._engine.begin(transaction, cycle.request_id)
        except Exception as error:
            self._fail(cycle, error)
        else:
            self._all.waiting += 1
            asked.then(partial(self._settled, cycle, asked))
        return True

    def _settled(self, cycle: _Scoring, asked: Pay) -> None:
        """The answer may be given now, or never."""
        self._all.waiting -= 1
        try:
            answer = asked.result()
        except Exception as error:
            self._fail(cycle, error)
        else:
            self._answer(cycle, answer)

    def _answer(self, cycle: _Scoring, answer: Answer) -> None:
        body = answer.json()
        marks = _NOT_LOGGED if isinstance(answer, Unlogged) else ""
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-request-id: {cycle.request_id}\r\n{marks}"
        self._end(cycle, 200, f"HTTP/1.1 200 OK\r\n{self.common_headers()}{head}\r\n{body}".encode())

    def _fail(self, cycle: _Scoring, error: Exception) -> None:
        self._metrics.failed(error)
        response = error_response(error, cycle.request_id)
        self._end(cycle, response.status_code, wire_bytes(response, self.common_headers()))

    def _end(self, cycle: _Scoring, status: int, content: bytes) -> None:
        self._metrics.requested(PATH, status, time.perf_counter() - cycle.started)
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        self.transport.write(content)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()


def _apart(head: bytes) -> tuple[bytes, str]:
    """A head without the caller's request id, which differs from one request to the next, and that id; empty when there is none."""
    found = _GIVEN_ID.search(head)
    return (head[: found.start()] + head[found.end() :], found[1].decode("latin-1")) if found else (head, "")


def connections(service: Service, hosts: frozenset[str]) -> Any:
    """What uvicorn makes a connection with, for its `http` option."""
    names = frozenset(host.encode() for host in hosts)
    return partial(FastPath, engine=service.engine, metrics=service.metrics, hosts=names, together=Together())
