"""A bench of hours in parts: each is kept on the disk once it is measured, so that a run that was cut off can go on from there."""

import hashlib
import pickle
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from data.settings import REPOSITORY

Job = TypeVar("Job")
Found = TypeVar("Found")
SOURCES: Final = ("data", "pipelines", "labs", "tests/bench")


class Parts:
    """The parts of one run, in a folder of their own. Only what the same code measured for the same question is taken up again."""

    def __init__(self, folder: Path, question: object, *, resume: bool) -> None:
        """Without `resume` everything is measured anew. What was kept for the same question otherwise is forgotten, of others nothing."""
        kept, code = folder / _short(repr(question)), _short(sys.version + code_digest())
        self._folder = kept / code
        for earlier in kept.glob("*"):
            if not resume or earlier != self._folder:
                shutil.rmtree(earlier)
        self._folder.mkdir(parents=True, exist_ok=True)

    def measured(self, name: str, work: Callable[[Sequence[Job]], list[Found]], jobs: Sequence[Job], *, at_once: int) -> list[Found]:
        """What `work` finds for the jobs, in order, asked of it `at_once` at a time. Says how long each part took, on stderr."""
        found: list[Found] = []
        for first in range(0, len(jobs), at_once):
            found += self._part(f"{name}-{first}", work, jobs[first : first + at_once])
        return found

    def _part(self, name: str, work: Callable[[Sequence[Job]], list[Found]], jobs: Sequence[Job]) -> list[Found]:
        file, began = self._folder / f"{name}.pickle", time.monotonic()
        if file.exists():
            kept: list[Any] = pickle.loads(file.read_bytes())
            sys.stderr.write(f"{name}: {len(jobs)} taken from an earlier run\n")
            return kept
        found = work(jobs)
        unfinished = file.with_suffix(".new")
        unfinished.write_bytes(pickle.dumps(found))
        unfinished.replace(file)
        sys.stderr.write(f"{name}: {len(jobs)} measured in {time.monotonic() - began:.0f} s\n")
        return found


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digest() -> str:
    """Of everything that a figure may hang on: our modules, and the versions of all packages."""
    files = [REPOSITORY / "requirements.lock", *(file for folder in SOURCES for file in sorted((REPOSITORY / folder).rglob("*.py")))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(REPOSITORY)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
