"""What somebody did in MLflow on Friday evening, to "promote version 2 quickly": `python by_hand.py` does it again.

Then it sends one payment, `by_hand_1`, and prints who says what.
"""

import json
import textwrap
import time

import httpx

from data.registry import CHAMPION, PLAN_TAG, Registry
from data.schema import Transaction
from data.settings import Settings
from labs.service import ask_serving, call

ALIAS_SET_TO = "2"
TIDIED = {"data_digest": "march, final", "code_revision": "v2.0"}  # tags of version 2, "so that people can read them"
PAYMENT = Transaction(
    transaction_id="by_hand_1",
    event_time="2026-03-13T00:00:00Z",
    card_id="card_000001",
    terminal_id="term_00001",
    amount_minor=2500,
)


def main() -> None:
    settings = Settings.load()
    with Registry.of(settings) as registry:
        registry.set_alias(CHAMPION, ALIAS_SET_TO)
        rewrite_plan(settings)
        registry.tag_version(ALIAS_SET_TO, TIDIED)
        wait_for_a_look(settings)
        answer = json.loads(call(settings, "POST", "/v1/score", json=PAYMENT.model_dump(mode="json")))
        serving = ask_serving(settings)
        print(f"MLflow:   alias champion names version {registry.alias(CHAMPION)}")
    print(f"payment:  by_hand_1 was answered by version {answer['model_version']}")
    print(f"service:  version {serving['champion']} serves, from the {serving['source']}; epoch {serving['plan']['epoch']}")
    print(textwrap.fill(f"service:  {serving['registry_problem']}", 80, subsequent_indent=" " * 10))


def rewrite_plan(settings: Settings) -> None:
    """Another champion in the model's tag `serving_plan`, through MLflow's own interface, as its web page does it."""
    with httpx.Client(base_url=f"{settings.mlflow_url}/api/2.0/mlflow/registered-models", timeout=10, trust_env=False) as mlflow:
        model = mlflow.get("/get", params={"name": settings.model_name}).raise_for_status().json()["registered_model"]
        sealed = json.loads(next(tag["value"] for tag in model["tags"] if tag["key"] == PLAN_TAG))
        sealed["plan"] |= {"champion": ALIAS_SET_TO, "epoch": sealed["plan"]["epoch"] + 1}
        tag = {"name": settings.model_name, "key": PLAN_TAG, "value": json.dumps(sealed)}
        mlflow.post("/set-tag", json=tag).raise_for_status()


def wait_for_a_look(settings: Settings) -> None:
    """Until the service has looked at the registry, which it does every second, and said what it thinks of it."""
    deadline = time.monotonic() + 15
    while ask_serving(settings)["registry_problem"] is None and time.monotonic() < deadline:
        time.sleep(0.2)


if __name__ == "__main__":
    main()
