"""What everybody may rely on of the registry, checked on a real MLflow server and on the fake used elsewhere."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from data.errors import BundleRefused, PlanRefused, RegistryUnavailable, UnknownRun
from data.registry import PLAN_TAG, Registry
from data.serving_plan import ServingPlan, seal
from tests.fakes import FakeRegistry

AnyRegistry = Registry | FakeRegistry
Publish = Callable[[dict[str, bytes]], tuple[str, str]]  # files -> (run id, source)
_model_number = iter(range(10_000))


@pytest.fixture(params=["mlflow", "fake"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[AnyRegistry, Publish]]:
    """A registry with no model yet, and a way to put a run's files where it finds them."""
    if request.param == "fake":
        yield FakeRegistry(), lambda files: _publish_locally(tmp_path / "run", files)
        return
    url = request.getfixturevalue("mlflow_url")
    with Registry(url, f"contract-{next(_model_number)}", timeout_s=20, key_folder=tmp_path / "keys") as registry:
        yield registry, lambda files: _publish_to_mlflow(url, files)


def _publish_locally(folder: Path, files: dict[str, bytes]) -> tuple[str, str]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return "run-1", str(folder)


def _publish_to_mlflow(url: str, files: dict[str, bytes]) -> tuple[str, str]:
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as http:
        run = http.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]
        place = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        for name, content in files.items():
            http.put(f"/api/2.0/mlflow-artifacts/artifacts/{place}/model/{name}", content=content).raise_for_status()
    return run["run_id"], run["artifact_uri"] + "/model"


def test_a_registry_without_a_model_answers_empty_instead_of_failing(stand: tuple[AnyRegistry, Publish]) -> None:
    registry, _ = stand
    assert registry.versions() == []
    assert registry.plan() is None
    assert registry.alias("champion") is None


def test_making_the_model_twice_is_harmless(stand: tuple[AnyRegistry, Publish]) -> None:
    registry, _ = stand
    registry.ensure()
    registry.ensure()
    assert registry.versions() == []


def test_versions_count_up_and_keep_their_run_source_and_tags(stand: tuple[AnyRegistry, Publish]) -> None:
    registry, publish = stand
    registry.ensure()
    run_id, source = publish({"model.lgb": b"trees"})
    first = registry.create_version(run_id, source, {"data_hash": "abc"})
    second = registry.create_version(run_id, source, {})
    assert (first, second) == ("1", "2")
    facts = registry.version(first)
    assert (facts.run_id, facts.source, facts.tags) == (run_id, source, {"data_hash": "abc"})
    assert [facts.version for facts in registry.versions()] == ["1", "2"]


def test_a_version_is_tagged_after_it_was_made_and_a_tag_is_replaced(stand: tuple[AnyRegistry, Publish]) -> None:
    registry, publish = stand
    registry.ensure()
    version = registry.create_version(*publish({"model.lgb": b"trees"}), {"data_hash": "abc"})
    registry.tag_version(version, {"rollout_id": "rollout-1", "rollout_state": "shadow"})
    registry.tag_version(version, {"rollout_state": "canary"})
    assert registry.version(version).tags == {"data_hash": "abc", "rollout_id": "rollout-1", "rollout_state": "canary"}
    with pytest.raises(UnknownRun):
        registry.tag_version("9", {"rollout_id": "rollout-1"})


def test_an_alias_moves_and_goes(stand: tuple[AnyRegistry, Publish]) -> None:
    registry, publish = stand
    registry.ensure()
    run_id, source = publish({"model.lgb": b"trees"})
    for _ in range(2):
        registry.create_version(run_id, source, {})
    registry.set_alias("champion", "1")
    assert registry.alias("champion") == "1"
    registry.set_alias("champion", "2")
    assert registry.alias("champion") == "2"
    registry.delete_alias("champion")
    registry.delete_alias("champion")
    assert registry.alias("champion") is None


def test_the_serving_plan_comes_back_as_it_was_set(stand: tuple[AnyRegistry, Publish]) -> None:
    registry, _ = stand
    registry.ensure()
    plan = ServingPlan(3, "1", "2", "canary", 0.05, "rollout-1")
    registry.set_plan(ServingPlan(2, "1"))
    registry.set_plan(plan)
    assert registry.plan() == plan


def test_a_download_copies_every_file_byte_for_byte(stand: tuple[AnyRegistry, Publish], tmp_path: Path) -> None:
    registry, publish = stand
    registry.ensure()
    files = {"model.lgb": bytes(range(256)) * 5_000, "calibration.json": b"{}", "metadata/deep/note.txt": b"\n"}
    run_id, source = publish(files)
    version = registry.create_version(run_id, source, {})
    target = tmp_path / "copy"
    target.mkdir()
    registry.download(version, target)
    assert {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()} == files


def test_what_was_never_registered_is_named_as_unknown(stand: tuple[AnyRegistry, Publish], tmp_path: Path) -> None:
    registry, _ = stand
    registry.ensure()
    for ask in (
        lambda: registry.version("7"),
        lambda: registry.set_alias("champion", "7"),
        lambda: registry.download("7", tmp_path / "nothing"),
    ):
        with pytest.raises(UnknownRun):
            ask()


def test_a_version_without_files_cannot_be_downloaded(stand: tuple[AnyRegistry, Publish], tmp_path: Path) -> None:
    registry, publish = stand
    registry.ensure()
    version = registry.create_version(*publish({}), {})
    with pytest.raises(UnknownRun):
        registry.download(version, tmp_path / "nothing")


def test_a_closed_port_fails_at_once_with_the_next_step(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Registry(f"http://127.0.0.1:{port}", "fraud", 5, tmp_path) as registry, pytest.raises(RegistryUnavailable, match="lab up"):
        registry.plan()


def test_a_silent_server_fails_after_the_time_out_and_not_later(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # accepts in the kernel, never answers
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Registry(url, "fraud", 0.2, tmp_path) as registry:
            began = time.monotonic()
            with pytest.raises(RegistryUnavailable):
                registry.alias("champion")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("name", ["../../outside", "/outside"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("model-versions/get"):
            return httpx.Response(200, json={"model_version": {"version": "1", "source": "mlflow-artifacts:/0/r/artifacts/model"}})
        return httpx.Response(200, json={"files": [{"path": name, "is_dir": False}]})

    hostile = httpx.MockTransport(answer)
    with Registry("http://registry", "fraud", 5, tmp_path, hostile) as registry, pytest.raises(BundleRefused, match="inside the bundle"):
        registry.download("1", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_program_on_the_port_is_not_taken_for_a_registry(tmp_path: Path) -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>not here</html>"))
    with Registry("http://registry", "fraud", 5, tmp_path, page) as registry, pytest.raises(RegistryUnavailable, match="404"):
        registry.version("1")


def test_a_plan_counts_only_with_the_signature_of_this_lab_over_this_plan_of_this_model(mlflow_url: str, tmp_path: Path) -> None:
    names = [f"contract-{next(_model_number)}" for _ in range(2)]
    plan = ServingPlan(2, "1")

    def tagged(value: str) -> ServingPlan | None:
        body = {"name": names[0], "key": PLAN_TAG, "value": value}
        with httpx.Client(base_url=mlflow_url, timeout=20, trust_env=False) as http:
            http.post("/api/2.0/mlflow/registered-models/set-tag", json=body).raise_for_status()
        return registry.plan()

    with Registry(mlflow_url, names[0], 20, tmp_path / "keys") as registry:
        registry.ensure()
        mine = seal(plan, names[0], tmp_path / "keys")
        assert tagged(mine) == plan
        raised = mine.replace('"epoch": 2', '"epoch": 3')
        others = seal(plan, names[1], tmp_path / "keys"), seal(plan, names[0], tmp_path / "another")
        for forged in (
            raised,
            *others,
            json.dumps(plan.to_json()),
            "{}",
            "[]",
            "no JSON",
            mine.replace('"signature": "', '"signature": "zz'),
        ):
            with pytest.raises(PlanRefused, match="not signed"):
                tagged(forged)
