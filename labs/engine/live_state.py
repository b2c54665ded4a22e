"""What the running system knows, kept and put back: the registry, the prediction log, the history, the ledger.

A *level* of prepared state is made once and kept in `<home>/course/<level>/`; putting it back takes seconds, and MLflow may run
meanwhile (its database is restored through SQLite's backup interface, as one more writer). The scoring service must be stopped:
its history lives in its memory. Called by `labs/engine/prepare.py`.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from labs.engine.workspace import remove

# Every other folder of a home is a cache, a key, a log of a process or something that was written for people.
_STATE: Final = (
    *(f"{name}{suffix}" for name in ("predictions.db", "predictions.ids.db") for suffix in ("", "-wal", "-shm")),
    "history",
    "models",
    "ledger.jsonl",
    "live.json",
    "drift_calibration.json",
    "monitoring",
)
_LOG: Final = Path("predictions.db")
_DATABASE: Final = Path("mlflow", "mlflow.db")
_ARTIFACTS: Final = Path("mlflow", "artifacts")
# Beside the registry that it speaks of: what sets the registry aside (a demo) takes it along.
_MARK: Final = Path("mlflow", "course.json")
_HALFWAY: Final = "being made"  # the level meanwhile


@dataclass(frozen=True)
class Mark:
    """Which level the running system is at, and the lab (by id) that may have changed it since."""

    level: str
    changed_by: str | None = None

    @classmethod
    def read(cls, home: Path) -> "Mark | None":
        """None where the state is not of a course's making."""
        try:
            return cls(**json.loads((home / _MARK).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, home: Path) -> None:
        (home / _MARK).parent.mkdir(parents=True, exist_ok=True)
        partial = (home / _MARK).with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(home / _MARK)


def is_kept(home: Path, level: str) -> bool:
    """Whether that level was made before."""
    return _kept(home, level).is_dir()


def begin(home: Path) -> None:
    """An empty state: nothing registered, nothing served. No server may run. Whoever finds it half made begins anew."""
    Mark(_HALFWAY).write(home)
    for path in [home / name for name in _STATE] + [path for path in (home / _MARK).parent.iterdir() if path != home / _MARK]:
        if path.exists():
            remove(path)


def keep(home: Path, level: str) -> None:
    """Keep the present state as `level`; whole or not at all."""
    partial = _kept(home, f"partial.{level}")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / _DATABASE).parent.mkdir(parents=True)
    for name in _STATE:
        _copy(home / name, partial / name)
    _copy_database(home / _DATABASE, partial / _DATABASE)
    _copy(home / _ARTIFACTS, partial / _ARTIFACTS)
    for older in _kept(home, "").glob(f"{level.rpartition('-')[0]}-*"):
        shutil.rmtree(older)  # of another world or code: nothing asks for it any more
    partial.rename(_kept(home, level))
    Mark(level).write(home)


def put_back(home: Path, level: str) -> None:
    """Make the present state that of `level`. Killed in between, the next one does it again."""
    Mark(_HALFWAY).write(home)
    kept = _kept(home, level)
    for name in _STATE:
        if (home / name).exists():
            remove(home / name)
        _copy(kept / name, home / name)
    _copy_database(kept / _DATABASE, home / _DATABASE)
    _copy(kept / _ARTIFACTS, home / _ARTIFACTS)
    Mark(level).write(home)


def differences(home: Path, level: str) -> list[str]:
    """In words, what of the present state is not that of `level`: payments and labels, who serves, versions, the ledger."""
    kept = _kept(home, level)
    return [what for what, fact in _FACTS.items() if fact(home) != fact(kept)]


def _rows(home: Path, database: Path, query: str) -> list[tuple[object, ...]]:
    if not (home / database).exists():
        return []
    with closing(sqlite3.connect(f"{(home / database).as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def _ledger(home: Path) -> bytes:
    file = home / "ledger.jsonl"
    return file.read_bytes() if file.exists() else b""


_FACTS: Final[Mapping[str, Callable[[Path], object]]] = {
    "payments in the log": lambda home: _rows(home, _LOG, "SELECT count(*) FROM predictions") or [(0,)],
    "labels in the log": lambda home: _rows(home, _LOG, "SELECT count(*) FROM labels") or [(0,)],
    "aliases": lambda home: _rows(home, _DATABASE, "SELECT * FROM registered_model_aliases ORDER BY 1, 2, 3"),
    "who serves": lambda home: _rows(home, _DATABASE, "SELECT * FROM registered_model_tags ORDER BY 1, 2, 3"),
    "registered versions": lambda home: _rows(home, _DATABASE, "SELECT count(*) FROM model_versions"),
    "ledger": _ledger,
    "drifts": lambda home: (home / "live.json").exists(),
}


def _kept(home: Path, level: str) -> Path:
    return home / "course" / level


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        shutil.copy2(source, target)


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target, timeout=30)) as written:
        read.backup(written)
