"""The gate that a service on trial sees the registry through, and what counts as a fault of its answer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.errors import RegistryUnavailable
from data.registry import Registry
from labs.endpoint.bodies import GOOD, Answer, corpus
from labs.endpoint.gate import DAMAGED, RegistryGate
from labs.endpoint.trial import fault_of

MODEL_TEXT = b"tree\nleaf_value=0.25 -0.5\nend of trees\n"


class _Upstream(BaseHTTPRequestHandler):
    """As much of MLflow as a download takes."""

    def do_GET(self) -> None:
        if "model-versions/get" in self.path:
            version = self.path.rpartition("=")[2]
            content = json.dumps({"model_version": {"version": version, "source": f"mlflow-artifacts:/runs/{version}"}}).encode()
        elif self.path.endswith("model.lgb"):
            content = MODEL_TEXT
        else:
            content = json.dumps({"files": [{"path": "model.lgb", "is_dir": False}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Upstream) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def gate(upstream: str) -> Iterator[RegistryGate]:
    with RegistryGate(upstream, champion="1") as gate:
        yield gate


@pytest.fixture
def registry(gate: RegistryGate, tmp_path: Path) -> Iterator[Registry]:
    with Registry(gate.url, "fraud", 0.3, tmp_path) as registry:
        yield registry


def test_who_is_champion_behind_the_gate_is_the_gates_to_say(gate: RegistryGate, registry: Registry) -> None:
    assert (registry.alias("champion"), registry.alias("challenger")) == ("1", None)
    gate.aliases["champion"] = "2"
    assert registry.alias("champion") == "2"


def test_a_version_passes_as_it_is_and_the_made_up_one_with_other_leaves(registry: Registry, tmp_path: Path) -> None:
    registry.download("1", tmp_path / "1")
    registry.download(DAMAGED, tmp_path / "damaged")
    assert (tmp_path / "1" / "model.lgb").read_bytes() == MODEL_TEXT
    assert (tmp_path / "damaged" / "model.lgb").read_bytes() == MODEL_TEXT.replace(b"0.25", b"0.29")


@pytest.mark.parametrize("state", ["down", "silent"])
def test_a_shut_gate_answers_nobody_and_an_opened_one_does(gate: RegistryGate, registry: Registry, state: Any) -> None:
    gate.state = state
    with pytest.raises(RegistryUnavailable):
        registry.alias("champion")
    gate.state = "open"
    assert registry.alias("champion") == "1"


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (0, b"", "silent"),
        (200, b"{}", "accepted"),
        (500, b"{}", "failed"),
        (422, b"not allowed", "not_json"),
        (422, b'{"error": "found secret_key"}', "echo"),
        (422, b'{"error": "transaction_id"}', None),
    ],
)
def test_an_answer_to_a_hostile_body_has_the_fault_that_it_has(status: int, content: bytes, kind: str | None) -> None:
    body = next(body for body in corpus() if body.name == "an unknown key")
    found = fault_of(body, Answer(status, {}, content), known={"transaction_id"})
    assert (found and found[0]) == kind


def test_too_large_a_body_is_refused_as_such() -> None:
    body = next(body for body in corpus() if body.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE)
    found = fault_of(body, Answer(422, {}, b"{}"), known=set())
    assert found is not None and found[0] == "status"


def test_the_good_payment_of_the_corpus_is_good() -> None:
    from data.schema import Transaction

    assert Transaction.model_validate_json(json.dumps(GOOD), strict=True).card_id == "card_1"
