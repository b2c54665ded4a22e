"""What tutorials write: a `def` endpoint that makes a frame of one row and asks the pickled scikit-learn classifier."""

import sys
from pathlib import Path

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

from data.features import FEATURES

app = FastAPI()
classifier = joblib.load(Path(sys.argv[2]) / "classifier.joblib")
Features = create_model("Features", **dict.fromkeys(FEATURES, (float | None, None)))


class Answer(BaseModel):
    probability: float


@app.post("/score")
def score(features: Features) -> Answer:  # type: ignore[valid-type]
    frame = pd.DataFrame([features.model_dump()]).astype("float64")
    return Answer(probability=classifier.predict_proba(frame)[0, 1])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_config=None)
