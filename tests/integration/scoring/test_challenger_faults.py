"""Faults of the challenger in a running service: asked for with the lab's key, met by the challenger alone, over when nobody asks."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from data.bundle import Model
from data.errors import BadInput
from data.keys import lab_key
from data.prediction_frames import window_frame, window_matrix
from data.serving_plan import ServingPlan
from data.settings import Settings
from labs.canaries.catalogue import CANARIES
from labs.canaries.live import fault_of
from services.scoring import patience
from services.scoring.messages import AskedChallengerFault
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import body, score, serve_ready
from tests.records import START

COUNT = 200
SHADOW = ServingPlan(1, "1", "2", "shadow", rollout_id="r1")
CANARY = ServingPlan(1, "1", "2", "canary", 0.5, "r1")


def give(client: Any, settings: Settings, fault: dict[str, Any] | None) -> Any:
    answer = client.put("/v1/faults", json={"challenger": fault}, headers={"X-Lab-Key": lab_key(settings.home / "keys")})
    assert answer.status_code == 200, answer.text
    return answer.json()["challenger_fault"]


def logged(settings: Settings) -> Any:
    return window_frame(settings.home / "predictions.db", START, START.replace(year=2027))


@pytest.fixture
def models(bundles: Any) -> dict[str, Model]:
    return {version: Model.load(bundles / version, version) for version in ("1", "2")}


def test_a_challenger_fails_on_its_share_of_payments_alone_or_in_a_batch_and_the_champion_never(
    lab: Settings, registry: FakeRegistry, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_plan(CANARY)
    monkeypatch.setattr(patience, "FLOOR_S", 1.0)  # how busy this machine is decides nothing here
    with serve_ready(lab, registry) as client:
        given = give(client, lab, {"fails": 0.3})
        assert given["fails"] == 0.3
        for i in range(COUNT // 2):
            score(client, i)
        batch = [body(i) for i in range(COUNT // 2, COUNT)]
        answers = client.post("/v1/score/batch", json={"transactions": batch})
        assert answers.status_code == 200
        assert client.get("/v1/serving").json()["benched"] == {}
    log, matrix = logged(lab), window_matrix(lab.home / "predictions.db", START, START.replace(year=2027))
    failed = log["challenger_score"].isna().to_numpy()
    assert 0.15 < failed[: COUNT // 2].mean() < 0.45
    assert 0.15 < failed[COUNT // 2 :].mean() < 0.45
    assert log["champion_score"].tolist() == models["1"].score_many(matrix).tolist()
    assert set(log["arm"][failed]) == {"champion"}
    assert "challenger" in set(log["arm"][~failed])


def test_skewed_features_and_inflated_scores_are_the_challengers_and_the_log_keeps_the_right_features(
    lab: Settings, registry: FakeRegistry, models: dict[str, Model]
) -> None:
    registry.set_plan(SHADOW)
    with serve_ready(lab, registry) as client:
        give(client, lab, {"columns_off": 1, "score_factor": 2.0})
        for i in range(40):
            score(client, i)
        assert give(client, lab, None) is None
        score(client, 40)
    log, matrix = logged(lab), window_matrix(lab.home / "predictions.db", START, START.replace(year=2027))
    skewed = np.minimum(2.0 * models["2"].score_many(np.roll(matrix, 1, axis=1)), 1.0)
    assert log["challenger_score"].tolist()[:40] == skewed.tolist()[:40]
    assert log["challenger_score"].tolist()[40] == models["2"].score_many(matrix).tolist()[40]
    assert log["champion_score"].tolist() == models["1"].score_many(matrix).tolist()


def test_a_fault_of_canaries_waits_for_the_first_answer_and_poison_ends_the_challenger(lab: Settings, registry: FakeRegistry) -> None:
    registry.set_plan(SHADOW)
    fault = {"poison": 1.0, "in_canary": True}
    with serve_ready(lab, registry) as client:
        give(client, lab, fault)
        score(client, 0)
        assert client.get("/v1/serving").json()["benched"] == {}
    registry.set_plan(CANARY)
    with serve_ready(lab, registry) as client:
        assert client.get("/v1/serving").json()["challenger_fault"] is None  # a restart ends it
        give(client, lab, fault)
        assert score(client, 1)["arm"] == "champion"
        assert "not a number" in client.get("/v1/serving").json()["benched"]["2"]


def test_slow_answers_are_the_challengers_and_those_under_load_wait_for_it(lab: Settings, registry: FakeRegistry) -> None:
    registry.set_plan(CANARY)
    with serve_ready(lab, registry) as client:
        give(client, lab, {"slow": 1.0, "slow_ms": 5.0})
        for i in range(40):
            score(client, i)
        give(client, lab, {"slow": 1.0, "slow_ms": 5.0, "slow_above_per_s": 10_000.0})
        for i in range(40, 60):
            score(client, i)
    log = logged(lab)
    theirs = (log["arm"] == "challenger").to_numpy()
    slow = (log["latency_us"] >= 5_000).to_numpy()
    assert slow[:40][theirs[:40]].all()
    assert theirs[40:].any()
    assert np.median(log["latency_us"][40:]) < 5_000  # one of them may have met a pause of the machine


def test_nobody_gives_a_fault_without_the_key_and_what_makes_no_sense_is_refused(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        assert client.put("/v1/faults", json={"challenger": {"fails": 1.0}}).status_code == 403
        key = {"X-Lab-Key": lab_key(lab.home / "keys")}
        for wrong in ({"fails": 2.0}, {"colour": 1}, {"score_factor": 0}):
            assert client.put("/v1/faults", json={"challenger": wrong}, headers=key).status_code == 422
        assert client.get("/v1/serving").json()["challenger_fault"] is None


def test_every_fault_that_the_catalogue_can_inject_is_one_that_the_service_takes() -> None:
    asked = {}
    for canary in CANARIES.values():
        with suppress(BadInput):
            asked[canary.name] = AskedChallengerFault.model_validate(fault_of(canary))
    assert {"errors_30", "slow_under_load", "poisoned_score", "skewed_features", "lost_calibrator", "slow_bleed"} <= set(asked)
    assert not {"identical", "killed_controller", "labels_stop"} & set(asked)
