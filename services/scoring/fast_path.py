"""The one place where the framework is stepped around: `POST /v1/score`, when nothing about the request is out of the ordinary.

An empty FastAPI endpoint costs 120 us of CPU (`make bench-serving`), as much as a whole durable answer that goes round
it. So the ordinary request is answered here,
by the same decoder, engine and envelope; everything else (another path, a header to think about, a body that is not
there yet, a body that does not decode) goes on to the framework, untouched, which knows what to say. The route there
stays the contract: it makes the OpenAPI page, and tests send it the same requests and compare.
"""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.errors import BadInput
from data.schema import Transaction
from services.scoring.edge import MAX_BODY_BYTES, error_response, request_id_of
from services.scoring.engine import NOT_LOGGED, Engine, Unlogged
from services.scoring.messages import decode
from services.scoring.metrics import Metrics

PATH = "/v1/score"
_JSON = (b"content-type", b"application/json")
_NOT_LOGGED = (NOT_LOGGED[0].encode(), NOT_LOGGED[1].encode())
_UNUSUAL = frozenset({b"origin", b"transfer-encoding", b"expect", b"content-encoding"})


class FastPath:
    """Answers ordinary requests to score one payment; `app` gets all others."""

    def __init__(self, app: ASGIApp, *, engine: Engine, metrics: Metrics, hosts: frozenset[str]) -> None:
        self._app = app
        self._engine = engine
        self._metrics = metrics
        self._hosts = frozenset(host.encode() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given_id = self._ordinary(scope["headers"])
        message = _at_hand(receive) if given_id is not None else None
        transaction = _decoded(message) if message is not None else None
        if given_id is None or transaction is None:
            await self._app(scope, receive if message is None else _again(message, receive), send)
            return
        request_id = request_id_of(given_id.decode("latin-1"))
        status = 200
        try:
            answer = await self._engine.score(transaction, request_id)
        except Exception as error:
            response = error_response(error, request_id)
            status = response.status_code
            await response(scope, receive, send)
        else:
            body = answer.json().encode()
            headers = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
            if type(answer) is Unlogged:
                headers.append(_NOT_LOGGED)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            self._metrics.requested(PATH, status, time.perf_counter() - started)

    def _ordinary(self, headers: list[tuple[bytes, bytes]]) -> bytes | None:
        """The caller's request id, empty when it gave none; None when a header is for the framework to judge."""
        hosted = typed = sized = False
        request_id = b""
        for name, value in headers:
            if name == b"host":
                hosted = value in self._hosts or value.rpartition(b":")[0] in self._hosts
            elif name == b"content-type":
                typed = value == b"application/json"
            elif name == b"content-length":
                sized = value.isdigit() and int(value) <= MAX_BODY_BYTES
            elif name == b"x-request-id":
                request_id = value
            elif name in _UNUSUAL:
                return None
        return request_id if hosted and typed and sized else None


def _at_hand(receive: Receive) -> Message | None:
    """The next message, if it has arrived: nearly always, as a small body comes with the headers. None leaves the waiting to others."""
    waiting = receive()
    try:
        waiting.send(None)  # type: ignore[attr-defined]  # one step of the coroutine: it ends, or it would have to wait
    except StopIteration as done:
        message: Message = done.value
        return message
    waiting.close()  # type: ignore[attr-defined]
    return None


def _decoded(message: Message) -> Transaction | None:
    """The payment, if this is a whole body that says one."""
    if message["type"] != "http.request" or message.get("more_body", False):
        return None
    try:
        return decode(Transaction, message["body"])
    except BadInput:
        return None


def _again(message: Message, receive: Receive) -> Receive:
    """`receive`, with a message that was taken from it put back."""
    given = False

    async def first_that() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return message

    return first_that
