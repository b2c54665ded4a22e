"""What a result depends on beside its data: the code, the lock and the machine. Recorded with every run; reproduction
compares it."""

import hashlib
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from data.settings import REPOSITORY

_LIBRARIES: Final = ("lightgbm", "scikit-learn", "numpy", "pandas", "mlflow")
# The modules whose text decides which model comes out of the same rows.
_RECIPE: Final = (
    "data/bundle.py", "data/costs.py", "data/features.py", "data/history.py", "data/kernel.py", "data/kernel_build.py", "data/rules.py",
    "pipelines/training/baselines.py", "pipelines/training/boost.py", "pipelines/training/calibrate.py", "pipelines/training/dask_fit.py",
    "pipelines/training/parameters.py", "pipelines/training/resample.py", "pipelines/training/split.py", "pipelines/training/table.py",
    "pipelines/training/threshold.py",
)  # fmt: skip


@dataclass(frozen=True)
class Provenance:
    """Where and with what a model was made."""

    code_revision: str  # git commit, with "+changes" when the files differ from it; "unknown" outside a checkout
    recipe_digest: str  # SHA-256 of the modules that decide the model
    lock_digest: str  # SHA-256 of requirements.lock
    python: str
    platform: str
    libraries: dict[str, str]
    threads: int  # LightGBM sums in another order with another number of threads


def provenance(threads: int) -> Provenance:
    """That of this process."""
    return Provenance(
        code_revision=_code_revision(),
        recipe_digest=recipe_digest(),
        lock_digest=_digest(REPOSITORY / "requirements.lock"),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        libraries={name: version(name) for name in _LIBRARIES},
        threads=threads,
    )


def recipe_digest() -> str:
    """Identity of the code that turns rows into a model."""
    return hashlib.sha256("".join(_digest(REPOSITORY / name) for name in _RECIPE).encode()).hexdigest()


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "missing"


def _code_revision() -> str:
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit}+changes" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    """git's answer about this repository, or None where there is no git or no checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
