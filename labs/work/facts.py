"""What the duties found, as files in `<home>/monitoring/`: each whole or not there, so that whoever shows them holds nothing itself.

windows/<day>.json   the verdict on the window that ended with that midnight, as `WindowResult.to_json` has it
rollout.json         the judge's last look at the open rollout
duties.json          when each duty last ran, and how it ended
"""

import fcntl
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

WINDOWS: Final = "windows"
ROLLOUT: Final = "rollout.json"
DUTIES: Final = "duties.json"


class Facts:
    """The folder of one lab home. Nothing is made before something is kept."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "monitoring"

    def keep_window(self, day: date, facts: dict[str, Any]) -> None:
        """The verdict on the window that ended when `day` began."""
        self._write(self.folder / WINDOWS / f"{day}.json", facts)

    def window_days(self) -> list[date]:
        """The days whose windows have been judged, in order."""
        return sorted(date.fromisoformat(file.stem) for file in (self.folder / WINDOWS).glob("*.json"))

    def window(self, day: date) -> dict[str, Any]:
        """Of one of them."""
        return _read(self.folder / WINDOWS / f"{day}.json") or {}

    def keep_rollout(self, facts: dict[str, Any]) -> None:
        """The judge's last look."""
        self._write(self.folder / ROLLOUT, facts)

    def rollout(self) -> dict[str, Any] | None:
        """The judge's last look; None where there was none."""
        return _read(self.folder / ROLLOUT)

    def keep_duty(self, duty: str, at: datetime, failure: str) -> None:
        """That a duty ran, and the code of what went wrong; empty when nothing did. The last success is kept through failures."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # duties run beside each other
            known = self.duties()
            succeeded = known.get(duty, {}).get("succeeded") if failure else at.timestamp()
            self._write(self.folder / DUTIES, known | {duty: {"ran": at.timestamp(), "succeeded": succeeded, "failure": failure}})

    def duties(self) -> dict[str, Any]:
        """By name: when it ran and succeeded last (Unix time), and why it failed."""
        return _read(self.folder / DUTIES) or {}

    def _write(self, file: Path, facts: dict[str, Any]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.new")
        partial.write_text(json.dumps(facts) + "\n")
        partial.replace(file)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    return facts
