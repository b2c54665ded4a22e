"""A bundle is refused for any change of any byte, before a parser sees it, with the file, what was expected and found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.bundle import FACTS, MANIFEST, MODEL, SIGNATURE, Calibration, Model, check_golden, seal_bundle, verify_bundle
from data.errors import BundleRefused
from data.keys import sign
from tests.bundles import CALIBRATION, make_bundle, random_features


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("sealed")
    make_bundle(root / "bundle", root / "keys", sequence=4)
    return root / "bundle", root / "keys"


@pytest.fixture
def bundle(sealed: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copytree(sealed[0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def keys(sealed: tuple[Path, Path]) -> Path:
    return sealed[1]


def test_a_sealed_bundle_verifies_and_scores_as_the_package_does(bundle: Path, keys: Path, tmp_path: Path) -> None:
    manifest = verify_bundle(bundle, key_folder=keys)
    assert manifest.sequence == 4
    model = Model.load(bundle, "7")
    booster = make_bundle(tmp_path / "again", tmp_path / "other-keys")
    rows = random_features(200, seed=3)
    expected = CALIBRATION.probabilities(booster.predict(rows, raw_score=True))
    assert np.array_equal(model.score_many(rows), expected)
    assert [model.score(row) for row in rows] == expected.tolist()
    assert model.version == "7" and check_golden(bundle, model) == 20


def test_sealing_twice_gives_a_bundle_that_verifies(bundle: Path, keys: Path) -> None:
    seal_bundle(bundle, key_folder=keys, sequence=5, facts={"run_id": "b"})
    assert verify_bundle(bundle, key_folder=keys).sequence == 5


def test_the_private_key_is_readable_by_its_owner_only(keys: Path) -> None:
    assert all(file.stat().st_mode & 0o077 == 0 for file in keys.iterdir())


def _flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0x10
    file.write_bytes(content)


def _grow(bundle: Path) -> None:
    with (bundle / MODEL).open("r+b") as file:
        file.truncate(2**30)  # sparse: a gigabyte that takes no disk


def _escape(bundle: Path, keys: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"]["../outside"] = manifest["files"][FACTS]
    _reseal(bundle, keys, manifest)


def _other_schema(bundle: Path, keys: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    _reseal(bundle, keys, manifest | {"feature_schema_hash": "0" * 64})


def _reseal(bundle: Path, keys: Path, manifest: object) -> None:
    content = json.dumps(manifest).encode()
    (bundle / MANIFEST).write_bytes(content)
    (bundle / SIGNATURE).write_bytes(sign(keys, content))


def _link(bundle: Path) -> None:
    (bundle / MODEL).rename(bundle.parent / "elsewhere")
    (bundle / MODEL).symlink_to(bundle.parent / "elsewhere")


DAMAGE: dict[str, tuple[str, Callable[[Path, Path], object]]] = {
    "truncated model": (MODEL, lambda b, _: (b / MODEL).write_bytes((b / MODEL).read_bytes()[:-100])),
    "empty model": (MODEL, lambda b, _: (b / MODEL).write_bytes(b"")),
    "flipped bit": (MODEL, lambda b, _: _flip(b / MODEL, 1_000)),
    "another policy": ("policy.json", lambda b, _: (b / "policy.json").write_text("{}")),
    "extra file": ("loader.py", lambda b, _: (b / "loader.py").write_text("import os")),
    "extra file in a folder": ("code/loader.py", lambda b, _: ((b / "code").mkdir(), (b / "code/loader.py").write_text("x"))),
    "missing file": (FACTS, lambda b, _: (b / FACTS).unlink()),
    "symlink": (MODEL, lambda b, _: _link(b)),
    "oversize": (MODEL, lambda b, _: _grow(b)),
    "path outside": (MANIFEST, _escape),
    "other features": (MANIFEST, _other_schema),
    "manifest is a list": (MANIFEST, lambda b, k: _reseal(b, k, [1, 2])),
    "manifest without a model": (MANIFEST, lambda b, k: _reseal(b, k, {"files": {}, "feature_schema_hash": "", "sequence": 1})),
    "edited manifest": (SIGNATURE, lambda b, _: _flip(b / MANIFEST, 40)),
    "edited signature": (SIGNATURE, lambda b, _: _flip(b / SIGNATURE, 5)),
    "no signature": (SIGNATURE, lambda b, _: (b / SIGNATURE).unlink()),
    "no manifest": (MANIFEST, lambda b, _: (b / MANIFEST).unlink()),
    "huge manifest": (MANIFEST, lambda b, _: (b / MANIFEST).write_bytes(b" " * 2**20)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused_naming_the_file(kind: str, bundle: Path, keys: Path) -> None:
    where, damage = DAMAGE[kind]
    damage(bundle, keys)
    with pytest.raises(BundleRefused, match=r"expected .+, found .+") as refusal:
        verify_bundle(bundle, key_folder=keys)
    assert refusal.value.where == where


def test_a_bundle_sealed_with_another_key_is_refused(bundle: Path, tmp_path: Path) -> None:
    sign(tmp_path / "strangers-keys", b"make a key")
    for key_folder in (tmp_path / "strangers-keys", tmp_path / "no-keys"):
        with pytest.raises(BundleRefused, match="signature"):
            verify_bundle(bundle, key_folder=key_folder)


def test_a_model_that_loads_but_scores_otherwise_fails_its_golden_rows(bundle: Path, keys: Path) -> None:
    golden = json.loads((bundle / "golden.json").read_text())
    golden["scores"][7] += 1e-6
    (bundle / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(BundleRefused, match="row 7"):
        check_golden(bundle, Model.load(bundle))


def test_sealing_without_a_model_is_refused(bundle: Path, keys: Path) -> None:
    (bundle / MODEL).unlink()
    with pytest.raises(BundleRefused, match=MODEL):
        seal_bundle(bundle, key_folder=keys, sequence=1, facts={})


def test_calibration_neither_overflows_nor_loses_order() -> None:
    scores = Calibration(1.0, 0.0).probabilities(np.array([-1e4, -1.0, 0.0, 1.0, 1e4]))
    assert scores[0] == 0.0 and scores[2] == 0.5 and scores[-1] == 1.0
    assert (np.diff(scores) >= 0).all()
