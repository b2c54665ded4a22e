"""What ends a controller on its way: a kill at a chosen point of each of its actions. For canary exercises only."""

from datetime import datetime
from pathlib import Path
from typing import Any

from data.ledger import Entry, Ledger


class Killed(BaseException):
    """The process is gone: nothing of the controller's may run any more, so no handler of errors may see it."""


# Where it dies, in turn from one action to the next.
POINTS = (("before", "intent"), ("after", "intent"), ("before", "done"), ("after", "done"))


class KillingLedger(Ledger):
    """A ledger whose writer dies once in each change of who serves."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.died: set[int] = set()  # in the actions that lead to these epochs

    def record(self, kind: str, facts: dict[str, Any], at: datetime) -> Entry:
        """As a ledger does, if it is let."""
        if kind not in ("intent", "done"):
            return super().record(kind, facts, at)
        epoch = int(facts["epoch"] if kind == "done" else facts["action"]["serving"]["epoch"])
        when, what = POINTS[epoch % len(POINTS)]
        dies = what == kind and epoch not in self.died
        if dies:
            self.died.add(epoch)
        if dies and when == "before":
            raise Killed
        entry = super().record(kind, facts, at)
        if dies:
            raise Killed
        return entry
