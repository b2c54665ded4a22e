"""The anchor: a FastAPI endpoint that takes our Transaction, does nothing, and answers with one fixed Prediction."""

import sys

import uvicorn
from fastapi import FastAPI

from data.schema import Prediction, Transaction

app = FastAPI()
ANSWER = Prediction(transaction_id="tx", score=0.5, decision="approve", reasons=(), model_version="1", arm="champion")


@app.post("/v1/score", response_model=Prediction)
async def score(transaction: Transaction) -> Prediction:
    return ANSWER


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_config=None)
