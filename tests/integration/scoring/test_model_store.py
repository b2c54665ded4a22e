"""Verified models by version: what is loaded when, and what stays."""

import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from shutil import copytree

import pytest

from data.bundle import Model
from data.serving_plan import ServingPlan
from services.scoring import model_store
from services.scoring.model_store import ModelStore


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that were parsed, in order."""
    parsed: list[str] = []
    load = Model.load

    def noting(folder: Path, version: str = "") -> Model:
        parsed.append(version)
        return load(folder, version)

    monkeypatch.setattr(Model, "load", noting)
    return parsed


@pytest.fixture
def fetch(bundles: Path, tmp_path: Path) -> Callable[[str], Model]:
    store = ModelStore(tmp_path / "models", key_folder=bundles / "keys", trial=lambda _: None)
    return lambda version: store.model(version, lambda folder: copytree(bundles / version, folder, dirs_exist_ok=True) and None)


def test_going_back_to_a_version_parses_nothing_again(fetch: Callable[[str], Model], loaded: list[str]) -> None:
    first = [fetch(version) for version in ("1", "2", "3")]
    assert [fetch(version) for version in ("3", "1", "2")] == [first[2], first[0], first[1]]
    assert loaded == ["1", "2", "3"]


def test_only_the_versions_asked_for_last_stay_loaded(
    fetch: Callable[[str], Model], loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_store, "MOST_LOADED", 2)
    for version in ("1", "2", "1", "3", "1", "2"):
        fetch(version)
    assert loaded == ["1", "2", "3", "2"]


def note_plans(folder: Path, container: str, plans: int) -> None:
    """A replica in a container of its own, where process ids are those of all others, notes plan after plan."""
    platform.node = lambda: container
    os.getpid = lambda: 7
    store = ModelStore(folder, key_folder=folder, trial=lambda _: None)
    for epoch in range(plans):
        store.remember(ServingPlan(epoch, "1"), datetime(2026, 1, 5, tzinfo=UTC))


def test_replicas_that_share_a_folder_note_the_plan_side_by_side_and_one_that_begins_meanwhile_disturbs_nobody(tmp_path: Path) -> None:
    context = get_context("spawn")
    replicas = [context.Process(target=note_plans, args=(tmp_path, name, 40)) for name in ("one", "two")]
    for replica in replicas:
        replica.start()
    while any(replica.is_alive() for replica in replicas):
        store = ModelStore(tmp_path, key_folder=tmp_path, trial=lambda _: None)
    assert [replica.exitcode for replica in replicas] == [0, 0]
    noted = store.last_good()
    assert noted is not None and noted.plan.epoch == 39
