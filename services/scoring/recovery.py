"""The state behind the features, brought back after a start or a failed commit: a snapshot, then the log's events after it.

    history/snapshot                training's: what happened before this log's first entry
    history/at-<sequence>.npz       ours: everything up to that place in the log

A snapshot only saves time. Whatever is lost, snapshot and log together give the state to the last bit. One is saved when
the service stops, and every EVERY entries meanwhile, by a child process that replays what the service has lived through: a
start after a kill has at most so many entries to replay, and no payment ever waits for a copy of the state.

    python -m services.scoring.recovery <home>
"""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from data.history import History, Payed
from data.open_log import open_log
from data.prediction_store import FraudReport, Payment, PredictionStore
from data.settings import Settings

FROM_TRAINING = "snapshot"
EVERY = 100_000  # entries: half a second of replay
KEPT = 2  # snapshots
_TOGETHER = 1_000  # payments that the history takes in one call


class Recovery:
    """Rebuilds and saves the history that belongs to one log."""

    def __init__(self, folder: Path, log: PredictionStore) -> None:
        self._folder = folder
        self._log = log
        self._since_saved = 0
        self._child: subprocess.Popen[bytes] | None = None

    def restore(self) -> tuple[History, int]:
        """The history after the log's last entry, and that entry's place. Raises BadInput for a damaged snapshot, LogUnavailable."""
        history, sequence = self._nearest_snapshot()
        waiting: list[Payed] = []
        for event in self._log.events_since(sequence):
            if isinstance(event, FraudReport) or len(waiting) == _TOGETHER:
                history.advance_many(waiting)
                waiting.clear()
            if isinstance(event, Payment):
                waiting.append(event[1:])
            else:
                history.report(card_id=event.card_id, terminal_id=event.terminal_id, report_time_s=event.report_time_s)
            sequence = event.sequence
        history.advance_many(waiting)
        return history, sequence

    def save(self, history: History, sequence: int) -> None:
        """Keep `history`, which is that after the log's entry `sequence`, and the snapshot before it: a power cut may cost a buffered log
        the entries that the newest one rests on."""
        history.save(self._path(sequence))
        for older in sorted(self._places())[:-KEPT]:
            self._path(older).unlink(missing_ok=True)

    def stored(self, entries: int) -> None:
        """So many more entries are in the log: now and then, have a snapshot saved beside us."""
        self._since_saved += entries
        if self._since_saved < EVERY or (self._child is not None and self._child.poll() is None):
            return
        self._since_saved = 0
        command = [sys.executable, "-m", "services.scoring.recovery", str(self._folder.parent)]
        self._child = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL)

    def close(self) -> None:
        """Let nobody save any more."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def _nearest_snapshot(self) -> tuple[History, int]:
        last = self._log.last_sequence()
        # Ours come first once the log has entries: training may since have saved a later snapshot, which holds them too.
        for sequence in sorted(self._places(), reverse=True) if last > 0 else ():
            if sequence <= last:
                return History.load(self._path(sequence)), sequence
            self._path(sequence).unlink(missing_ok=True)  # the log lost what it holds; other payments will take those places
        training = self._folder / FROM_TRAINING
        if not training.exists():
            return History(), 0
        history = History.load(training)
        if last == 0:
            history.save(self._path(0))  # the beginning of this log, whatever training saves later
        return history, 0

    def _places(self) -> list[int]:
        return [int(file.stem.removeprefix("at-")) for file in self._folder.glob("at-*.npz")]

    def _path(self, sequence: int) -> Path:
        return self._folder / f"at-{sequence:012d}.npz"


if __name__ == "__main__":
    os.nice(15)
    home = Path(sys.argv[1])
    with closing(open_log(Settings.load().model_copy(update={"home": home}))) as log:
        recovery = Recovery(home / "history", log)
        recovery.save(*recovery.restore())
