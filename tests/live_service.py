"""A scoring service that a test can look into: it answers and logs as the real one does, and says who serves."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from data.prediction_log import PredictionLog
from data.schema import Label, Transaction
from tests.records import record

DECLINED = "_9"  # how the ids end of payments that it declines
REVIEWED = "_8"  # and of those that it sends to review


class Service:
    """A payment once, a label once; `champion` is asked for at each answer."""

    def __init__(self, log: PredictionLog, champion: Callable[[], str | None] = lambda: "1") -> None:
        self.log, self.champion = log, champion
        self.labels, self.count, self.faults = list[str](), 0, list[dict[str, Any]]()
        self.challenger_fault: dict[str, Any] | None = None
        self.payments: dict[str, Transaction] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def do_GET(self) -> None:
                self.reply({"champion": service.champion(), "faults": service.faults, "challenger_fault": service.challenger_fault})

            def do_PUT(self) -> None:
                asked = self.body()
                service.faults = asked.get("faults", service.faults)
                service.challenger_fault = asked.get("challenger", service.challenger_fault)
                self.do_GET()

            def do_POST(self) -> None:
                facts = self.body()
                self.do_GET() if self.path == "/v1/reload" else self.reply(service.answer(facts))

            def body(self) -> dict[str, Any]:
                return dict(json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}"))

            def reply(self, facts: dict[str, Any]) -> None:
                body = json.dumps(facts).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def answer(self, facts: dict[str, Any]) -> dict[str, Any]:
        """To a payment, to payments, or to labels."""
        if "labels" in facts:
            self.labels += [str(label["transaction_id"]) for label in facts["labels"]]
            self.log.add_labels([Label.model_validate_json(json.dumps(label)) for label in facts["labels"]])
            return {"accepted": len(facts["labels"]), "unknown": []}
        if "transactions" not in facts:
            return dict(self.answer({"transactions": [facts]})["predictions"][0])
        payments = [Transaction.model_validate_json(json.dumps(one)) for one in facts["transactions"]]
        ids = [one.transaction_id for one in payments]
        decisions = {one: "decline" if one.endswith(DECLINED) else "review" if one.endswith(REVIEWED) else "approve" for one in ids}
        new = [one for one in payments if one.transaction_id not in self.log.find(ids)]
        self.count += len(new)
        self.payments.update((one.transaction_id, one) for one in new)
        self.log.append([record(1, payment=one, decision=decisions[one.transaction_id]) for one in new])
        answers = [{"transaction_id": one, "decision": decisions[one], "score": 0.1, "model_version": "1"} for one in ids]
        return {"predictions": answers}

    def close(self) -> None:
        """Its port is free again."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
