"""Reads what the witness inside the processes (`sitecustomize.py`, which Python itself starts) wrote down."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any


class Witness:
    """The notes of all processes that were started with `environment`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {"PYTHONPATH": str(Path(__file__).parent), "LAB_CHAOS_WITNESS": str(file)}

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Notes of one kind (started, parsed, loaded, unpickled, imported), in order."""
        notes = [json.loads(line) for line in self._file.read_text().splitlines()]
        return [note for note in notes if note["event"] == kind]

    def parsed(self) -> dict[int, set[str]]:
        """SHA-256 of every text that reached the reader of models, by process id."""
        found: defaultdict[int, set[str]] = defaultdict(set)
        for note in self.events("parsed"):
            found[note["pid"]].add(note["sha256"])
        return found
