"""The scoring service as its callers meet it: over HTTP, with real bundles and a registry that can fail."""

import asyncio
import json
import math
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.bundle import MODEL, Model
from data.clock import EventClock
from data.features import FEATURE_INDEX
from data.prediction_frames import window_frame, window_matrix
from data.prediction_log import PredictionLog
from data.serving_plan import ServingPlan, seal
from data.settings import Settings
from services.scoring.compose import compose
from tests.fakes import FakeRegistry
from tests.integration.scoring.server import (
    body,
    score,
    serve,
    serve_ready,
    serve_service,
    trial_in_process,
    version_serving,
    wait_until,
)
from tests.records import START, fraud_label


def test_without_a_model_it_lives_and_says_what_to_do_next(lab: Settings) -> None:
    with serve(lab, FakeRegistry()) as client:
        assert client.get("/live").status_code == 200
        for answer in (client.get("/ready"), client.post("/v1/score", json=body(1))):
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
            assert answer.json()["error"]["code"] == "no_model" and "lab train" in answer.json()["error"]["next_step"]
        assert client.get("/v1/serving").json()["source"] == "none"


def test_each_answer_recomputes_from_the_features_that_were_logged(lab: Settings, registry: FakeRegistry, bundles: Path) -> None:
    with serve_ready(lab, registry) as client:
        answers = [score(client, i) for i in range(40)]
    matrix = window_matrix(lab.home / "predictions.db", START, START.replace(year=2027))
    model = Model.load(bundles / "1", "1")
    assert [a["score"] for a in answers] == model.score_many(matrix).tolist()
    assert {a["model_version"] for a in answers} == {"1"} and {a["arm"] for a in answers} == {"champion"}
    for answer in answers:
        expected = model.policy.decide(answer["score"])
        assert answer["decision"] == expected or answer["reasons"]  # a rule may be sterner, and says so
        assert (answer["decision"] == "approve") == (answer["reasons"] == [])


def test_a_batch_gives_the_answers_that_single_payments_would_get(lab: Settings, registry: FakeRegistry, tmp_path: Path) -> None:
    with serve_ready(lab, registry) as client:
        single = [score(client, i) for i in range(150)]
    other = lab.model_copy(update={"home": tmp_path / "other"})
    other.home.mkdir()
    (other.home / "keys").symlink_to(lab.home / "keys")
    with serve_ready(other, registry) as client:
        answer = client.post("/v1/score/batch", json={"transactions": [body(i) for i in range(150)]})
    assert answer.json()["predictions"] == single


def test_the_same_payment_is_answered_the_same_and_stored_once(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        first = client.post("/v1/score", json=body(1)).content
        shuffled = dict(reversed(body(1).items())) | {"event_time": "2026-03-02T02:01:00.001+02:00"}
        assert client.post("/v1/score", json=shuffled).content == first
        both = client.post("/v1/score/batch", json={"transactions": [body(2), body(2)]}).json()["predictions"]
        assert both[0] == both[1]
        changed = client.post("/v1/score", json=body(1, amount_minor=7))
        assert changed.status_code == 422 and changed.json()["error"]["code"] == "idempotency_conflict"
        assert client.get("/v1/serving").json()["log_sequence"] == 2
        assert "fraud_replays_total 2.0" in client.get("/metrics").text


def test_a_hundred_callers_with_one_payment_get_one_answer_and_one_row(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:

        async def storm() -> set[bytes]:
            limits = httpx.Limits(max_connections=20)
            async with httpx.AsyncClient(base_url=client.base_url, limits=limits, timeout=30, trust_env=False) as many:
                return {a.content for a in await asyncio.gather(*(many.post("/v1/score", json=body(1)) for _ in range(100)))}

        assert len(asyncio.run(storm())) == 1
    assert len(window_frame(lab.home / "predictions.db", START, START.replace(year=2027))) == 1


def test_a_restart_changes_no_later_answer(lab: Settings, registry: FakeRegistry, tmp_path: Path) -> None:
    """History comes back to the last bit: from the snapshot of a clean stop, and from the log alone."""
    other = lab.model_copy(update={"home": tmp_path / "other"})
    other.home.mkdir()
    (other.home / "keys").symlink_to(lab.home / "keys")
    with serve_ready(other, registry) as client:
        unbroken = [score(client, i) for i in range(30)]
        label_some(client)
        unbroken += [score(client, i) for i in range(30, 10_000, 500)]
    with serve_ready(lab, registry) as client:
        broken = [score(client, i) for i in range(30)]
        label_some(client)
    assert list((lab.home / "history").glob("at-*.npz"))
    with serve_ready(lab, registry) as client:
        broken += [score(client, i) for i in range(30, 6_000, 500)]
    for snapshot in (lab.home / "history").glob("at-*.npz"):
        snapshot.unlink()
    with serve_ready(lab, registry) as client:
        broken += [score(client, i) for i in range(6_030, 10_000, 500)]
    assert broken == unbroken


def label_some(client: httpx.Client) -> None:
    labels = [json.loads(fraud_label(i, days=d).model_dump_json()) for i, d in ((3, 1), (3, 2), (9, 3))]
    assert client.post("/v1/labels", json={"labels": labels}).json() == {"accepted": 3, "unknown": []}


def test_labels_of_unknown_payments_are_named_and_the_rest_is_taken(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        score(client, 3)
        labels = [json.loads(fraud_label(i).model_dump_json()) for i in (3, 4)]
        assert client.post("/v1/labels", json={"labels": labels}).json() == {"accepted": 1, "unknown": ["tx_000004"]}
        alone = client.post("/v1/labels", json={"labels": labels[1:]})
        assert alone.status_code == 404 and alone.json()["error"]["code"] == "unknown_transaction"
        assert 'fraud_labels_total{is_fraud="true"} 1.0' in client.get("/metrics").text


def test_a_late_label_of_a_payment_from_before_the_log_counts_in_the_features(lab: Settings, registry: FakeRegistry) -> None:
    log = PredictionLog(lab.home / "predictions.db")
    log.add_earlier([("tx_000002", "card_9", "term_4")])
    log.close()
    with serve_ready(lab, registry) as client:
        label = json.loads(fraud_label(2, days=1).model_dump_json())
        assert client.post("/v1/labels", json={"labels": [label]}).json() == {"accepted": 1, "unknown": []}
        score(client, 1_449)  # a little over a day after START, at term_4
    matrix = window_matrix(lab.home / "predictions.db", START, START.replace(year=2027))
    assert matrix[0, FEATURE_INDEX["terminal_reports_1d"]] == 1.0


def test_a_first_model_is_heard_of_before_it_serves(lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    service = compose(lab, registry, trial_in_process)
    served: list[object] = []
    monkeypatch.setattr(service.engine, "expect_history", lambda: served.append(service.slots.serving))
    service.courier.poll()
    assert served == [None] and service.slots.serving is not None


def test_promotion_swaps_the_version_under_traffic_without_a_failed_answer(lab: Settings, registry: FakeRegistry, bundles: Path) -> None:
    models = {v: Model.load(bundles / v, v) for v in ("1", "2", "3")}
    failures: list[str] = []
    stop = threading.Event()
    with serve_ready(lab, registry) as client:

        def traffic(worker: int) -> None:
            with httpx.Client(base_url=client.base_url, timeout=30, trust_env=False) as own:
                for i in range(worker * 100_000, (worker + 1) * 100_000):
                    if stop.is_set():
                        return
                    answer = own.post("/v1/score", json=body(i % 50_000, transaction_id=f"t{i}"))
                    if answer.status_code != 200:
                        failures.append(answer.text)

        threads = [threading.Thread(target=traffic, args=(w,)) for w in range(3)]
        for thread in threads:
            thread.start()
        for epoch in range(1, 13):
            version = str(epoch % 3 + 1)
            registry.set_plan(ServingPlan(epoch=epoch, champion=version))
            wait_until(lambda version=version: version_serving(client) == version, f"version {version} serves")  # type: ignore[misc]
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    frame = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    matrix = window_matrix(lab.home / "predictions.db", START, START.replace(year=2027))
    assert set(frame["model_version"]) == {"1", "2", "3"}
    for version, model in models.items():
        rows = (frame["model_version"] == version).to_numpy()
        assert frame["score"][rows].tolist() == model.score_many(matrix[rows]).tolist()


def test_a_shadow_scores_every_payment_and_answers_none(lab: Settings, registry: FakeRegistry) -> None:
    registry.set_plan(ServingPlan(epoch=1, champion="1", challenger="2", mode="shadow", rollout_id="r1"))
    with serve_ready(lab, registry) as client:
        answers = [score(client, i) for i in range(60)]
    frame = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    assert {a["model_version"] for a in answers} == {"1"}
    assert frame["challenger_score"].notna().all() and set(frame["challenger_version"]) == {"2"}
    assert (frame["challenger_score"] != frame["champion_score"]).any() and (frame["score"] == frame["champion_score"]).all()
    assert set(frame["rollout_id"]) == {"r1"} and set(frame["epoch"]) == {1}


def test_a_canary_answers_exactly_its_cards(lab: Settings, registry: FakeRegistry) -> None:
    plan = ServingPlan(epoch=1, champion="1", challenger="2", mode="canary", share=0.4, rollout_id="r1")
    registry.set_plan(plan)
    with serve_ready(lab, registry) as client:
        for i in range(200):
            card = f"card_{i % 50}"
            answer = score(client, i, card_id=card)
            assert answer["arm"] == plan.arm(card)
            assert answer["model_version"] == ("2" if plan.arm(card) == "challenger" else "1")
    frame = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    assert 20 < (frame["arm"] == "challenger").sum() < 180


JSON = {"content-type": "application/json"}
CANARY_FOR_ALL = ServingPlan(epoch=1, champion="1", challenger="2", mode="canary", share=1.0, rollout_id="r1")


def challenger_scores(monkeypatch: pytest.MonkeyPatch, score: Callable[[], float]) -> None:
    """From now on version "2" answers with what `score` gives, or raises."""
    healthy = Model.score
    monkeypatch.setattr(Model, "score", lambda self, features: score() if self.version == "2" else healthy(self, features))


def test_a_challenger_that_fails_now_and_then_stays_and_the_log_says_where_it_failed(
    lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_plan(CANARY_FOR_ALL)
    calls = count()

    def fails_every_third_time() -> float:
        if next(calls) % 3 == 2:
            raise RuntimeError("broken")
        return 0.25

    with serve_ready(lab, registry) as client:
        challenger_scores(monkeypatch, fails_every_third_time)
        answers = [score(client, i) for i in range(30)]
        assert client.get("/v1/serving").json()["benched"] == {}
        assert "fraud_challenger_errors_total 10.0" in client.get("/metrics").text
    failed = [i % 3 == 2 for i in range(30)]
    assert [a["arm"] for a in answers] == ["champion" if f else "challenger" for f in failed]
    frame = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    assert frame["challenger_score"].isna().tolist() == failed
    assert set(frame["challenger_version"]) == {"2"}


def test_a_challenger_that_always_fails_is_out_after_twenty_payments_and_nobody_notices(
    lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_plan(CANARY_FOR_ALL)

    def fails() -> float:
        raise RuntimeError("broken")

    with serve_ready(lab, registry) as client:
        assert score(client, 0)["arm"] == "challenger"
        challenger_scores(monkeypatch, fails)
        answers = [score(client, i) for i in range(1, 31)]
        assert {(a["arm"], a["model_version"]) for a in answers} == {("champion", "1")}
        assert "20 failures in a row: RuntimeError" in client.get("/v1/serving").json()["benched"]["2"]
        assert "fraud_challenger_failures_total 1.0" in client.get("/metrics").text
    frame = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    assert (frame["challenger_version"] == "2").sum() == 21


@pytest.mark.parametrize(("poison", "why"), [(math.nan, "not a number"), (-math.inf, "no probability"), (1e9, "no probability")])
def test_the_first_score_that_is_no_probability_ends_a_challenger_and_stands_in_the_log(
    lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, poison: float, why: str
) -> None:
    registry.set_plan(CANARY_FOR_ALL)
    with serve_ready(lab, registry) as client:
        challenger_scores(monkeypatch, lambda: poison)
        answers = [score(client, i) for i in range(3)]
        assert {(a["arm"], a["model_version"]) for a in answers} == {("champion", "1")}
        assert why in client.get("/v1/serving").json()["benched"]["2"]
    frame = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    assert frame["challenger_score"].tolist()[0] == math.inf
    assert frame["challenger_version"].isna().tolist() == [False, True, True]


def test_every_row_says_arm_version_rollout_and_epoch_in_every_step(lab: Settings, registry: FakeRegistry) -> None:
    share = {"shadow": 0.0, "canary": 0.5, "soak": 1.0}
    plans = [ServingPlan(n, "1", "2", mode, share[mode], "r1") for n, mode in enumerate(share, 1)]  # type: ignore[arg-type]
    plans.append(ServingPlan(4, "2", rollout_id="r1"))
    with serve_ready(lab, registry) as client:
        for plan in plans:
            assert hand_over(client, lab, plan).json()["plan"] == plan.to_json()
            answers = [score(client, 100 * plan.epoch + i, card_id=f"card_{i}") for i in range(20)]
            assert [a["arm"] for a in answers] == [plan.arm(f"card_{i}") for i in range(20)]
    frame = window_frame(lab.home / "predictions.db", START, START.replace(year=2027))
    assert set(frame["rollout_id"]) == {"r1"}
    assert frame["epoch"].tolist() == [plan.epoch for plan in plans for _ in range(20)]
    by = frame["arm"].astype(str).map({"champion": "champion_version", "challenger": "challenger_version"})
    assert [str(frame.loc[i, column]) for i, column in enumerate(by)] == frame["model_version"].tolist()
    tried = frame[frame["epoch"] < 4]
    assert set(tried["champion_version"]) == {"1"} and set(tried["challenger_version"]) == {"2"}
    assert tried[["champion_score", "challenger_score"]].notna().all().all(), "a champion stays warm in the soak"


def hand_over(client: httpx.Client, lab: Settings, plan: ServingPlan, key: str | None = None) -> httpx.Response:
    keys = lab.home / "keys"
    headers = JSON | {"X-Lab-Key": (keys / "lab.key").read_text() if key is None else key}
    return client.put("/v1/plan", content=seal(plan, lab.model_name, keys), headers=headers)


def test_a_signed_plan_of_a_key_holder_is_followed_at_once_though_the_registry_is_down(lab: Settings, registry: FakeRegistry) -> None:
    registry.set_plan(CANARY_FOR_ALL)
    with serve_ready(lab, registry) as client:
        assert score(client, 1)["model_version"] == "2"
        registry.down = True
        told = hand_over(client, lab, ServingPlan(2, "1", rollout_id="r1"))
        assert (told.json()["champion"], told.json()["source"]) == ("1", "told")
        assert score(client, 2)["model_version"] == "1"
        registry.down = False  # and still says what was in force before
        wait_until(lambda: client.get("/v1/serving").json()["registry_problem"] is None, "the registry is looked at")
        assert score(client, 3)["model_version"] == "1"
    with serve(lab, registry) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "ready")
        assert score(client, 4)["model_version"] == "1", "a restart forgets no rollback"
        registry.set_plan(ServingPlan(2, "1", rollout_id="r1"))
        wait_until(lambda: client.get("/v1/serving").json()["source"] == "registry", "the registry has caught up")


def test_a_plan_without_key_or_signature_or_of_yesterday_changes_nothing(lab: Settings, registry: FakeRegistry) -> None:
    registry.set_plan(ServingPlan(5, "1"))
    with serve_ready(lab, registry) as client:
        refused = hand_over(client, lab, ServingPlan(6, "2"), key="guess")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
        key = JSON | {"X-Lab-Key": (lab.home / "keys" / "lab.key").read_text()}
        forged = seal(ServingPlan(6, "2"), lab.model_name, lab.home / "keys").replace('"champion": "2"', '"champion": "3"')
        of_another_model = seal(ServingPlan(6, "2"), "other", lab.home / "keys")
        deep = '{"plan": {"epoch": ' + "[" * 20_000 + "]" * 20_000 + '}, "signature": ""}'
        of_yesterday = seal(ServingPlan(4, "2"), lab.model_name, lab.home / "keys")
        for told, contents in (
            ((422, "bad_input"), ("{}", "[]", deep, b"\xff\xfe")),
            ((409, "plan_refused"), (forged, of_another_model, of_yesterday)),
        ):
            for content in contents:
                answer = client.put("/v1/plan", content=content, headers=key)
                assert (answer.status_code, answer.json()["error"]["code"]) == told
        assert version_serving(client) == "1"
        assert hand_over(client, lab, ServingPlan(6, "3")).json()["champion"] == "3"  # one that has to be fetched first


def test_a_slow_challenger_is_benched_with_its_time(lab: Settings, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.set_plan(ServingPlan(epoch=1, champion="1", challenger="2", mode="canary", share=1.0))
    healthy = Model.score

    def slow(self: Model, features: Any) -> float:
        return [healthy(self, features) for _ in range(200 if self.version == "2" else 1)][-1]

    monkeypatch.setattr(Model, "score", slow)
    with serve_ready(lab, registry) as client:
        arms = [score(client, i)["arm"] for i in range(150)]
        assert client.get("/v1/serving").json()["benched"]["2"].startswith("slow: ")
    assert arms == sorted(arms) and 50 < arms.count("challenger") < 100, "the challenger answers until it is out"


def test_a_payment_from_the_future_is_refused_and_leaves_no_trace(lab: Settings, registry: FakeRegistry) -> None:
    now = datetime.now(UTC)
    with serve_ready(lab, registry) as client:
        for hours in (1, 24, 24 * 365 * 20):
            late = body(1, event_time=now + timedelta(hours=hours))
            refused = client.post("/v1/score", json=late)
            assert refused.status_code == 422 and refused.json()["error"]["where"] == "event_time"
            batch = client.post("/v1/score/batch", json={"transactions": [*(body(i) for i in range(2, 300)), late]})
            assert batch.status_code == 422 and batch.json()["error"]["where"] == "transactions.298.event_time"
        assert client.get("/v1/serving").json()["log_sequence"] == 0
        score(client, 1, event_time=now + timedelta(minutes=4))
        score(client, 2, event_time=now + timedelta(minutes=60))  # what is live goes on from what was sent
    with serve_ready(lab, registry) as client:
        score(client, 3, event_time=now + timedelta(minutes=110))  # and so it does after a restart
        assert client.post("/v1/score", json=body(4, event_time=now + timedelta(minutes=180))).status_code == 422


def test_a_clock_that_was_set_back_makes_nothing_younger_than_new(lab: Settings, registry: FakeRegistry) -> None:
    service = compose(lab, registry, trial_in_process)
    with serve_service(replace(service, clock=EventClock(START))) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "ready")
        assert client.get("/ready").json()["age_s"] == 0.0


def test_a_damaged_challenger_or_champion_never_gets_in(lab: Settings, registry: FakeRegistry, bundles: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundles / "2", damaged)
    (damaged / MODEL).write_bytes((damaged / MODEL).read_bytes()[:-200])
    version = registry.create_version("run-4", str(damaged), {})
    with serve_ready(lab, registry) as client:
        for plan in (ServingPlan(1, "1", version, "canary", 1.0), ServingPlan(2, version)):
            registry.set_plan(plan)
            wait_until(lambda: version in client.get("/v1/serving").json()["refused"], "refusal")
            assert score(client, plan.epoch)["model_version"] == "1"
        reason = client.get("/v1/serving").json()["refused"][version]
        assert "model.lgb" in reason and "expected" in reason and "found" in reason
    assert not (lab.home / "models" / version).exists()


def test_an_old_bundle_under_a_new_version_is_refused(lab: Settings, registry: FakeRegistry, bundles: Path) -> None:
    registry.set_plan(ServingPlan(1, "3"))
    replayed = registry.create_version("run-9", str(bundles / "2"), {})
    with serve_ready(lab, registry) as client:
        registry.set_plan(ServingPlan(2, replayed))
        wait_until(lambda: replayed in client.get("/v1/serving").json()["refused"], "refusal")
        assert "sequence" in client.get("/v1/serving").json()["refused"][replayed]
        registry.set_plan(ServingPlan(3, "2"))  # going back by name is allowed
        wait_until(lambda: version_serving(client) == "2", "version 2")


def test_with_the_registry_down_it_starts_from_the_last_good_copy_and_says_so(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        before = score(client, 1)
        assert client.get("/ready").json()["source"] == "registry"
        registry.down = True
        wait_until(lambda: client.get("/v1/serving").json()["registry_problem"] is not None, "registry missed")
        assert score(client, 2)["model_version"] == "1"
    with serve(lab, registry) as client:
        ready = client.get("/ready")
        assert ready.status_code == 200 and ready.json()["source"] == "last_good" and ready.json()["age_s"] >= 0
        assert score(client, 1) == before
        registry.down = False
        wait_until(lambda: client.get("/ready").json()["source"] == "registry", "registry again")


def test_a_damaged_note_of_the_last_good_plan_costs_a_start_nothing_but_the_wait_for_the_registry(
    lab: Settings, registry: FakeRegistry
) -> None:
    with serve_ready(lab, registry):
        pass
    for damage in ("", "{", "[]", '{"plan": {}, "confirmed_at": "2026-03-02T00:00:00+00:00"}'):
        (lab.home / "models" / "last_good.json").write_text(damage)
        with serve_ready(lab, registry) as client:
            assert client.get("/ready").json()["source"] == "registry"


def test_a_damaged_last_good_copy_is_fetched_again(lab: Settings, registry: FakeRegistry) -> None:
    with serve_ready(lab, registry) as client:
        score(client, 1)
    file = lab.home / "models" / "1" / MODEL
    file.write_bytes(file.read_bytes()[:-10])
    with serve_ready(lab, registry) as client:
        assert score(client, 2)["model_version"] == "1"


def test_reload_needs_the_labs_key_and_polls_at_once(lab: Settings, registry: FakeRegistry) -> None:
    slow = lab.model_copy(update={"registry_poll_s": 60.0})
    with serve_ready(slow, registry) as client:
        registry.set_plan(ServingPlan(1, "2"))
        for headers in ({}, {"X-Lab-Key": "guess"}):
            refused = client.post("/v1/reload", headers=headers)
            assert refused.status_code == 403 and refused.json()["error"]["code"] == "not_allowed"
        assert version_serving(client) == "1"
        key = (lab.home / "keys" / "lab.key").read_text()
        assert client.post("/v1/reload", headers={"X-Lab-Key": key}).json()["champion"] == "2"
        registry.down = True
        assert client.post("/v1/reload", headers={"X-Lab-Key": key}).json()["error"]["code"] == "registry_unavailable"


def test_the_documentation_page_shows_the_real_schema(lab: Settings, registry: FakeRegistry) -> None:
    with serve(lab, registry) as client:
        paths = client.get("/openapi.json").json()["paths"]
    one = paths["/v1/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    many = paths["/v1/score/batch"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert one["required"] == ["transaction_id", "event_time", "card_id", "terminal_id", "amount_minor"]
    assert many["properties"]["transactions"]["items"] == one and "$ref" not in json.dumps(many)
