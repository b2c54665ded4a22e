"""Proves that a reset gives the start back byte for byte, also when it is killed on the way. Called by labs/engine/prove.py.

A reset runs in a forked child whose audit hook counts its looks at and changes of files, and kills it at one of them: every point that
a power cut could hit may be tried, without waiting for one.
"""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from labs.engine.course import Lab
from labs.engine.workspace import Workspace, fingerprint

_KILLS: Final = 12  # points at which it is killed, spread over all there are


def reset_faults(lab: Lab, workspace: Workspace) -> Iterator[str]:
    """Spoil the folder and reset it, killed at many points: whoever looks next must find the start or the attempt, whole."""
    folder, start = workspace.folder(lab), fingerprint(lab.start)
    _spoil(folder)
    steps = _count_steps(lambda: workspace.reset(lab))
    if fingerprint(workspace.folder(lab)) != start:
        yield "a reset leaves something else than start/"
    for step in sorted({1 + steps * k // _KILLS for k in range(_KILLS)}):
        spoilt = _spoil(folder)
        _kill_at(step, lambda: workspace.reset(lab))
        if fingerprint(workspace.folder(lab)) not in (start, spoilt):
            yield f"killed at its step {step} of {steps}, a reset leaves neither the start nor the attempt"
    workspace.reset(lab)
    if fingerprint(workspace.folder(lab)) != start:
        yield "a reset after killed ones leaves something else than start/"


def _spoil(folder: Path) -> dict[str, str]:
    """Change every file, and add one; returns what it is now."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.write_bytes(path.read_bytes()[::-1] + b"spoilt")
    (folder / "left over" / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "left over" / "deep" / "note.txt").write_text("mine")
    return fingerprint(folder)


def _count_steps(work: Callable[[], None]) -> int:
    """How many audited operations `work` takes; it is done in a child."""
    read, write = os.pipe()

    def counted() -> None:
        seen = [0]
        sys.addaudithook(lambda *_: seen.__setitem__(0, seen[0] + 1))
        work()
        os.write(write, str(seen[0]).encode())

    _in_child(counted)
    os.close(write)
    with os.fdopen(read) as answer:
        return int(answer.read())


def _kill_at(step: int, work: Callable[[], None]) -> None:
    """Do `work` in a child that is killed at its `step`-th audited operation."""

    def killed() -> None:
        left = [step]

        def count(*_: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()

    _in_child(killed)


def _in_child(work: Callable[[], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of a library may be there; the child touches files alone
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
