"""A caller of the stack: sends payments at a steady pace, each once more when it got no answer, and keeps what it was told."""

import json
import threading
import time
from types import TracebackType
from typing import Any, Self

import httpx

from data.schema import Transaction

PER_S = 25


class Caller:
    """Sends from its own thread while the test breaks things: `with Caller(...) as caller: ...`."""

    def __init__(self, address: str, name: str, first: Transaction) -> None:
        """`name` begins the ids; payments are those of `first`, a second apart, on cards of their own."""
        self.answers: dict[str, dict[str, Any]] = {}
        self.failures: list[str] = []
        self.slowest_s = 0.0
        self._address, self._name, self._first = address, name, first
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send_all)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def payment(self, number: int) -> dict[str, Any]:
        """The body of its payment `number`."""
        body: dict[str, Any] = json.loads(self._first.model_dump_json())
        return body | {"transaction_id": f"{self._name}_{number:06d}", "card_id": f"card_{self._name}_{number % 50}"}

    def _send_all(self) -> None:
        with httpx.Client(base_url=self._address, timeout=10) as client:
            number = 0
            due = time.monotonic()
            while not self._over.wait(max(0.0, due - time.monotonic())):
                began = time.monotonic()
                self._send(client, self.payment(number))
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                number, due = number + 1, max(due + 1 / PER_S, began)

    def _send(self, client: httpx.Client, body: dict[str, Any]) -> None:
        for again in (False, True):
            try:
                answer = client.post("/v1/score", json=body)
            except httpx.TransportError as error:
                said = type(error).__name__
            else:
                if answer.status_code == 200:
                    self.answers[body["transaction_id"]] = answer.json()
                    return
                said = f"{answer.status_code} {answer.text[:200]}"
            if again:
                self.failures.append(said)
