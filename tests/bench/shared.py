"""Where the benches find data that nobody here made."""

import os
from pathlib import Path

from data.errors import MissingFile
from data.settings import REPOSITORY


def shared_file(name: str) -> Path:
    """The file `name` in LAB_SHARED_DATA (default: ../shared/data beside the repository). Raises MissingFile."""
    file = Path(os.environ.get("LAB_SHARED_DATA", REPOSITORY.parent / "shared" / "data")) / name
    if not file.is_file():
        raise MissingFile(
            f"{name} is not in {file.parent}: this bench compares with numbers published for it.",
            next_step="Put your own copy there, or set LAB_SHARED_DATA to its folder.",
            where=name,
        )
    return file
