"""What ends a controller on its way: a kill at a chosen point of each of its actions. For canary exercises only."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from data.ledger import Entry, Ledger


class Killed(BaseException):
    """The process is gone: nothing of the controller's may run any more, so no handler of errors may see it."""


# Where it dies, in turn from one action to the next: which lines of that call are still written, and with which it ends.
POINTS: Final = (("none", "intent"), ("all", "intent"), ("none", "done"), ("all", "done"), ("all but the last", "intent"))
_WRITTEN: Final = {"none": slice(0, 0), "all but the last": slice(0, -1), "all": slice(None)}


class KillingLedger(Ledger):
    """A ledger whose writer dies once in each change of who serves."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.died: set[int] = set()  # in the actions that lead to these epochs

    def record_all(self, lines: Sequence[tuple[str, dict[str, Any]]], at: datetime) -> list[Entry]:
        """As a ledger does, if it is let."""
        kind, facts = lines[-1]
        if kind not in ("intent", "done"):
            return super().record_all(lines, at)
        epoch = int(facts["epoch"] if kind == "done" else facts["action"]["serving"]["epoch"])
        written, point = POINTS[epoch % len(POINTS)]
        if point != kind or epoch in self.died:
            return super().record_all(lines, at)
        self.died.add(epoch)
        if kept := lines[_WRITTEN[written]]:
            super().record_all(kept, at)
        raise Killed
