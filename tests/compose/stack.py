"""The stack of docker-compose.yml for tests: brought up under a project name and on ports of its own, and torn down with all it holds."""

import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from data.settings import REPOSITORY

PROJECT = "fraudlab-test"
_PORTS = ("LAB_SCORING_PORT", "LAB_MLFLOW_PORT", "LAB_PREFECT_PORT", "LAB_PROMETHEUS_PORT", "LAB_EVIDENTLY_PORT")
_OBJECTIVE = "LAB_LOAD_OBJECTIVE=/app/tests/compose/slo.toml"
_PATIENCE_S = 900


def why_not() -> str:
    """What a machine lacks to run the stack; empty when it lacks nothing."""
    if shutil.which("docker") is None:
        return "no docker on the PATH"
    for words in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(words, capture_output=True, check=False).returncode:
            return f"`{' '.join(words)}` fails"
    return ""


class Stack:
    """`docker compose` on the repository's own file."""

    def __init__(self, folder: Path) -> None:
        self._secrets = folder / "secrets.env"
        lines = (REPOSITORY / ".env.example").read_text().splitlines()
        self._secrets.write_text("\n".join(line + secrets.token_hex(16) if line.endswith("=") else line for line in lines))
        with ExitStack() as held:
            ports = {name: held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for name in _PORTS}
        self._variables = {name: str(port) for name, port in ports.items()} | {"LAB_LOAD_RATE": "50"}

    def address(self, port: str) -> str:
        """Where a published port answers; `port`: SCORING, MLFLOW, PREFECT, PROMETHEUS or EVIDENTLY."""
        return f"http://127.0.0.1:{self._variables[f'LAB_{port}_PORT']}"

    def compose(self, *words: str, check: bool = True) -> str:
        """Run `docker compose <words>`; its standard output."""
        command = ["docker", "compose", "--project-name", PROJECT, "--env-file", str(self._secrets), *words]
        ran = subprocess.run(
            command, cwd=REPOSITORY, env={**os.environ, **self._variables}, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        assert not check or ran.returncode == 0, f"{' '.join(words)}: {ran.returncode}\n{ran.stdout[-2_000:]}\n{ran.stderr[-2_000:]}"
        return ran.stdout

    def up(self, *words: str) -> None:
        """Everything, or the services named, until all is healthy."""
        self.compose("up", "--detach", "--wait", "--quiet-pull", *words)

    def lab(self, *words: str, service: str = "lab", check: bool = True) -> str:
        """The `lab` command inside the stack; what it printed. With `check`, raises AssertionError for an exit status but 0."""
        variables = [word for each in ("COLUMNS=100", _OBJECTIVE) for word in ("--env", each)]
        return self.compose("--profile", "*", "run", "--rm", "--no-TTY", "--use-aliases", *variables, service, *words, check=check)

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """Name, service, state and health of those that run."""
        lines = self.compose("ps", "--format", "json", *([service] if service else [])).splitlines()
        found = [json.loads(line) for line in lines]
        return [each for part in found for each in (part if isinstance(part, list) else [part])]

    def rows(self, query: str) -> list[list[str]]:
        """Rows of the archive in Postgres, as text."""
        psql = ("exec", "--no-TTY", "postgres", "psql", "-U", "postgres", "-d", "predictions", "-AtF", "\t", "-c", query)
        return [line.split("\t") for line in self.compose(*psql).splitlines()]

    def docker(self, *words: str) -> None:
        """Run `docker <words>`."""
        subprocess.run(["docker", *words], check=True, capture_output=True, timeout=_PATIENCE_S)

    def down(self, *words: Sequence[str]) -> None:
        """Away with the containers; with `-v`, with what they hold."""
        self.compose("--profile", "*", "down", "--remove-orphans", "--timeout", "10", *map(str, words))
