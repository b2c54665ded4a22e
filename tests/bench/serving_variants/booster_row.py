"""What a careful engineer writes: a FastAPI endpoint, pydantic for the features, one numpy row for `Booster.predict`."""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

from data.features import FEATURES

app = FastAPI()
booster = lightgbm.Booster(model_file=Path(sys.argv[2]) / "1" / "model.lgb")
Features = create_model("Features", **dict.fromkeys(FEATURES, (float | None, None)))


class Answer(BaseModel):
    probability: float


@app.post("/score")
async def score(features: Features) -> Answer:  # type: ignore[valid-type]
    row = np.array([list(features.model_dump().values())], dtype=np.float64)  # None becomes NaN
    return Answer(probability=booster.predict(row, num_threads=1)[0])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_config=None)
