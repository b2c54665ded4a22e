"""The fraud model behind an API. Yours: it works on a good day, and the payments team is about to call it.

    python service.py     serves on PORT, and writes into FOLDER

POST /predict          a payment (data/schema.py, Transaction) in, score and decision out
POST /predict/batch    {"transactions": [payment, …]} in, {"predictions": [answer, …]} out
GET  /health
"""

import json
import os
import time
from datetime import datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

from data.bundle import Model
from data.history import History
from data.registry import CHAMPION, Registry
from data.settings import Settings

PORT = int(os.environ.get("PORT", "8700"))
FOLDER = Path(os.environ.get("FOLDER", "run"))

settings = Settings.load()
registry = Registry.of(settings)
history = History.load(settings.home / "history" / "snapshot")  # who paid where, up to the day the model went live
models: dict[str, Model] = {}
app = FastAPI(title="Fraud model")


def champion():
    """Always the latest."""
    version = registry.alias(CHAMPION)
    if version not in models:
        registry.download(version, FOLDER / version)
        models[version] = Model.load(FOLDER / version, version)
    return models[version]


def features_of(payment):
    """What the model sees: the payment beside the history of its card and its terminal."""
    return history.advance(
        payment["card_id"],
        payment["terminal_id"],
        int(datetime.fromisoformat(payment["event_time"]).timestamp()),
        payment["amount_minor"],
        payment.get("channel", "unknown"),
        payment.get("category", "unknown"),
        payment.get("latitude"),
        payment.get("longitude"),
        payment.get("device_id"),
    )


def answer(payment):
    """One payment's answer, and its line in the log."""
    began = time.perf_counter()
    model = champion()
    score = model.score(features_of(payment))
    said = {"transaction_id": payment["transaction_id"], "score": score, "decision": model.policy.decide(score)}
    took = round((time.perf_counter() - began) * 1000, 3)
    with (FOLDER / "predictions.jsonl").open("a") as log:
        log.write(json.dumps({"payment": payment, "answer": said, "ms": took}) + "\n")
    return said


@app.post("/predict")
async def predict(request: Request):
    payment = await request.json()
    try:
        return answer(payment)
    except Exception as error:
        return {"error": f"could not score {payment}: {error!r}"}


@app.post("/predict/batch")
async def predict_batch(request: Request):
    payments = await request.json()
    return {"predictions": [answer(payment) for payment in payments["transactions"]]}


@app.get("/health")
async def health():
    return {"status": "ok", "version": champion().version}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    uvicorn.run(app, host="127.0.0.1", port=PORT)
