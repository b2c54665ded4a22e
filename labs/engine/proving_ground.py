"""Homes for labs that are being proved: each its own folder, workspace and ports, over one set of prepared states.

Kept states are linked, not copied: nobody writes to one (`labs/engine/live_state.py`).
"""

import os
import shutil
import socket
from contextlib import ExitStack
from typing import Any, Final

from data.settings import Settings

_PORTS: Final = ("scoring_port", "mlflow_port", "prefect_port", "archive_port")


def base_home(settings: Settings) -> Settings:
    """Where the prepared states are made, apart from the learner's own."""
    return Settings(home=settings.home / "dev" / "base", **_free_ports())


def home_for(settings: Settings, name: str) -> Settings:
    """A fresh home and workspace for one lab, `<home>/dev/<name>/`, with free ports."""
    folder, base = settings.home / "dev" / name, settings.home / "dev" / "base"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "home").mkdir(parents=True)
    for part, copy in (("course", os.link), ("datasets", shutil.copy2), ("keys", shutil.copy2)):
        if (base / part).exists():
            shutil.copytree(base / part, folder / "home" / part, copy_function=copy)
    return Settings(home=folder / "home", workspace=folder / "workspace", course=settings.course, **_free_ports())


def _free_ports() -> dict[str, Any]:
    """A port for each server, all different: held open together until all are known."""
    with ExitStack() as held:
        return {name: held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for name in _PORTS}
