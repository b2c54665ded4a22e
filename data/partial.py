"""Where a file is written before it gets its name: whole or not at all, whoever else writes the same one."""

import os
import platform
from pathlib import Path


def partial_of(path: Path) -> Path:
    """A name beside `path` that no other process uses: containers that share a folder have the same process ids, but not the same name."""
    return path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}.partial")
