"""What every request passes first and last: who may speak, how much, how long; a request id; one shape of error; counts.

A plain ASGI wrapper outside the framework, so that nothing the framework answers on its own escapes it.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable
from functools import cache
from itertools import count
from string import ascii_lowercase
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.errors import LabError, NotAllowed
from data.schema import looks_like_card_number
from services.scoring.messages import ErrorEnvelope, Problem
from services.scoring.metrics import Metrics

MAX_BODY_BYTES = 2**20  # a batch of 1,000 payments is about 400 KB
READ_DEADLINE_S = 10.0  # for a whole body; uvicorn has none
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REQUESTS = count(1)
_log = logging.getLogger(__name__)


class TooLarge(LabError):
    """A request body beyond the limit."""

    code, exit_status, http_status = "too_large", 65, 413


class TooSlow(LabError):
    """A request body that did not arrive in time."""

    code, exit_status, http_status = "too_slow", 65, 408


class NotHttp(LabError):
    """Bytes that are no request."""

    code, exit_status, http_status = "not_http", 65, 400


class HeadTooLarge(LabError):
    """A request line and headers beyond the limit."""

    code, exit_status, http_status = "head_too_large", 65, 431


class Overloaded(LabError):
    """More requests wait than can be answered in time; this one was not looked at."""

    code, exit_status, http_status = "overloaded", 75, 503


class NotJson(LabError):
    """A body of another content type."""

    code, exit_status, http_status = "not_json", 65, 415


class Edge:
    """The outermost layer of the service."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, hosts: frozenset[str], clock: Callable[[], float] = time.perf_counter) -> None:
        """`hosts`: names under which callers may address the service (stops DNS rebinding from a web page)."""
        self._app = app
        self._metrics = metrics
        self._hosts = hosts
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock()
        headers = Headers(scope=scope)
        request_id = request_id_of(headers.get("x-request-id", ""))
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        status = 500
        answering = False

        async def send_marked(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                answering, status = True, message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            self._admit(scope["method"], headers)
            await self._app(scope, _limited(receive), send_marked)
        except Exception as error:
            if answering:
                raise  # too late for another answer: the connection breaks, which the client sees
            self._metrics.failed(error)
            await error_response(error, request_id)(scope, receive, send_marked)
        finally:
            route = getattr(scope.get("route"), "path", "none")  # never the raw path: it is the caller's text
            self._metrics.requested(route, status, self._clock() - started)

    def _admit(self, method: str, headers: Headers) -> None:
        """Raises NotAllowed, TooLarge, NotJson before anything reads the body."""
        if _host(f"//{headers.get('host', '')}") not in self._hosts:
            raise NotAllowed("The Host header names another service.", next_step="Call it as 127.0.0.1 or localhost.", where="host")
        origin = headers.get("origin")
        if origin is not None and _host(origin) not in self._hosts:
            raise NotAllowed("Web pages of other sites may not call this service.", next_step="Call it from a program.", where="origin")
        if method not in {"POST", "PUT", "PATCH"}:
            return
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            raise _too_large()
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if (length != "0" or "transfer-encoding" in headers) and kind != "application/json":
            raise NotJson("The body is not declared as JSON.", next_step="Send Content-Type: application/json.", where="content-type")


def error_response(error: Exception, request_id: str) -> Response:
    """Any failure as the one envelope. What nobody foresaw is logged with its stack and shown without it."""
    headers = {"x-request-id": request_id}
    if isinstance(error, LabError):
        status, problem = error.http_status, (error.code, error.message, error.next_step, error.where)
    elif isinstance(error, HTTPException):
        status, headers = error.status_code, {**(error.headers or {}), **headers}
        problem = ("http_error", f"{error.detail}.", "See /docs for the routes and methods there are.", None)
    else:
        _log.error("request %s failed", request_id, exc_info=error)
        status, problem = 500, ("internal", "The service failed on this request.", "Give the request id to whoever runs the lab.", None)
    code, message, next_step, where = problem
    if status == 503:
        headers["retry-after"] = "1"
    if status in (408, 413):
        headers["connection"] = "close"  # what still comes of the body is not worth reading
    envelope = ErrorEnvelope(error=Problem(code=code, message=message, next_step=next_step, where=where, request_id=request_id))
    return Response(envelope.model_dump_json(), status, headers, "application/json")


def _limited(receive: Receive) -> Receive:
    """`receive` with a size and a deadline for the whole body, chunked ones included."""
    size, deadline, whole = 0, time.monotonic() + READ_DEADLINE_S, False

    async def limited() -> Message:
        nonlocal size, whole
        if whole:  # from here on it is the framework watching for a disconnect
            return await receive()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                message = await receive()
        except TimeoutError:
            raise TooSlow("The body did not arrive in time.", next_step=f"Send it within {READ_DEADLINE_S:.0f} s.", where="body") from None
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise _too_large()
        whole = not message.get("more_body", False)
        return message

    return limited


def _too_large() -> TooLarge:
    return TooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.", next_step="Send smaller batches.", where="body")


def _host(url: str) -> str:
    """The host of a URL or, after `//`, of a Host header; empty when it is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def request_id_of(given: str) -> str:
    """The caller's request id when it is one, else the next of ours: letters, and a number far too short for a card's."""
    if given and _REQUEST_ID.fullmatch(given) and not looks_like_card_number(given):
        return given
    return f"{_process()}-{next(_REQUESTS)}"


@cache
def _process() -> str:
    return "".join(secrets.choice(ascii_lowercase) for _ in range(10))
