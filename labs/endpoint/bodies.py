"""The corpus of hostile bodies, and a client that sends any bytes at all. Bodies are described in `bodies.toml`.

For whoever tries a scoring service out: the product's chaos tests, and the labs in which a learner hardens one.
"""

import json
import selectors
import socket
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("bodies.toml")
GOOD: Final[dict[str, Any]] = {
    "transaction_id": "tx_000001",
    "event_time": "2026-03-02T00:00:07Z",
    "card_id": "card_1",
    "terminal_id": "term_1",
    "amount_minor": 1001,
    "currency": "EUR",
    "channel": "contactless",
    "category": "fuel",
    "latitude": 45.001,
    "longitude": 13.4,
    "device_id": None,
}
LIMIT_S: Final = 20.0  # for one exchange
_LIVE: Final = datetime(2026, 3, 6, tzinfo=UTC)  # the day on which the labs' model goes live


@dataclass(frozen=True)
class Body:
    """What is sent after the request line and Host."""

    name: str
    headers: tuple[str, ...]
    payload: bytes  # everything after the headers, chunk framing included
    content: bytes  # what of it the sender made up
    status: int  # of the answer
    in_list: bool  # whether it makes a list of payments bad when it stands in it


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when nothing did."""

    status: int
    headers: dict[str, str]
    content: bytes


def made_up(client: str, number: int) -> dict[str, Any]:
    """A good payment, one a second, of cards and at a terminal of this client's own, so that only its own order counts."""
    moment = _LIVE + timedelta(seconds=number)
    return GOOD | {"transaction_id": f"{client}_{number}", "card_id": f"card_{client}_{number % 40}", "terminal_id": f"term_{client}",
                   "event_time": moment.isoformat()}  # fmt: skip


def corpus() -> list[Body]:
    """All bodies of the file."""
    return [_body(name, facts) for name, facts in tomllib.loads(FILE.read_text())["bodies"].items()]


def in_batch(body: Body) -> Body:
    """The same payment as the second of a list."""
    content = b'{"transactions": [' + json.dumps(GOOD).encode() + b", " + body.content + b"]}"
    headers = ("Content-Type: application/json", f"Content-Length: {len(content)}")
    return replace(body, name=f"{body.name}, in a list", headers=headers, payload=content, content=content)


def _body(name: str, facts: dict[str, Any]) -> Body:
    status = facts.get("status", 422)
    if "raw" in facts:
        raw = facts["raw"].encode()
        return Body(name, ("Content-Type: application/json", *facts["headers"]), raw, raw, status, in_list=False)
    content = bytes.fromhex(facts["hex"]) if "hex" in facts else _text(facts).encode(facts.get("encoding", "utf-8"), "surrogatepass")
    content = content[: len(content) - facts.get("cut", 0)]
    kind = facts.get("type", "application/json")
    headers = [*([f"Content-Type: {kind}"] if kind else []), *facts.get("headers", [])]
    single = "set" in facts or "drop" in facts
    if (size := facts.get("chunks")) is None:
        return Body(name, (*headers, f"Content-Length: {len(content)}"), content, content, status, single)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (content[i : i + size] for i in range(0, len(content), size)))
    return Body(name, (*headers, "Transfer-Encoding: chunked"), chunks + b"0\r\n\r\n", content, status, in_list=False)


def _text(facts: dict[str, Any]) -> str:
    fields = {key: json.dumps(value) for key, value in GOOD.items() if key not in facts.get("drop", ())} | facts.get("set", {})
    good = "{" + ", ".join(f'"{key}": {value}' for key, value in fields.items()) + facts.get("add", "") + "}"
    if "repeat" in facts:
        unit, times = facts["repeat"]["unit"], facts["repeat"]["times"]
        return str(facts.get("before", "") + unit * times + facts.get("after_unit", "") * times + facts.get("after", ""))
    return str(facts.get("body", "{good}").replace("{good}", good))


def send(port: int, path: str, body: Body, *, method: str = "POST", key: str = "", limit_s: float = LIMIT_S) -> Answer:
    """One request on a connection of its own, sent and read at the same time: an answer may come before the end of the body."""
    ours = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"X-Lab-Key: {key}")
    head = "\r\n".join([*ours, *body.headers, "", ""]).encode()
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for piece in _exchange(connection, memoryview(head + body.payload), limit_s):
            received += piece
            if (answer := parsed(received)) is not None:
                return answer
    return Answer(0, {}, received)


def _exchange(connection: socket.socket, left: memoryview, limit_s: float) -> Iterator[bytes]:
    """Sends `left` and yields what arrives, until the other side closes or the limit is reached."""
    end = time.monotonic() + limit_s
    connection.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while (events := selector.select(end - time.monotonic())) and time.monotonic() < end:
            try:
                if events[0][1] & selectors.EVENT_READ:
                    if not (piece := connection.recv(2**16)):
                        return
                    yield piece
                elif left:
                    left = left[connection.send(left[: 2**18]) :]
                    if not left:
                        selector.modify(connection, selectors.EVENT_READ)
            except ConnectionError:
                return


def parsed(received: bytes) -> Answer | None:
    """The answer, once all of it is there."""
    head, end, content = received.partition(b"\r\n\r\n")
    if not end:
        return None
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
    return Answer(int(status.split(" ")[1]), headers, content) if len(content) >= int(headers.get("content-length", "0")) else None
