"""Begins a lab: a copy of `blank_lab/`, which keeps the authoring contract from its first minute. Called by `lab dev new`."""

import re
import shutil
from pathlib import Path
from typing import Final

from data.errors import BadInput
from labs.engine.course import Course

_BLANK: Final = Path(__file__).with_name("blank_lab")
_NAME: Final = re.compile(r"([a-z]?)(\d\d)_[a-z][a-z0-9_]*")
_COURSE: Final = 'title = "{name}"\nabout = "Labs of our own."\n'


def make_lab(course: Path, name: str, title: str) -> Path:
    """A lab called `name` (as in 21_my_lab, or k03_kata) in the course's folder, which is made when missing. Raises BadInput."""
    found = _NAME.fullmatch(name)
    if not found:
        raise BadInput("A lab's folder is named by two digits and a name.", next_step="As in: lab dev new 21_my_lab", where="name")
    made = f"{(found[1] or 'l').upper()}{found[2]}"
    if not (course / "course.toml").exists():
        course.mkdir(parents=True, exist_ok=True)
        (course / "course.toml").write_text(_COURSE.format(name=course.name), encoding="utf-8")
    if any(lab.id == made for lab in Course(course).labs):
        raise BadInput(f"{made} is taken.", next_step="Choose another number; `lab list` shows those there are.", where="name")
    shutil.copytree(_BLANK, course / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("lab.toml", "README.md", "check.py"):
        path = course / name / file
        path.write_text(path.read_text(encoding="utf-8").replace("@ID@", made).replace("@TITLE@", title), encoding="utf-8")
    return course / name
