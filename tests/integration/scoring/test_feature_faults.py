"""Faults of features in a running service: asked for with the lab's key, done to what the models see, over when nobody asks for them."""

from datetime import timedelta
from typing import Any, get_args

import numpy as np
import pytest

from data.faults.features import CARD_BLOCK, FEATURE_FAULTS
from data.features import FEATURE_INDEX
from data.keys import lab_key
from data.prediction_frames import window_frame, window_matrix
from data.scenarios import scenario
from data.settings import Settings
from services.scoring.messages import AskedFault
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import body, score, serve_ready
from tests.records import START

COUNT = 60
MIS_JOIN: dict[str, Any] = {"mechanism": "mis_join", "strength": 1.0, "seed": 1, "start": "2026-01-01"}


def asked(client: Any, settings: Settings, *faults: dict[str, Any]) -> list[dict[str, Any]]:
    key = {"X-Lab-Key": lab_key(settings.home / "keys")}
    answer = client.put("/v1/faults", json={"faults": faults}, headers=key)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["faults"])


def matrix(settings: Settings) -> np.ndarray:
    return window_matrix(settings.home / "predictions.db", START, START.replace(year=2027))


def later(number: int) -> dict[str, Any]:
    """Eight hours after the payment before it, so that a card's week differs from its day."""
    return {"event_time": (START + timedelta(hours=8 * number)).isoformat(), "card_id": f"card_{number % 3}"}


@pytest.fixture
def quiet(lab: Settings, registry: FakeRegistry, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The features of the same payments where nothing was asked for."""
    other = lab.model_copy(update={"home": tmp_path_factory.mktemp("quiet")})
    (other.home / "keys").symlink_to(lab.home / "keys")
    with serve_ready(other, registry) as client:
        for i in range(COUNT):
            score(client, i, **later(i))
    return matrix(other)


def test_no_fault_is_done_unless_a_key_asks_for_it(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        for headers in ({}, {"X-Lab-Key": "guess"}):
            refused = client.put("/v1/faults", json={"faults": [MIS_JOIN]}, headers=headers)
            assert refused.status_code == 403 and refused.json()["error"]["code"] == "not_allowed"
        assert client.get("/v1/serving").json()["faults"] == []
        key = {"X-Lab-Key": lab_key(lab.home / "keys")}
        for wrong in ({"mechanism": "gremlins"}, {"strength": 0}, {"start": "soon"}, {"colour": 1}):
            answer = client.put("/v1/faults", json={"faults": [MIS_JOIN | wrong]}, headers=key)
            assert answer.status_code == 422 and "gremlins" not in answer.text and "soon" not in answer.text


def test_a_mis_join_is_what_the_models_and_the_log_see_and_it_ends_when_asked(
    lab: Settings, registry: FakeRegistry, quiet: np.ndarray
) -> None:
    third = COUNT // 3
    with serve_ready(lab, registry) as client:
        for i in range(third):
            score(client, i, **later(i))
        assert asked(client, lab, MIS_JOIN)[0]["mechanism"] == client.get("/v1/serving").json()["faults"][0]["mechanism"] == "mis_join"
        payments = {"transactions": [body(i, **later(i)) for i in range(third, 2 * third)]}
        assert client.post("/v1/score/batch", json=payments).status_code == 200
        assert asked(client, lab) == []
        for i in range(2 * third, COUNT):
            score(client, i, **later(i))
    served = matrix(lab)
    card = [FEATURE_INDEX[name] for name in CARD_BLOCK]
    first = third + 1  # the payment before the first was not seen by the fault
    np.testing.assert_array_equal(served[first : 2 * third, card], quiet[first - 1 : 2 * third - 1][:, card])
    own = [k for k in range(quiet.shape[1]) if k not in card]
    np.testing.assert_array_equal(served[:, own], quiet[:, own])
    np.testing.assert_array_equal(np.delete(served, slice(first, 2 * third), axis=0), np.delete(quiet, slice(first, 2 * third), axis=0))


def test_one_by_one_or_together_the_fault_is_that_of_the_exercises(lab: Settings, registry: FakeRegistry, quiet: np.ndarray) -> None:
    start = START.date()
    with serve_ready(lab, registry) as client:
        asked(client, lab, {"mechanism": "stretch_window", "strength": 4.0, "seed": 5, "start": str(start)}, MIS_JOIN | {"strength": 0.4})
        for i in range(20):
            score(client, i, **later(i))
        client.post("/v1/score/batch", json={"transactions": [body(i, **later(i)) for i in range(20, COUNT)]})
    log = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    stretched, some = scenario("D10").inject(start, seed=5, strength=4.0).apply_features(quiet, log)
    both, more = scenario("D9").inject(start, seed=1, strength=0.4).apply_features(stretched, log)
    assert some.any() and more.any()
    np.testing.assert_array_equal(matrix(lab), both)


def test_every_fault_of_features_can_be_asked_for() -> None:
    assert set(get_args(AskedFault.model_fields["mechanism"].annotation)) == set(FEATURE_FAULTS)
