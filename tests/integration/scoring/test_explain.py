"""Explaining over HTTP: the arithmetic of the version that answered, and no cost to scoring whatever happens to the child."""

import math
import os
import re
import shutil
import signal
import threading
from typing import Any

import httpx
import psutil
import pytest

from data.bundle import MODEL
from data.features import FEATURE_COUNT
from data.prediction_log import PredictionLog
from data.serving_plan import ServingPlan
from data.settings import Settings
from tests.bundles import CALIBRATION, train_booster
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import score, serve_ready, version_serving, wait_until

CANARY = "4111111111111111"


def explain(client: httpx.Client, number: int, status: int = 200, **query: Any) -> dict[str, Any]:
    """The explanation of `transaction(number)`, or the problem that stands for it."""
    answer = client.get(f"/v1/explain/tx_{number:06d}", params=query)
    assert answer.status_code == status, answer.text
    return dict(answer.json() if status == 200 else answer.json()["error"])


def child_pid() -> int:
    """The process that explains: the only child of this one that runs its module."""
    (found,) = [child.pid for child in psutil.Process().children() if "services.scoring.explain_child" in child.cmdline()]
    return found


def test_an_explanation_is_the_arithmetic_of_the_version_that_answered(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        answers = {number: score(client, number) for number in range(3)}
        registry.set_plan(ServingPlan(1, "2"))  # who serves now has nothing to say about it
        wait_until(lambda: version_serving(client) == "2", "the next version serves")
        told = {number: explain(client, number, top=FEATURE_COUNT) for number in answers}
    log, booster = PredictionLog(lab.home / "predictions.db"), train_booster(seed=1)
    for number, answer in answers.items():
        record = log.logged(answer["transaction_id"])
        assert record is not None
        expected = booster.predict(record.features.reshape(1, -1), pred_contrib=True)[0].tolist()
        found, names = told[number], booster.feature_name()
        assert {part["feature"]: part["contribution"] for part in found["contributions"]} == dict(zip(names, expected[:-1], strict=True))
        assert found["base_margin"] == expected[-1]
        assert found["margin"] == pytest.approx(math.fsum(expected), abs=1e-9)
        assert found["score"] == answer["score"] == pytest.approx(CALIBRATION.probability(found["margin"]), abs=1e-12)
        assert {key: found[key] for key in ("transaction_id", "decision", "model_version", "arm")} == {
            key: answer[key] for key in ("transaction_id", "decision", "model_version", "arm")
        }
        assert [reason["code"] for reason in found["reasons"]] == answer["reasons"]
        assert found["policy"] == {"review_at": 0.2, "decline_at": 0.9}
    log.close()


def test_ten_features_are_listed_unless_another_number_is_asked_for(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        score(client, 1)
        told = explain(client, 1)
        assert (len(told["contributions"]), told["remainder"]["features"]) == (10, FEATURE_COUNT - 10)
        assert len(explain(client, 1, top=1)["contributions"]) == 1


def test_a_payment_that_nobody_scored_is_not_found(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        assert explain(client, 1, 404)["code"] == "unknown_transaction"


def test_parameters_that_break_their_schema_are_refused_without_an_echo(lab: Settings, registry: FakeRegistry) -> None:
    paths = [CANARY, "a%20b", "%00", "x" * 65, "tx_000001?top=0", "tx_000001?top=53", f"tx_000001?top={CANARY}", "tx_000001?top="]
    with serve_ready(lab, registry) as client:
        answers = [client.get(f"/v1/explain/{path}") for path in paths]
    assert [answer.status_code for answer in answers] == [422] * len(paths)
    for problem in (answer.json()["error"] for answer in answers):
        assert problem["code"] == "bad_input" and problem["where"] in ("transaction_id", "top")
    said = "".join(answer.text for answer in answers)
    assert CANARY not in said and "x" * 10 not in said and "a b" not in said


def test_a_version_that_is_gone_damaged_or_another_explains_nothing(lab: Settings, registry: FakeRegistry) -> None:
    bundle = lab.home / "models" / "1"
    with serve_ready(lab, registry) as client:
        score(client, 1)
        explain(client, 1)
        model = (bundle / MODEL).read_bytes()
        (bundle / MODEL).write_bytes(model.replace(b"leaf_value=", b"leaf_value=1", 1))
        assert explain(client, 1, 409)["where"] == MODEL
        (bundle / MODEL).write_bytes(model)
        explain(client, 1)
        shutil.rmtree(bundle)
        assert explain(client, 1, 410)["code"] == "model_gone"
        registry.set_plan(ServingPlan(1, "2"))
        wait_until(lambda: version_serving(client) == "2", "the next version serves")
        shutil.copytree(lab.home / "models" / "2", bundle)  # its seal holds, but it is not what answered
        assert "expected the score that was answered" in explain(client, 1, 409)["message"]
        assert score(client, 1)["model_version"] == "1" and score(client, 2)["model_version"] == "2"


def test_killing_the_child_again_and_again_costs_no_scoring_request(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        score(client, 0)
        done, statuses = threading.Event(), []

        def keep_scoring() -> None:
            with httpx.Client(base_url=client.base_url, timeout=30, trust_env=False) as other:
                number = 1
                while not done.is_set():
                    score(other, number)
                    statuses.append(200)
                    number += 1

        scoring = threading.Thread(target=keep_scoring)
        scoring.start()
        killed = []
        try:
            for _ in range(3):
                wait_until(lambda: client.get("/v1/explain/tx_000000").status_code == 200, "explained")
                killed.append(child_pid())
                os.kill(killed[-1], signal.SIGKILL)
        finally:
            done.set()
            scoring.join()
        assert len(set(killed)) == 3 and len(statuses) > 10
        counts = client.get("/metrics").text
        assert f'fraud_requests_total{{route="/v1/score",status="200"}} {len(statuses) + 1}.0' in counts
        failed = re.findall(r'fraud_requests_total\{route="/v1/score",status="5\d\d"\} (\S+)', counts)
        assert failed and set(failed) == {"0.0"}
    assert [child for child in psutil.Process().children() if "services.scoring.explain_child" in child.cmdline()] == []
