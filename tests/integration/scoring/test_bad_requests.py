"""Whatever a caller sends, the answer is a clear 4xx in the one envelope that repeats nothing of it. Each bug adds a row."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from data.serving_plan import ServingPlan
from data.settings import Settings
from services.scoring.edge import MAX_BODY_BYTES
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import body, serve_ready

CANARY = "4111111111111111"  # a test card number of the schemes: passes the Luhn check, belongs to nobody
GOOD = json.dumps(body(1))


def changed(**fields: object) -> str:
    return json.dumps(body(1) | fields)


def spliced(name: str, literal: str) -> str:
    """A body in which one field is raw text, as JSON libraries would not write it."""
    return json.dumps(body(1) | {name: "@"}).replace('"@"', literal)


BODIES: dict[str, str | bytes] = {
    "empty": "",
    "white space": "  \n ",
    "null": "null",
    "list": "[]",
    "string": '"tx"',
    "number": "17",
    "not JSON": "transaction_id=1",
    "truncated": GOOD[:-5],
    "two documents": GOOD + GOOD,
    "trailing comma": GOOD[:-1] + ",}",
    "single quotes": GOOD.replace('"', "'"),
    "comment": GOOD + "// hi",
    "not UTF-8": GOOD.encode().replace(b"card_1", b"card_\xff"),
    "UTF-16": GOOD.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "null byte": GOOD.replace("card_1", "card_\\u0000"),
    "raw null byte": GOOD.encode() + b"\x00",
    "lone surrogate": GOOD.replace("card_1", "card_\\ud800"),
    "surrogate key": GOOD[:-1] + ', "\\udfff": 1}',
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 50_000,
    "deep value": spliced("card_id", "[" * 5_000 + "]" * 5_000),
    "repeated key": GOOD[:-1] + ', "amount_minor": 5}',
    "unknown key": changed(pan=CANARY),
    "prototype key": changed(__proto__={"admin": True}),
    "no id": json.dumps({k: v for k, v in body(1).items() if k != "transaction_id"}),
    "no amount": json.dumps({k: v for k, v in body(1).items() if k != "amount_minor"}),
    "empty id": changed(transaction_id=""),
    "long id": changed(transaction_id="x" * 65),
    "huge id": changed(transaction_id="x" * 500_000),
    "id with a space": changed(transaction_id="a b"),
    "id with a quote": changed(transaction_id="a'; DROP TABLE predictions;--"),
    "id with a newline": changed(transaction_id="tx_1\n"),
    "id with markup": changed(transaction_id="<script>alert(1)</script>"),
    "id with a path": changed(transaction_id="../../etc/passwd"),
    "id a number": changed(transaction_id=7),
    "id null": changed(transaction_id=None),
    "id a list": changed(transaction_id=["tx_1"]),
    "card number as id": changed(transaction_id=CANARY),
    "card number as card": changed(card_id=CANARY),
    "card number with dashes": changed(card_id="4111-1111-1111-1111"),
    "card number in a token": changed(terminal_id=f"t:{CANARY}"),
    "card number as device": changed(device_id=CANARY),
    "card number as category": changed(category=CANARY),
    "card number as channel": changed(channel=CANARY),
    "card number as currency": changed(currency=CANARY),
    "card number as time": changed(event_time=CANARY),
    "card number as amount": changed(amount_minor=int(CANARY)),
    "card number in broken JSON": '{"card_id": "' + CANARY,
    "card number as key": GOOD[:-1] + f', "{CANARY}": 1}}',
    "amount zero": changed(amount_minor=0),
    "amount negative": changed(amount_minor=-1),
    "amount a fraction": changed(amount_minor=12.5),
    "amount a float": changed(amount_minor=12.0),
    "amount a string": changed(amount_minor="1234"),
    "amount true": changed(amount_minor=True),
    "amount huge": changed(amount_minor=10**30),
    "amount of 5,000 digits": spliced("amount_minor", "9" * 5_000),
    "amount NaN": spliced("amount_minor", "NaN"),
    "amount Infinity": spliced("amount_minor", "Infinity"),
    "amount 1e999": spliced("amount_minor", "1e999"),
    "latitude NaN": spliced("latitude", "NaN"),
    "latitude -Infinity": spliced("latitude", "-Infinity"),
    "latitude 1e999": spliced("latitude", "1e999"),
    "latitude 90.1": changed(latitude=90.1),
    "longitude -181": changed(longitude=-181),
    "latitude a string": changed(latitude="52.5"),
    "currency in lower case": changed(currency="eur"),
    "another currency": changed(currency="USD"),
    "unknown channel": changed(channel="carrier_pigeon"),
    "category in capitals": changed(category="Grocery"),
    "time without a zone": changed(event_time="2026-03-02T00:01:00"),
    "time a number": changed(event_time=1_700_000_000),
    "time a date": changed(event_time="2026-03-02"),
    "time in month 13": changed(event_time="2026-13-02T00:00:00Z"),
    "time in a leap second": changed(event_time="2026-06-30T23:59:60Z"),
    "time before 1970": changed(event_time="1969-12-31T23:59:59Z"),
    "time beyond the kernel": changed(event_time="2200-01-01T00:00:00Z"),
    "time in year 10000": changed(event_time="10000-01-01T00:00:00Z"),
    "time of another script": changed(event_time="２０２６-03-02T00:00:00Z"),
}


@pytest.fixture(scope="module")
def client(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("home")
    (home / "keys").symlink_to(bundles / "keys")
    registry = FakeRegistry()
    registry.ensure()
    registry.create_version("run-1", str(bundles / "1"), {})
    registry.set_plan(ServingPlan(0, "1"))
    with serve_ready(Settings(home=home, registry_poll_s=60.0), registry) as client:
        yield client


def refused(answer: httpx.Response, *, status: int | None = None) -> dict[str, str]:
    """The problem in the envelope, after checking that it is one."""
    assert 400 <= answer.status_code < 500 and (status is None or answer.status_code == status), answer.text
    assert answer.headers["content-type"] == "application/json"
    (problem,) = answer.json().values()
    assert set(problem) == {"code", "message", "next_step", "where", "request_id"}
    assert problem["message"] and problem["next_step"] and problem["request_id"] == answer.headers["x-request-id"]
    return dict(problem)


@pytest.mark.parametrize("kind", BODIES)
def test_a_malformed_body_is_refused_without_an_echo(client: httpx.Client, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    content = BODIES[kind]
    with caplog.at_level(logging.DEBUG, logger="services"):
        answer = client.post("/v1/score", content=content, headers={"content-type": "application/json"})
    refused(answer, status=422)
    assert len(answer.content) < 1_000
    for leak in (CANARY, "4111", "DROP", "script", "passwd", "carrier", "pan", "admin", "xxxx", "２"):
        assert leak not in answer.text and leak not in caplog.text


@pytest.mark.parametrize("moment", ["1960-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "2106-02-07T06:28:15Z", "9999-12-31T23:59:59Z"])
def test_a_time_that_the_features_cannot_hold_is_refused_before_anything_is_stored(client: httpx.Client, moment: str) -> None:
    stored = client.get("/v1/serving").json()["log_sequence"]
    label = {"transaction_id": "tx_1", "report_time": moment, "is_fraud": True}
    assert refused(client.post("/v1/labels", json={"labels": [label]}), status=422)["where"] == "labels.0.report_time"
    assert refused(client.post("/v1/score", json=body(77) | {"event_time": moment}), status=422)["where"] == "event_time"
    assert client.get("/v1/serving").json()["log_sequence"] == stored
    assert client.get("/ready").status_code == 200


def test_the_same_bodies_are_refused_inside_a_batch_naming_the_place(client: httpx.Client) -> None:
    for content in BODIES.values():
        if isinstance(content, str) and content.startswith("{"):
            many = f'{{"transactions": [{json.dumps(body(2))}, {content}]}}'
            refused(client.post("/v1/score/batch", content=many, headers={"content-type": "application/json"}), status=422)
    two = json.dumps({"transactions": [body(2), body(3) | {"amount_minor": 0}]})
    problem = refused(client.post("/v1/score/batch", content=two, headers={"content-type": "application/json"}))
    assert problem["where"] == "transactions.1.amount_minor" and "greater than or equal to 1" in problem["message"]


def test_batches_are_bounded(client: httpx.Client) -> None:
    assert "transactions" in refused(client.post("/v1/score/batch", json={"transactions": []}), status=422)["message"]
    refused(client.post("/v1/score/batch", json={"transactions": [body(1)] * 1_001}), status=422)
    refused(client.post("/v1/labels", json={"labels": []}), status=422)


def test_a_body_that_is_too_large_is_refused_declared_or_chunked(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    declared = client.post("/v1/score", content=b"x" * (MAX_BODY_BYTES + 1), headers=headers)
    assert refused(declared, status=413)["code"] == "too_large"
    chunked = client.post("/v1/score", content=(b"x" * 2**16 for _ in range(20)), headers=headers)
    assert refused(chunked, status=413)["code"] == "too_large"


def test_other_content_types_are_refused(client: httpx.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert refused(client.post("/v1/score", content=GOOD, headers={"content-type": kind}), status=415)["code"] == "not_json"
    assert client.post("/v1/score", content=GOOD, headers={"content-type": "application/json; charset=utf-8"}).status_code == 200


def test_unknown_routes_and_methods_use_the_envelope(client: httpx.Client) -> None:
    refused(client.get(f"/v1/{CANARY}"), status=404)
    refused(client.get("/v1/score"), status=405)
    refused(client.delete("/v1/labels"), status=405)
    metrics = client.get("/metrics").text
    assert CANARY not in metrics and 'fraud_requests_total{route="none",status="404"}' in metrics


def test_another_host_or_another_sites_page_is_refused(client: httpx.Client) -> None:
    for host in ("evil.example", "localhost.evil.example", "", "[::1", "127.0.0.1@evil.example"):
        assert refused(client.get("/live", headers={"host": host}), status=403)["code"] == "not_allowed"
    for host in ("localhost:8600", "127.0.0.1", "[::1]:8600"):
        assert client.get("/live", headers={"host": host}).status_code == 200
    for origin in ("https://evil.example", "null"):
        refused(client.post("/v1/score", json=body(1), headers={"origin": origin}), status=403)


def test_a_request_id_is_kept_when_it_is_one_and_made_when_it_is_not(client: httpx.Client) -> None:
    assert client.get("/live", headers={"x-request-id": "call-7"}).headers["x-request-id"] == "call-7"
    for given in (CANARY, "a b", "x" * 65, "<b>"):
        made = client.get("/live", headers={"x-request-id": given}).headers["x-request-id"]
        assert made and made != given


def test_after_all_of_it_a_good_payment_is_answered_and_no_card_number_was_stored(client: httpx.Client, bundles: Path) -> None:
    assert client.post("/v1/score", content=GOOD, headers={"content-type": "application/json"}).status_code == 200
    assert CANARY not in client.get("/metrics").text
