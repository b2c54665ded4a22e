"""A Prometheus for the tests: the one on the PATH, or Debian's package, unpacked in the lab's folder; skipped where there is neither."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from data.settings import REPOSITORY

UNPACKED = REPOSITORY / ".lab" / "prometheus"


@pytest.fixture(scope="session")
def prometheus_folder() -> Path:
    """Where `prometheus` and `promtool` are."""
    for folder in (os.environ.get("PROMETHEUS_FOLDER", ""), *os.get_exec_path(), str(UNPACKED / "usr" / "bin")):
        if folder and all((Path(folder) / name).exists() for name in ("prometheus", "promtool")):
            return Path(folder)
    if os.getuid() != 0 or shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("no prometheus on the PATH, and none can be fetched: that needs root and Debian's apt-get")
    UNPACKED.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", "-q", "prometheus"], cwd=UNPACKED, check=True, capture_output=True)
        subprocess.run(["dpkg-deb", "-x", *map(str, UNPACKED.glob("prometheus_*.deb")), "."], cwd=UNPACKED, check=True, capture_output=True)
    except subprocess.CalledProcessError:
        pytest.skip("no prometheus on the PATH, and apt-get could not fetch one")
    return UNPACKED / "usr" / "bin"
