"""The state behind the features, brought back after a start or a failed commit: a snapshot, then the log's events after it.

    history/snapshot                training's: what happened before this log's first entry
    history/at-<sequence>.npz       ours: everything up to that place in the log

A snapshot only saves time. Whatever is lost, snapshot and log together give the state to the last bit.
"""

from pathlib import Path

from data.history import History, Payed
from data.prediction_store import FraudReport, Payment, PredictionStore

FROM_TRAINING = "snapshot"
_TOGETHER = 1_000  # payments that the history takes in one call


class Recovery:
    """Rebuilds and saves the history that belongs to one log."""

    def __init__(self, folder: Path, log: PredictionStore) -> None:
        self._folder = folder
        self._log = log

    def restore(self) -> History:
        """The history after the log's last entry. Raises BadInput for a damaged snapshot, LogUnavailable for the log."""
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
        history.advance_many(waiting)
        return history

    def save(self, history: History) -> None:
        """Keep `history`, which must be that of the log's last entry, and drop the snapshots before it."""
        sequence = self._log.last_sequence()
        kept = self._path(sequence)
        history.save(kept)
        for older in self._folder.glob("at-*.npz"):
            if older != kept:
                older.unlink()

    def _nearest_snapshot(self) -> tuple[History, int]:
        last = self._log.last_sequence()
        ours = sorted((int(file.stem.removeprefix("at-")) for file in self._folder.glob("at-*.npz")), reverse=True)
        # Ours come first once the log has entries: training may since have saved a later snapshot, which holds them too.
        for sequence in ours if last > 0 else ():
            if sequence <= last:
                return History.load(self._path(sequence)), sequence
        training = self._folder / FROM_TRAINING
        if not training.exists():
            return History(), 0
        history = History.load(training)
        if last == 0:
            history.save(self._path(0))  # the beginning of this log, whatever training saves later
        return history, 0

    def _path(self, sequence: int) -> Path:
        return self._folder / f"at-{sequence:012d}.npz"
