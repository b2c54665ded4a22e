"""The fast path and the framework's route are one contract: the same request gets the same answer from both."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from data.settings import Settings
from services.scoring.app import create_app, with_fast_path
from services.scoring.compose import compose
from services.scoring.routes import Service
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import body, trial_in_process

JSON = {"content-type": "application/json"}
REQUESTS: dict[str, tuple[dict[str, str], Any]] = {
    "a payment": (JSON, body(1)),
    "the same again": (JSON, body(1)),
    "its id with another body": (JSON, body(1, amount_minor=77)),
    "online, with a device": (JSON, body(2)),
    "a request id of the caller's": (JSON | {"x-request-id": "call-7"}, body(3)),
    "a request id that is none": (JSON | {"x-request-id": "4111 1111"}, body(4)),
    "a content type with a charset": ({"content-type": "application/json; charset=utf-8"}, body(5)),
    "no content type": ({}, body(6)),
    "another host": (JSON | {"host": "example.org"}, body(7)),
    "a host with a port": (JSON | {"host": "localhost:1"}, body(8)),
    "a page of this machine": (JSON | {"origin": "http://localhost:9"}, body(9)),
    "a page of another site": (JSON | {"origin": "https://example.org"}, body(10)),
    "a field too much": (JSON, body(11) | {"pan": "x"}),
    "a negative amount": (JSON, body(12) | {"amount_minor": -1}),
    "no JSON": (JSON, b"{"),
    "a key twice": (JSON, json.dumps(body(13))[:-1].encode() + b', "currency": "EUR"}'),
    "a key twice, once escaped": (JSON, json.dumps(body(14))[:-1].encode() + b', "curr\\u0065ncy": "EUR"}'),
    "nothing": (JSON, b""),
    "too much": (JSON, b" " * (2**20 + 1)),
}


def with_service(
    settings: Settings, registry: FakeRegistry, work: Callable[[Service], Awaitable[Any]], trial: Callable[[Path], None] = trial_in_process
) -> Any:
    """Compose a service with a model in the slot, do the work on its event loop, close it."""

    async def run() -> Any:
        service = compose(settings, registry, trial)
        service.courier.poll()
        try:
            return await work(service)
        finally:
            service.engine.close()
            service.log.close()

    return asyncio.run(run())


async def call(app: ASGIApp, path: str, headers: dict[str, str], content: bytes) -> tuple[int, dict[str, str], bytes]:
    """One POST whose whole body has arrived, as uvicorn hands it over."""
    sent: list[Any] = []
    named = {"host": "localhost", "content-length": str(len(content))} | headers
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "headers": [(k.encode(), v.encode()) for k, v in named.items()], "state": {},
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, b"".join(message["body"] for message in rest)


async def answers(app: ASGIApp) -> dict[str, tuple[int, dict[str, str], Any]]:
    """Status, headers and body of each request, less the request id, which differs by nature."""
    found = {}
    for name, (headers, content) in REQUESTS.items():
        status, given, text = await call(app, "/v1/score", headers, content if isinstance(content, bytes) else json.dumps(content).encode())
        own_id = given.pop("x-request-id")
        assert int(given.pop("content-length")) == len(text)
        assert own_id == "call-7" or "request id of" not in name
        found[name] = status, given, json.loads(text.replace(own_id.encode(), b"ID"))
    return found


def test_the_fast_path_answers_as_the_framework_does(lab: Settings, registry: FakeRegistry, tmp_path: Path) -> None:
    other = lab.model_copy(update={"home": tmp_path / "other"})
    other.home.mkdir()
    (other.home / "keys").symlink_to(lab.home / "keys")
    framework = with_service(lab, registry, lambda service: answers(create_app(service)))
    fast = with_service(other, registry, lambda service: answers(with_fast_path(create_app(service), service)))
    assert fast == framework
    statuses = {name: status for name, (status, _, _) in fast.items()}
    assert statuses["a payment"] == statuses["the same again"] == statuses["a host with a port"] == 200
    assert statuses["its id with another body"] == 422 and statuses["a key twice"] == statuses["a key twice, once escaped"] == 422
    assert statuses["another host"] == statuses["a page of another site"] == 403 and statuses["too much"] == 413


def test_an_ordinary_request_never_reaches_the_framework(lab: Settings, registry: FakeRegistry) -> None:
    reached: list[str] = []

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def ask(service: Service) -> list[int]:
        app = with_fast_path(framework, service)  # type: ignore[arg-type]  # any application will do
        payment = json.dumps(body(1)).encode()
        asked = [("/v1/score", payment), ("/v1/score", b"{"), ("/v1/labels", payment)]
        return [(await call(app, path, JSON, content))[0] for path, content in asked]

    assert with_service(lab, registry, ask) == [200, 404, 404]
    assert reached == ["/v1/score", "/v1/labels"]


def test_a_body_that_is_not_there_yet_is_left_to_the_framework(lab: Settings, registry: FakeRegistry) -> None:
    arrived = asyncio.Event()
    bodies: list[bytes] = []

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        arrived.set()
        bodies.append((await receive())["body"])

    async def late() -> Any:
        await arrived.wait()
        return {"type": "http.request", "body": b"late", "more_body": False}

    async def ask(service: Service) -> None:
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"4")]
        scope = {"type": "http", "path": "/v1/score", "method": "POST", "headers": headers}
        app = with_fast_path(framework, service)  # type: ignore[arg-type]
        await asyncio.wait_for(app(scope, late, lambda _: asyncio.sleep(0)), 5)

    with_service(lab, registry, ask)
    assert bodies == [b"late"]


@pytest.mark.parametrize("problem", ["no model", "a closed log"])
def test_a_failure_on_the_fast_path_gets_the_envelope(lab: Settings, registry: FakeRegistry, problem: str) -> None:
    async def ask(service: Service) -> tuple[int, str]:
        app = with_fast_path(create_app(service), service)
        if problem == "no model":
            service.slots._serving = None
        else:
            service.log._writer.close()  # type: ignore[attr-defined]
        status, headers, text = await call(app, "/v1/score", JSON, json.dumps(body(1)).encode())
        error = json.loads(text)["error"]
        assert headers["x-request-id"] == error["request_id"] and headers["retry-after"] == "1"
        return status, error["code"]

    async def run() -> tuple[int, str]:
        service = compose(lab, registry, trial_in_process)
        service.courier.poll()
        try:
            return await ask(service)
        finally:
            service.log.close()

    assert asyncio.run(run()) == (503, {"no model": "no_model", "a closed log": "log_unavailable"}[problem])
