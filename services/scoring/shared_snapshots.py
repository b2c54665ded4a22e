"""The histories at rest that belong to a shared log: where its copies begin, and how far they have come.

    history/<log>/from-<origin>.npz     what happened before the log's first entry; <origin> is a digest of the file
    history/<log>/at-<place>.npz        everything up to that place of the log

A snapshot only saves time, except the first: it is training's, and every process must begin with the same. So the log names
it, and a process that does not have it refuses to score. Processes on one machine share the folder.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.errors import BadInput, LogUnavailable
from data.history import History
from data.partial import partial_of
from data.prediction_store import Payment
from data.shared_history import SharedHistory
from data.shared_log import LogIdentity, SharedLog
from services.scoring.recovery import FROM_TRAINING

_NOTHING: Final = "nothing"  # the origin of a log that began without a history


class SharedSnapshots:
    """Brings copies of the history back, and saves them."""

    def __init__(self, folder: Path, log: SharedLog) -> None:
        self._folder = folder
        self._log = log

    def restore(self) -> tuple[LogIdentity, SharedHistory]:
        """The newest copy on disk; what came since is to be followed. Raises BadInput for a damaged file, LogUnavailable."""
        found = self._log.identity()
        identity = LogIdentity(found.name, self._begin(found) if found.origin is None else found.origin)
        history, position = self._nearest(identity, self._log.last_sequence())
        return identity, SharedHistory(history, position)

    def beginning(self) -> History:
        """What was known before the log's first entry. Raises LogUnavailable when that is not on this machine."""
        return self._nearest(self._log.identity(), 0)[0]

    def save(self, identity: LogIdentity, history: SharedHistory) -> None:
        """Keep a copy at its place, and drop those before it."""
        kept = self._at(identity, history.position)
        history.save(kept)
        for place, file in self._places(identity):
            if place < history.position:
                file.unlink(missing_ok=True)  # a process beside us may have been faster

    def features_at(self, identity: LogIdentity, sequence: int) -> NDArray[np.float64]:
        """The features of the payment at this place, shape (FEATURE_COUNT,), from the log alone: as slow as a start."""
        history, position = self._nearest(identity, sequence - 1)
        for event in self._log.events_since(position):
            if not isinstance(event, Payment):
                history.report(card_id=event.card_id, terminal_id=event.terminal_id, report_time_s=event.report_time_s)
                continue
            features = history.advance(*event[1:])
            if event.sequence == sequence:
                return features
        raise _not_here(f"The store lost the payment at place {sequence}.", "Restore the store's append-only file.")

    def _begin(self, identity: LogIdentity) -> str:
        """Before the first payment: keep training's snapshot as this log's beginning. Returns its origin."""
        training = self._folder / FROM_TRAINING
        if not training.exists():
            return _NOTHING
        self._of(identity).mkdir(parents=True, exist_ok=True)
        copy = partial_of(self._of(identity) / "training")  # workers begin side by side
        shutil.copyfile(training, copy)
        with copy.open("rb") as file:
            origin = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        copy.replace(self._of(identity) / f"from-{origin}.npz")
        return origin

    def _nearest(self, identity: LogIdentity, most: int) -> tuple[History, int]:
        """The last copy that is not after place `most`."""
        for place, file in sorted(self._places(identity), reverse=True):
            if place <= most:
                try:
                    return History.load(file), place
                except BadInput:
                    if file.exists():
                        raise
                    # a process beside us has saved a later one since
        if identity.origin == _NOTHING:
            return History(), 0
        first = self._of(identity) / f"from-{identity.origin}.npz"
        if not first.exists():
            raise _not_here(
                f"The log began with a history that is not on this machine ({first.name}).",
                f"Copy it from a machine that scores, into {first.parent}.",
            )
        return History.load(first), 0

    def _places(self, identity: LogIdentity) -> list[tuple[int, Path]]:
        return [(int(file.stem.removeprefix("at-")), file) for file in self._of(identity).glob("at-*.npz")]

    def _at(self, identity: LogIdentity, place: int) -> Path:
        return self._of(identity) / f"at-{place:012d}.npz"

    def _of(self, identity: LogIdentity) -> Path:
        return self._folder / identity.name


def _not_here(message: str, next_step: str) -> LogUnavailable:
    return LogUnavailable(message, next_step=next_step, where="LAB_STORE_URL")
