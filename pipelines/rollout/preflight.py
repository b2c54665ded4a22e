"""Preflight: everything about a challenger that can be known before any payment meets it. Run by `controller.py` as the first step.

The scoring service verifies and tries a version as well, before it loads it; here a bad one is found while nobody has met it,
and the ledger says so. Nothing is parsed before its seal holds, and the model is run in a child process only.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from data.bundle import MODEL, verify_bundle
from data.errors import BundleRefused
from data.trial import Trial, try_bundle

LONGEST_LOAD_S = 2.0  # of CPU: a service that swaps models spends as much beside its callers. 300 trees of 31 leaves take 0.05 s
MOST_BYTES = 64 * 2**20  # of a whole bundle, of which the service keeps four: 2,000 trees of 255 leaves are about 50 MB


@dataclass(frozen=True)
class Preflight:
    """What was checked of a version, and found."""

    version: str
    files: int
    size_bytes: int
    feature_schema: str  # its hash, which is the service's own
    golden_rows: int  # scored as in training, to the last bit
    load_s: float  # of CPU

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def told(self) -> str:
        """In a line."""
        return (
            f"signed and whole ({self.files} files, {self.size_bytes / 1e6:.1f} MB), features {self.feature_schema[:12]}, "
            f"{self.golden_rows} golden rows equal to the last bit, loads in {self.load_s * 1000:.0f} ms"
        )


class Inspector(Protocol):
    """Checks a registered version. Raises BundleRefused, and RegistryUnavailable or UnknownRun where it cannot be had."""

    def __call__(self, version: str) -> Preflight: ...


def inspector(download: Callable[[str, Path], None], key_folder: Path) -> Inspector:
    """One that fetches the version's files with `download` (version, folder) and verifies them with the keys in `key_folder`."""

    def inspect_version(version: str) -> Preflight:
        folder = Path(tempfile.mkdtemp(prefix="preflight-"))
        try:
            download(version, folder)
            return inspect(folder, version, key_folder)
        finally:
            shutil.rmtree(folder)

    return inspect_version


def inspect(folder: Path, version: str, key_folder: Path, trial: Callable[[Path, float], Trial] = try_bundle) -> Preflight:
    """Check one bundle: signature, digests, feature schema, size, golden rows bit for bit, time to load. Raises BundleRefused."""
    manifest = verify_bundle(folder, key_folder=key_folder)
    size = sum(int(facts["size"]) for facts in manifest.files.values())
    if size > MOST_BYTES:
        raise BundleRefused.differs("manifest.json", f"at most {MOST_BYTES:,} bytes in all files", f"{size:,}")
    tried = trial(folder, 0.0)  # trained here, so even exp() is the same
    if tried.load_s > LONGEST_LOAD_S:
        raise BundleRefused.differs(MODEL, f"a model that loads in {LONGEST_LOAD_S:g} s of CPU", f"one that takes {tried.load_s:.1f} s")
    return Preflight(version, len(manifest.files), size, manifest.feature_schema_hash, tried.rows, round(tried.load_s, 4))
