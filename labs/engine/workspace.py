"""The learner's folders: one per lab, made from its start/ and given back byte for byte by a reset, a killed one included.

A reset writes a marker first, then makes the folder equal to start/ file by file, then removes the marker: whoever meets the marker
finishes the reset before anything else. The folder itself stays, as the learner's shell may stand in it.
"""

import filecmp
import hashlib
import shutil
from pathlib import Path
from typing import Final

from data.errors import MissingFile
from labs.engine.course import Lab

_NOT_CONTENT: Final = shutil.ignore_patterns("__pycache__", "*.pyc")


class Workspace:
    """All folders of one learner."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, lab: Lab) -> Path:
        """The learner's folder of a lab, an interrupted reset finished. Raises MissingFile when the lab was not begun."""
        folder = self.root / lab.name
        if self._marker(lab).exists():
            self._finish(lab)
        if not folder.is_dir():
            raise MissingFile(f"{lab.id} has not been started.", next_step=f"`lab start {lab.short}` makes its folder.", where=lab.name)
        return folder

    def has(self, lab: Lab) -> bool:
        """Whether the lab was begun."""
        return (self.root / lab.name).is_dir() or self._marker(lab).exists()

    def begin(self, lab: Lab) -> bool:
        """Make the lab's folder unless it is there; returns whether it was made now."""
        if self.has(lab):
            self.folder(lab)
            return False
        partial = self.root / f".{lab.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        self.root.mkdir(parents=True, exist_ok=True)
        shutil.copytree(lab.start, partial, ignore=_NOT_CONTENT)
        partial.rename(self.root / lab.name)
        return True

    def reset(self, lab: Lab) -> None:
        """Give the start back; what was there goes to `.before/`, where the attempt before the last reset is kept."""
        folder = self.folder(lab)
        kept = self.root / ".before" / lab.name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, ignore=_NOT_CONTENT, symlinks=True)
        self._marker(lab).touch()
        self._finish(lab)

    def place_solution(self, lab: Lab) -> Path:
        """One good answer, in `solution/` beside the attempt."""
        placed = self.folder(lab) / "solution"
        shutil.rmtree(placed, ignore_errors=True)
        shutil.copytree(lab.solution, placed, ignore=_NOT_CONTENT)
        return placed

    def _marker(self, lab: Lab) -> Path:
        return self.root / f".{lab.name}.reset"

    def _finish(self, lab: Lab) -> None:
        mirror(lab.start, self.root / lab.name)
        self._marker(lab).unlink(missing_ok=True)


def mirror(source: Path, target: Path) -> None:
    """Make `target` equal to `source`, each file whole or as before."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in source.iterdir() if path.name != "__pycache__"}
    for path in target.iterdir():
        like = wanted.get(path.name)
        if like is None or path.is_symlink() or path.is_dir() != like.is_dir():
            remove(path)
    for name, path in wanted.items():
        if path.is_dir():
            mirror(path, target / name)
        elif not _same(path, target / name):
            partial = target / f".{name}.partial"
            shutil.copy2(path, partial)
            partial.replace(target / name)


def overlay(source: Path, target: Path, *, without: str) -> None:
    """Lay the files of `source`, but those named `without`, over `target`; others stay."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", without), dirs_exist_ok=True)


def remove(path: Path) -> None:
    """A file, a link or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file and folder below with a digest of its bytes and of whether it can be run: equal means byte for byte the same."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts:
            content = path.read_bytes() if path.is_file() else b"folder"
            found[str(path.relative_to(folder))] = f"{hashlib.sha256(content).hexdigest()} {bool(path.stat().st_mode & 0o100)}"
    return found


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False) and one.stat().st_mode == other.stat().st_mode
