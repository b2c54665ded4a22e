"""What `python -m tests.bench serving` loads in turn: the anchor, our service under several settings, and what people write instead.

The others have it easier on purpose: they get the 52 features ready in the request, keep no history, apply no rules, give no
reasons and log nothing. Only our service and the anchor take a payment as the card network sends it. Every FastAPI server
runs on uvicorn with uvloop and httptools, without an access log, as ours does.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

_HERE = "tests.bench.serving_variants"


@dataclass(frozen=True)
class Variant:
    """One server: how to start it, what to send it, and for ours which settings and how many models."""

    name: str
    command: tuple[str, ...]  # {port} and {material}, the folder that serving_material.py makes, are filled in
    path: str
    bodies: str  # the file of {material} whose lines are sent
    models: int = 0  # of ours: 1 is a champion alone, 2 a challenger in its shadow
    settings: Mapping[str, str] = field(default_factory=dict)  # LAB_* beyond home and ports


def _ours(name: str, models: int = 1, **settings: str) -> Variant:
    return Variant(name, (sys.executable, "-m", "services.scoring"), "/v1/score", "payments.txt", models, settings)


def _theirs(name: str, module: str) -> Variant:
    command = (sys.executable, "-m", f"{_HERE}.{module}", "{port}", "{material}")
    return Variant(name, command, "/score", "features.txt")


ANCHOR = Variant("empty FastAPI endpoint", (sys.executable, "-m", f"{_HERE}.empty_endpoint", "{port}"), "/v1/score", "payments.txt")
OURS = _ours("ours")
BUFFERED = _ours("ours, log buffered", LAB_LOG_WRITE="buffered")
SHADOW = _ours("ours, with a shadow", models=2)
BOOSTER = _theirs("numpy, Booster.predict", "booster_row")
TUTORIAL = _theirs("pandas, classifier", "pandas_row")
MLFLOW = Variant(
    "mlflow models serve",
    (
        sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "{material}/mlflow", "--env-manager", "local",
        "--host", "127.0.0.1", "--port", "{port}", "--workers", "1",
    ),
    "/invocations",
    "invocations.txt",
)  # fmt: skip

VARIANTS = (ANCHOR, OURS, BUFFERED, SHADOW, BOOSTER, TUTORIAL, MLFLOW)
