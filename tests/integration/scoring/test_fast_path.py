"""The fast path and the framework's route are one contract: the same request gets the same answer from both."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.settings import Settings
from services.scoring.compose import compose
from services.scoring.routes import Service
from services.scoring.wire import Wire
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import body, serve_ready, serve_service, trial_in_process, wait_until

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
    "the last of its connection": (JSON | {"connection": "close"}, body(15)),
}


@pytest.fixture
def service(lab: Settings, registry: FakeRegistry) -> Service:
    """One with a model in the slot."""
    service = compose(lab, registry, trial_in_process)
    service.courier.poll()
    return service


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    """A connection of our own, for what an HTTP client does not do."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        yield connection


def raw(content: bytes, *, path: str = "/v1/score", version: str = "1.1") -> bytes:
    head = f"POST {path} HTTP/{version}\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def received(connection: socket.socket, answers: int) -> bytes:
    """What comes until so many answers have begun and their last brace is there, or the other side closes."""
    found = b""
    while found.count(b"HTTP/1.1 ") < answers or not found.endswith(b"}"):
        more = connection.recv(65_536)
        if not more:
            break
        found += more
    return found


def parted(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    return int(status.split()[1]), dict(header.split(": ", 1) for header in headers), content


def payment(number: int) -> bytes:
    return json.dumps(body(number)).encode()


def answers(client: httpx.Client) -> dict[str, tuple[int, dict[str, str], Any]]:
    """Status, headers and body of each request, less the request id and the date, which differ by nature."""
    found = {}
    for name, (headers, content) in REQUESTS.items():
        request = client.build_request(
            "POST", "/v1/score", content=content if isinstance(content, bytes) else json.dumps(content), headers=headers
        )
        answer = client.send(request)
        given = dict(answer.headers)
        own_id = given.pop("x-request-id")
        assert given.pop("date") and int(given.pop("content-length")) == len(answer.content)
        assert own_id == "call-7" or "request id of" not in name
        found[name] = answer.status_code, given, json.loads(answer.content.replace(own_id.encode(), b"ID"))
    return found


def test_the_fast_path_answers_as_the_framework_does(service: Service, lab: Settings, registry: FakeRegistry, tmp_path: Path) -> None:
    other = lab.model_copy(update={"home": tmp_path / "other"})
    other.home.mkdir()
    (other.home / "keys").symlink_to(lab.home / "keys")
    with serve_service(service) as client:
        fast = answers(client)
    again = compose(other, registry, trial_in_process)
    again.courier.poll()
    with serve_service(again, http=Wire) as client:
        framework = answers(client)
    assert fast == framework
    statuses = {name: status for name, (status, _, _) in fast.items()}
    assert statuses["a payment"] == statuses["the same again"] == statuses["a host with a port"] == 200
    assert statuses["its id with another body"] == 422 and statuses["a key twice"] == statuses["a key twice, once escaped"] == 422
    assert statuses["another host"] == statuses["a page of another site"] == 403 and statuses["too much"] == 413


class Reached:
    """An application that only notes what comes to it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.paths.append(scope["path"])
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


def test_an_ordinary_request_never_reaches_the_framework(service: Service) -> None:
    framework = Reached()
    with serve_service(service, app=framework) as client:
        asked = [("/v1/score", payment(1)), ("/v1/score", b"{"), ("/v1/score", payment(1)), ("/v1/labels", payment(1))]
        statuses = [client.post(path, content=content, headers=JSON).status_code for path, content in asked]
    service.log.close()
    assert statuses == [200, 404, 200, 404]
    assert framework.paths == ["/v1/score", "/v1/labels"]


def test_a_request_that_arrives_in_pieces_is_answered(service: Service) -> None:
    whole = raw(payment(1))
    with serve_service(service) as client, connected(client) as connection:
        for piece in (whole[:20], whole[20:-9], whole[-9:]):
            connection.sendall(piece)
        assert b"200 OK" in received(connection, 1)


def test_a_head_that_was_seen_before_changes_no_answer(service: Service) -> None:
    bodies = [payment(1), payment(2), b"{", payment(3), payment(2), payment(4)]
    asked = [raw(each.rjust(400)) for each in bodies]
    assert len({each.partition(b"\r\n\r\n")[0] for each in asked}) == 1, "one head"
    with serve_service(service) as client, connected(client) as connection:
        statuses = []
        for each in asked[:-1]:
            connection.sendall(each)
            statuses += re.findall(rb"HTTP/1\.1 (\d+)", received(connection, 1))
        connection.sendall(asked[-1][:-1])
        connection.sendall(asked[-1][-1:] + raw(payment(5).rjust(400)))
        statuses += re.findall(rb"HTTP/1\.1 (\d+)", received(connection, 2))
    assert statuses == [b"200", b"200", b"422", b"200", b"200", b"200", b"200"]


def test_each_answer_bears_the_request_id_of_its_request(service: Service) -> None:
    given = [b"one", b"two", b"4111111111111111", b"not/one", b"x" * 65, b"three"]
    with serve_service(service) as client, connected(client) as connection:
        answered = []
        for number, request_id in enumerate(given):
            connection.sendall(raw(payment(number).rjust(400)).replace(b"\r\n\r\n", b"\r\nX-Request-ID: " + request_id + b"\r\n\r\n", 1))
            answered += re.findall(rb"200 OK\r\n.*x-request-id: (\S+)", received(connection, 1), re.DOTALL)
    assert [answered[0], answered[1], answered[5]] == [b"one", b"two", b"three"]
    assert len(set(answered)) == len(given) and not set(answered) & set(given[2:5])


def test_an_overloaded_service_refuses_under_the_callers_request_id(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    known, new = raw(payment(1).rjust(400)), raw(payment(2).rjust(401))
    with serve_service(service) as client, connected(client) as connection:
        connection.sendall(known)
        assert b"200 OK" in received(connection, 1)
        monkeypatch.setattr("services.scoring.fast_path.MOST_WAITING", 0)
        for request_id, request in ((b"call-7", known), (b"call-8", new), (b"4111111111111111", known), (b"", new)):
            connection.sendall(request.replace(b"\r\n\r\n", b"\r\nx-request-id: " + request_id + b"\r\n\r\n", 1))
            refusal = parted(received(connection, 1))
            error, answered = json.loads(refusal[2])["error"], refusal[1]["x-request-id"]
            assert (refusal[0], error["code"], refusal[1]["retry-after"]) == (503, "overloaded", "1")
            assert error["request_id"] == answered and int(refusal[1]["content-length"]) == len(refusal[2])
            assert (answered == request_id.decode()) == request_id.startswith(b"call")
        assert client.get("/live").status_code == 200
        monkeypatch.undo()
        connection.sendall(new)
        assert b"200 OK" in received(connection, 1)


def test_requests_sent_without_waiting_are_answered_in_order(service: Service) -> None:
    sent = [raw(payment(1)), raw(b"{"), raw(payment(2)), raw(payment(1)), raw(payment(3), path="/v1/nowhere"), raw(payment(4))]
    with serve_service(service) as client, connected(client) as connection:
        connection.sendall(b"".join(sent))
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", received(connection, len(sent)))
    assert statuses == [b"200", b"422", b"200", b"200", b"404", b"200"]


def test_a_refusal_does_not_overtake_the_answer_before_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scoring.fast_path.MOST_WAITING", 1)  # the second finds the first one waiting for its commit
    with serve_service(service) as client, connected(client) as connection:
        connection.sendall(raw(payment(1)) + raw(payment(2)))
        answers = received(connection, 2)
    first, second = (json.loads(parted(b"HTTP/1.1 " + answer)[2]) for answer in answers.split(b"HTTP/1.1 ")[1:])
    assert [first["transaction_id"], second["transaction_id"]] == [body(1)["transaction_id"], body(2)["transaction_id"]]


def test_a_client_that_reads_nothing_is_let_go(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scoring.wire.LOOK_EVERY_S", 0.02)
    monkeypatch.setattr("services.scoring.wire.UNREAD_DEADLINE_S", 4.0)
    monkeypatch.setattr("services.scoring.fast_path.MOST_WAITING", 1)
    asked, found = 500, b""
    with serve_service(service) as client, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect((client.base_url.host, client.base_url.port))
        deaf.settimeout(10)
        deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * asked)  # 20 MB of answers
        scored = lambda: client.post("/v1/score", content=payment(1), headers=JSON).status_code == 200  # noqa: E731
        wait_until(scored, "it holds nobody's place", deadline_s=3)
        time.sleep(5)
        with suppress(ConnectionResetError):
            while more := deaf.recv(2**20):
                found += more
        assert client.get("/live").status_code == 200
    assert 0 < found.count(b"HTTP/1.1 200") < asked


def test_an_old_client_gets_its_answer_and_the_end_of_the_connection(service: Service) -> None:
    with serve_service(service) as client, connected(client) as connection:
        connection.sendall(raw(payment(1), version="1.0"))
        answer = received(connection, 1)
        assert b"200 OK" in answer and connection.recv(1) == b""


def test_a_connection_that_nobody_uses_is_let_go(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scoring.wire.LOOK_EVERY_S", 0.02)
    with serve_service(service, timeout_keep_alive=0) as client, connected(client) as connection:
        connection.sendall(raw(payment(1)))
        assert b"200 OK" in received(connection, 1)
        assert connection.recv(1) == b""


def test_an_answer_that_nobody_waits_for_is_stored(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        with connected(client) as connection:
            connection.sendall(raw(payment(1)))
        wait_until(lambda: client.get("/v1/serving").json()["log_sequence"] == 1, "stored")


@pytest.mark.parametrize("problem", ["no model", "a closed log"])
def test_a_failure_on_the_fast_path_gets_the_envelope(service: Service, problem: str) -> None:
    with serve_service(service) as client:
        if problem == "no model":
            service.courier.stop()  # else its next look brings the model back
            service.slots._serving = None
        else:
            service.log._commit.close()  # type: ignore[attr-defined]
        answer = client.post("/v1/score", content=payment(1), headers=JSON)
        error = answer.json()["error"]
        assert answer.headers["x-request-id"] == error["request_id"] and answer.headers["retry-after"] == "1"
        assert (answer.status_code, error["code"]) == (503, {"no model": "no_model", "a closed log": "log_unavailable"}[problem])
        service.engine.stop = _nothing  # type: ignore[method-assign]  # a closed log cannot be saved from


async def _nothing() -> None:
    pass
