"""How far a learner is: one small text file in the workspace, `progress.json`, written whole or not at all.

It remembers which lab was started last, which checks passed and what they measured, and how many hints were asked. Deleting it
forgets progress and nothing else. Two commands at once take turns.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data.errors import BadInput
from labs.engine.course import Lab
from labs.engine.outcome import CheckResult

FILE = "progress.json"


@dataclass
class LabProgress:
    """One lab. A passed check stays passed until a reset; `figures` are those measured last."""

    passed: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)  # how many were given, by check

    def note(self, results: list[CheckResult]) -> None:
        """What a check found: a check that is not right any more is no longer passed; one that could not be checked stays."""
        for result in results:
            self.figures.update(result.figures)
            if result.state == "passed":
                self.passed = [*(name for name in self.passed if name != result.check), result.check]
            elif result.state != "cannot check":
                self.passed = [name for name in self.passed if name != result.check]

    def done(self, lab: Lab) -> bool:
        """Whether every check of the lab passed."""
        return {check.name for check in lab.checks} <= set(self.passed)


@dataclass
class Progress:
    """Of all labs, by id; `current` was started last."""

    current: str | None = None
    labs: dict[str, LabProgress] = field(default_factory=dict)

    def of(self, lab: Lab) -> LabProgress:
        """To read; nothing yet for a lab that was not begun."""
        return self.labs.get(lab.id, LabProgress())

    def begun(self, lab: Lab) -> LabProgress:
        """To change."""
        return self.labs.setdefault(lab.id, LabProgress())

    @classmethod
    def load(cls, workspace: Path) -> "Progress":
        """What is written there; nothing yet where nothing is. Raises BadInput for a file that is none of ours."""
        file = workspace / FILE
        try:
            facts: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return cls(facts["current"], {lab: LabProgress(**of) for lab, of in facts["labs"].items()})
        except FileNotFoundError:
            return cls()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadInput(
                f"{FILE} cannot be read as progress.", next_step=f"Correct it, or delete it to begin anew: {file}", where=str(file)
            ) from None

    def save(self, workspace: Path) -> None:
        """Whole or not at all."""
        workspace.mkdir(parents=True, exist_ok=True)
        partial = workspace / f".{FILE}.partial"
        partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        partial.replace(workspace / FILE)


@contextmanager
def changing(workspace: Path) -> Iterator[Progress]:
    """Load, change, save, one command at a time; nothing is saved when the block fails."""
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / f".{FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        progress = Progress.load(workspace)
        yield progress
        progress.save(workspace)
