"""The fixture course of tiny labs that need no server (tests/courses/tiny), and copies of it with one thing changed."""

import shutil
from pathlib import Path

from labs.engine.course import Course

TINY = Path(__file__).parent / "courses" / "tiny"


def copied(tmp_path: Path, file: str = "", old: str = "", new: str = "") -> Course:
    """A copy of the course, `old` replaced by `new` in one file of it."""
    folder = tmp_path / "tiny"
    shutil.copytree(TINY, folder)
    if file:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))
    return Course(folder)
