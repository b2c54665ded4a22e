"""A model bundle: one folder with everything that turns features into a decision, sealed so that no byte can change.

    MLmodel, model.lgb, ...   MLflow's own files of a LightGBM Booster (text, never a pickle)
    calibration.json          {"slope": a, "intercept": b}
    policy.json               data.costs.Policy
    golden.json               frozen feature rows and the calibrated scores they must get
    facts.json                where the model comes from: run, data, code, metrics
    manifest.json             every file's size and SHA-256, the feature schema, a sequence number
    manifest.sig              Ed25519 over the bytes of manifest.json

Training writes and seals; the scoring service verifies, tries the model in a child process, and only then loads it.
The order matters: a damaged model that loads may score wrongly, and what loads it need not be trusted to end well.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.costs import Policy
from data.errors import BundleRefused
from data.features import FEATURE_COUNT, FEATURE_SCHEMA_HASH
from data.forest import Forest
from data.keys import is_signed, sign

MODEL, CALIBRATION, POLICY, GOLDEN, FACTS = "model.lgb", "calibration.json", "policy.json", "golden.json", "facts.json"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
REQUIRED = frozenset({MODEL, CALIBRATION, POLICY, GOLDEN, FACTS})
MAX_FILES = 64  # MLflow writes about six files, we add five
MAX_BYTES = 256 * 2**20  # of all files; 2,000 trees of 255 leaves are about 50 MB
MAX_MANIFEST_BYTES = 64 * 2**10
GOLDEN_REPEATS = 4  # 20 rows alone would not be scored as many are
GOLDEN_TOLERANCE = 1e-9  # exp() may differ in its last bit between two C libraries; the margins may not
T = TypeVar("T")


@dataclass(frozen=True)
class Calibration:
    """Platt scaling of the raw margin: p = 1 / (1 + exp(-(slope * margin + intercept))) (Platt 1999)."""

    slope: float
    intercept: float

    def probability(self, margin: float) -> float:
        """The calibrated probability of fraud of one raw margin."""
        z = self.slope * margin + self.intercept
        # Written so that exp() never overflows, for either sign.
        return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else (e := math.exp(z)) / (1.0 + e)

    def probabilities(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for many, shape (n,); equal to `probability` row by row."""
        z = self.slope * np.asarray(margins, dtype=np.float64) + self.intercept
        # The C library's exp(), as above: numpy's own differs from it in the last bit on some processors.
        e = np.fromiter(map(math.exp, (-np.abs(z)).tolist()), np.float64, len(z))
        return np.where(z >= 0, 1.0, e) / (1.0 + e)


@dataclass(frozen=True)
class Manifest:
    """What a sealed bundle holds. `sequence` grows with every seal, so that an old bundle cannot pass for a new one."""

    files: dict[str, dict[str, Any]]  # relative path -> {"sha256", "size"}
    feature_schema_hash: str
    sequence: int
    digest: str  # SHA-256 of manifest.json: the identity of the bundle


def write_scoring_files(
    folder: Path, *, calibration: Calibration, policy: Policy, golden: NDArray[np.float64], golden_scores: NDArray[np.float64]
) -> None:
    """Add what MLflow's folder lacks for scoring. `golden` is (n, FEATURE_COUNT), its calibrated scores (n,)."""
    rows = [[None if math.isnan(x) else x for x in row] for row in golden.tolist()]  # JSON knows no NaN
    _write_json(folder / CALIBRATION, asdict(calibration))
    _write_json(folder / POLICY, policy.to_json())
    _write_json(folder / GOLDEN, {"features": rows, "scores": golden_scores.tolist()})


def seal_bundle(folder: Path, *, key_folder: Path, sequence: int, facts: dict[str, Any]) -> Manifest:
    """Write facts.json, the manifest and its signature. The folder must hold the other files. Raises BundleRefused."""
    _write_json(folder / FACTS, facts)
    for stale in (MANIFEST, SIGNATURE):
        (folder / stale).unlink(missing_ok=True)
    present = dict(_regular_files(folder))
    _require(present.keys() >= REQUIRED, "bundle", f"the files {sorted(REQUIRED)}", f"{sorted(REQUIRED - present.keys())} missing")
    files = {name: {"sha256": _sha256(folder / name), "size": size} for name, size in sorted(present.items())}
    _write_json(folder / MANIFEST, {"feature_schema_hash": FEATURE_SCHEMA_HASH, "files": files, "sequence": sequence})
    content = (folder / MANIFEST).read_bytes()
    (folder / SIGNATURE).write_bytes(sign(key_folder, content))
    return _parse_manifest(content)


def verify_bundle(folder: Path, *, key_folder: Path) -> Manifest:
    """Check a bundle byte for byte before anything parses it. Raises BundleRefused naming file, expected and found."""
    present = dict(_regular_files(folder))
    manifest = _sealed_manifest(folder, present, key_folder)
    _require(manifest.feature_schema_hash == FEATURE_SCHEMA_HASH, MANIFEST, f"features {FEATURE_SCHEMA_HASH}", manifest.feature_schema_hash)
    listed, found = manifest.files.keys(), present.keys() - {MANIFEST, SIGNATURE}
    for name in sorted(found ^ listed):
        raise BundleRefused.differs(name, *(("only listed files", "an extra file") if name in found else ("a file", "nothing")))
    for name, facts in manifest.files.items():
        _require(present[name] == facts["size"], name, f"{facts['size']} bytes", f"{present[name]} bytes")
        digest = _sha256(folder / name)
        _require(digest == facts["sha256"], name, f"sha256 {facts['sha256']}", f"sha256 {digest}")
    return manifest


def sealed_sequence(folder: Path, *, key_folder: Path) -> int | None:
    """The sequence number of a bundle whose seal holds, other files unseen; None when it does not. For comparing with others."""
    try:
        return _sealed_manifest(folder, dict(_regular_files(folder)), key_folder).sequence
    except BundleRefused:
        return None


class Model:
    """A loaded bundle: features in, calibrated score out. Belongs to one thread, as its forest does."""

    def __init__(self, version: str, forest: Forest, calibration: Calibration, policy: Policy) -> None:
        self.version = version
        self.policy = policy
        self._forest = forest
        self._calibration = calibration

    @classmethod
    def load(cls, folder: Path, version: str = "") -> "Model":
        """Load a bundle that `verify_bundle` has passed. Raises BundleRefused."""
        forest = Forest((folder / MODEL).read_bytes())
        _require(forest.feature_count == FEATURE_COUNT, MODEL, f"{FEATURE_COUNT} features", f"{forest.feature_count}")
        return cls(version or folder.name, forest, read_calibration(folder), read_policy(folder))

    def score(self, features: NDArray[np.float64]) -> float:
        """The calibrated probability of fraud for one row, shape (FEATURE_COUNT,)."""
        return self._calibration.probability(self._forest.margin(features))

    def score_many(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for a matrix (n, FEATURE_COUNT), shape (n,)."""
        return self._calibration.probabilities(self._forest.margins(matrix))


def read_calibration(folder: Path) -> Calibration:
    """The calibration of a bundle that `verify_bundle` has passed. Raises BundleRefused."""
    return _read(folder / CALIBRATION, lambda facts: Calibration(float(facts["slope"]), float(facts["intercept"])))


def read_policy(folder: Path) -> Policy:
    """The policy of a bundle that `verify_bundle` has passed. Raises BundleRefused."""
    return _read(folder / POLICY, Policy.from_json)


def check_golden(folder: Path, model: Model, tolerance: float = GOLDEN_TOLERANCE) -> int:
    """Score the frozen rows and compare; returns how many there are. Raises BundleRefused for a model that loads but is wrong."""
    rows = _read(folder / GOLDEN, lambda golden: np.array(golden["features"], dtype=np.float64))  # null becomes NaN
    expected = _read(folder / GOLDEN, lambda golden: np.array(golden["scores"], dtype=np.float64))
    _require(rows.shape == (len(expected), FEATURE_COUNT) and len(rows) > 0, GOLDEN, f"(n, {FEATURE_COUNT}) rows", f"{rows.shape}")
    among_many = model.score_many(np.tile(rows, (GOLDEN_REPEATS, 1)))[: len(rows)]
    for scores in (among_many, np.array([model.score(row) for row in rows])):
        worst = int(np.argmax(np.abs(scores - expected)))
        close = bool(abs(scores[worst] - expected[worst]) <= tolerance)  # False for NaN
        _require(close, GOLDEN, f"score {expected[worst]!r} on row {worst}", f"{scores[worst]!r}")
    return len(rows)


def _sealed_manifest(folder: Path, present: dict[str, int], key_folder: Path) -> Manifest:
    """The manifest, once its signature holds. `present`: every file of the folder and its bytes."""
    for name in (MANIFEST, SIGNATURE):
        _require(name in present, name, "a file", "nothing")
        _require(present[name] <= MAX_MANIFEST_BYTES, name, f"at most {MAX_MANIFEST_BYTES} bytes", f"{present[name]}")
    content = (folder / MANIFEST).read_bytes()
    signed = is_signed(key_folder, content, (folder / SIGNATURE).read_bytes())
    _require(signed, SIGNATURE, "this lab's signature over manifest.json", "another signature, or none by this key")
    return _parse_manifest(content)


def _parse_manifest(content: bytes) -> Manifest:
    """A manifest whose signature holds; still checked, as the signer may have been fooled."""
    try:
        facts = json.loads(content)
        files = {str(name): {"sha256": str(f["sha256"]), "size": int(f["size"])} for name, f in facts["files"].items()}
        manifest = Manifest(files, str(facts["feature_schema_hash"]), int(facts["sequence"]), hashlib.sha256(content).hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleRefused.differs(MANIFEST, "a manifest", type(error).__name__) from error
    for name in files:
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts and "\\" not in name
        _require(inside, MANIFEST, "paths inside the bundle", "a path that leaves it")
    _require(files.keys() >= REQUIRED, MANIFEST, f"the files {sorted(REQUIRED)}", f"{sorted(REQUIRED - files.keys())} missing")
    return manifest


def _regular_files(folder: Path) -> Iterator[tuple[str, int]]:
    """(relative path, bytes) of every file below; refuses links, devices and sizes that no bundle has."""
    total = count = 0
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root) / name
            relative, facts = path.relative_to(folder).as_posix(), path.lstat()
            if stat.S_ISDIR(facts.st_mode):
                continue
            _require(stat.S_ISREG(facts.st_mode), relative, "a regular file", "a link or device")
            total, count = total + facts.st_size, count + 1
            _require(total <= MAX_BYTES and count <= MAX_FILES, relative, f"{MAX_FILES} files, {MAX_BYTES} bytes", "more")
            yield relative, facts.st_size


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(file: Path, build: Callable[[Any], T]) -> T:
    """A value built from a JSON file whose seal holds; its content may still not be what its name says."""
    try:
        return build(json.loads(file.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleRefused.differs(file.name, f"the content of a {file.name}", type(error).__name__) from error


def _write_json(file: Path, facts: dict[str, Any]) -> None:
    file.write_text(json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _require(condition: bool, file: str, expected: str, found: str) -> None:
    if not condition:
        raise BundleRefused.differs(file, expected, found)
