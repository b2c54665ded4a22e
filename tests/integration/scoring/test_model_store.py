"""Verified models by version: what is loaded when, and what stays."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from data.bundle import Model
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
