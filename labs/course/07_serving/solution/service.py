"""The fraud model behind an API, for a bad day too: `python service.py` serves on PORT, and writes into FOLDER."""

import hashlib
import json
import os
import re
import secrets
import time
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from models import Courier
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from data.errors import LabError
from data.history import History
from data.reasons import model_reasons
from data.rules import apply_rules
from data.schema import Transaction, event_seconds, looks_like_card_number
from data.settings import Settings

PORT = int(os.environ.get("PORT", "8700"))
FOLDER = Path(os.environ.get("FOLDER", "run"))
MOST_BYTES, MOST_PAYMENTS = 2**20, 1_000
STERNNESS = {"approve": 0, "review": 1, "decline": 2}


class Batch(BaseModel):
    model_config = ConfigDict(extra="forbid")
    transactions: list[Transaction] = Field(min_length=1, max_length=MOST_PAYMENTS)


FIELDS = Transaction.model_fields.keys() | Batch.model_fields.keys()
settings = Settings.load()
history = History.load(settings.home / "history" / "snapshot")
courier = Courier(settings, FOLDER)


@asynccontextmanager
async def lifespan(_: FastAPI):
    courier.start()
    yield


app = FastAPI(title="Fraud model", lifespan=lifespan)


async def body_of(request: Request) -> bytes:
    """The body, of which no more is read than is allowed."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    too_large = HTTPException(413, f"send at most {MOST_BYTES} bytes")
    if int(request.headers.get("content-length", "0")) > MOST_BYTES:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise too_large
    return bytes(body)


def decode(kind, body: bytes):
    """The message, strictly; what is said of a fault names places of ours and no text of theirs."""
    try:
        message = kind.model_validate_json(body, strict=True)
        json.loads(body, object_pairs_hook=unrepeated)  # parsers keep one of two equal keys; which one, is theirs to choose
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part in FIELDS)
        raise HTTPException(422, f"{where or 'body'}: {first['type']}") from None
    return message


def unrepeated(pairs):
    if len(found := dict(pairs)) != len(pairs):
        raise HTTPException(422, "an object repeats a key")
    return found


def answers(payments, request_id: str):
    """Features, then rules, model and policy for each payment; all of them are answered, or none is remembered."""
    if (serving := courier.serving) is None:
        raise HTTPException(503, "no model yet; try again")
    began = time.perf_counter()
    rows = history.advance_many([
        (p.card_id, p.terminal_id, event_seconds(p.event_time), p.amount_minor, p.channel, p.category, p.latitude, p.longitude, p.device_id)
        for p in payments
    ])  # fmt: skip
    said = [judge(serving.champion, payment, row) for payment, row in zip(payments, rows, strict=True)]
    seconds = [shadow(serving.challenger, row) for row in rows]
    took = round((time.perf_counter() - began) * 1000 / len(said), 3)
    with (FOLDER / "predictions.jsonl").open("a") as log:
        for answer, row, second in zip(said, rows, seconds, strict=True):
            log.write(json.dumps({
                "request_id": request_id, **answer, "features_sha256": hashlib.sha256(row.tobytes()).hexdigest(), "latency_ms": took,
                "challenger_version": serving.challenger and serving.challenger.version, "challenger_score": second,
            }) + "\n")  # fmt: skip
    return said


def judge(model, payment, row):
    """The rules speak first; whoever is sterner decides, and the model's score is there in any case."""
    values, score = row.tolist(), model.score(row)
    rules, decision, layer = apply_rules(values), model.policy.decide(score), "model"
    reasons = () if decision == "approve" else model_reasons(values)
    if rules.action is not None and STERNNESS[rules.action] >= STERNNESS[decision]:
        decision, layer, reasons = rules.action, "rules", rules.reasons
    return {"transaction_id": payment.transaction_id, "score": score, "decision": decision, "layer": layer, "reasons": reasons,
            "model_version": model.version}  # fmt: skip


def shadow(challenger, row):
    """Its score for the log; whatever goes wrong with it is no concern of the payment's."""
    try:
        return challenger.score(row) if challenger else None
    except Exception:
        return None


def request_id_of(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", given) and not looks_like_card_number(given) else secrets.token_hex(8)


@app.middleware("http")
async def mark(request: Request, go_on):
    request.state.id = request_id_of(request)
    answer = await go_on(request)
    answer.headers["x-request-id"] = request.state.id
    return answer


@app.exception_handler(HTTPException)
@app.exception_handler(LabError)
async def refuse(request: Request, error):
    status, message = (error.status_code, error.detail) if isinstance(error, HTTPException) else (error.http_status, error.message)
    return JSONResponse({"error": {"message": message, "request_id": request.state.id}}, status)


def as_response(content, said):
    return JSONResponse(content, headers={"x-model-version": said[0]["model_version"]})


@app.post("/predict")
async def predict(request: Request):
    said = answers([decode(Transaction, await body_of(request))], request.state.id)
    return as_response(said[0], said)


@app.post("/predict/batch")
async def predict_batch(request: Request):
    said = answers(decode(Batch, await body_of(request)).transactions, request.state.id)
    return as_response({"predictions": said}, said)


@app.get("/health")
async def health():
    """The process lives. It depends on nothing: a restart cures no registry."""
    return {"status": "ok"}


@app.get("/ready")
async def ready():
    if (serving := courier.serving) is None:
        raise HTTPException(503, "no model yet")
    return {"status": "ready", "version": serving.champion.version}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    uvicorn.run(app, host="127.0.0.1", port=PORT, access_log=False)  # its lines would repeat whatever stands in a URL
