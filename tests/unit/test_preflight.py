"""What the preflight finds wrong before any payment meets a challenger."""

import json
import shutil
from pathlib import Path

import pytest

from data.bundle import FACTS, GOLDEN, MANIFEST, seal_bundle
from data.errors import BundleRefused
from data.features import FEATURE_SCHEMA_HASH
from data.trial import Trial
from pipelines.rollout import preflight
from pipelines.rollout.preflight import LONGEST_LOAD_S, inspect, inspector
from tests.bundles import make_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("preflight")
    make_bundle(root / "2", root / "keys")
    return root


@pytest.fixture
def bundle(bundles: Path, tmp_path: Path) -> Path:
    """One that a test may harm."""
    return Path(shutil.copytree(bundles / "2", tmp_path / "2"))


def quick(load_s: float = 0.05) -> Trial:
    return Trial(20, load_s)


def test_a_sound_bundle_passes_and_says_what_was_checked(bundles: Path) -> None:
    fetched: list[str] = []

    def download(version: str, folder: Path) -> None:
        fetched.append(version)
        shutil.copytree(bundles / version, folder, dirs_exist_ok=True)

    found = inspector(download, bundles / "keys")("2")
    assert (fetched, found.version, found.golden_rows, found.feature_schema) == (["2"], "2", 20, FEATURE_SCHEMA_HASH)
    assert "20 golden rows equal to the last bit" in found.told()


def test_a_byte_that_was_changed_is_found_before_anything_is_parsed(bundles: Path, bundle: Path) -> None:
    (bundle / FACTS).write_text("{}")
    with pytest.raises(BundleRefused, match=r"facts\.json"):
        inspect(bundle, "2", bundles / "keys", lambda *_: pytest.fail("tried"))


def test_another_feature_schema_is_refused(bundles: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.bundle.FEATURE_SCHEMA_HASH", "another")
    with pytest.raises(BundleRefused, match="features another"):
        inspect(bundle, "2", bundles / "keys", lambda *_: pytest.fail("tried"))


def test_golden_rows_must_be_equal_to_the_last_bit(bundles: Path, bundle: Path) -> None:
    golden = json.loads((bundle / GOLDEN).read_text())
    golden["scores"][3] += 1e-15
    (bundle / GOLDEN).write_text(json.dumps(golden))
    for name in (MANIFEST, "manifest.sig"):
        (bundle / name).unlink()
    seal_bundle(bundle, key_folder=bundles / "keys", sequence=2, facts={})
    with pytest.raises(BundleRefused, match=r"golden\.json: expected score"):
        inspect(bundle, "2", bundles / "keys")


def test_a_model_that_takes_too_long_or_too_much_is_refused(bundles: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleRefused, match="loads in 2 s of CPU"):
        inspect(bundle, "2", bundles / "keys", lambda *_: quick(LONGEST_LOAD_S + 1))
    monkeypatch.setattr(preflight, "MOST_BYTES", 100)
    with pytest.raises(BundleRefused, match="at most 100 bytes"):
        inspect(bundle, "2", bundles / "keys", lambda *_: quick())
