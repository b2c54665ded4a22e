"""Models on this machine's disk: a downloaded bundle is published whole or not at all, and the last good plan is kept.

    models/<version>/        verified and tried bundles
    models/last_good.json    the plan that served last, so that a start needs no registry

The models that were asked for last also stay loaded, so that going back to one costs no parsing: parsing takes a core
for tens of milliseconds, which the callers of a small machine feel. Only the courier uses it, a thread at a time but for `remember`.
"""

import fcntl
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from data.bundle import Manifest, Model, sealed_sequence, verify_bundle
from data.errors import BadInput, BundleRefused
from data.partial import partial_of
from data.serving_plan import ServingPlan

MOST_LOADED = 4  # those of a rollout, the one before, and one to spare: 0.8 MB each with 300 trees of 31 leaves
_LAST_GOOD = "last_good.json"
_VERSION = re.compile(r"[0-9]{1,9}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LastGood:
    """The plan that served last, and when the registry last confirmed it."""

    plan: ServingPlan
    confirmed_at: datetime


class ModelStore:
    """Verified bundles by version."""

    def __init__(self, folder: Path, *, key_folder: Path, trial: Callable[[Path], object]) -> None:
        """`trial` runs a bundle where it can do no harm, and raises BundleRefused."""
        self._folder = folder
        self._key_folder = key_folder
        self._trial = trial
        self._loaded: dict[str, Model] = {}  # by version, the one asked for last at the end
        self._noting = threading.Lock()
        self._noted = -1  # epoch of the last good plan on disk, as far as this process wrote it
        folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            for left_over in folder.glob("*.partial"):
                if left_over.is_dir():  # a plan's own is a worker's that is writing it now, or a few bytes
                    shutil.rmtree(left_over)

    def model(self, version: str, download: Callable[[Path], None] | None = None) -> Model:
        """The model of one version, from memory, disk or through `download`. Raises BundleRefused, and what `download` raises."""
        model = self._loaded.pop(version, None) or self._load(version, download)
        self._loaded[version] = model
        while len(self._loaded) > MOST_LOADED:
            del self._loaded[next(iter(self._loaded))]
        return model

    def remember(self, plan: ServingPlan, at: datetime) -> None:
        """Keep `plan` as the last good one, unless a later one is kept. Any thread may call it.

        The file is whole at any moment, but its name may turn to the new one a little later: a power cut right after a
        swap costs a start that begins one plan earlier. A second sync, of the folder, would make the log wait for it.
        """
        with self._noting:
            if plan.epoch < self._noted:
                return
            partial = partial_of(self._folder / _LAST_GOOD)
            partial.write_text(json.dumps({"plan": plan.to_json(), "confirmed_at": at.isoformat()}) + "\n")
            _sync(partial)
            partial.replace(self._folder / _LAST_GOOD)
            self._noted = plan.epoch

    def last_good(self) -> LastGood | None:
        """What served last on this machine; None when there is nothing to read."""
        file = self._folder / _LAST_GOOD
        if not file.exists():
            return None
        try:
            facts = json.loads(file.read_bytes())
            return LastGood(ServingPlan.from_json(facts["plan"]), datetime.fromisoformat(facts["confirmed_at"]))
        except (ValueError, TypeError, KeyError, BadInput) as error:  # damaged: the registry will say it again
            _log.warning("%s is damaged (%s); waiting for the registry", _LAST_GOOD, type(error).__name__)
            return None

    def _load(self, version: str, download: Callable[[Path], None] | None) -> Model:
        if not _VERSION.fullmatch(version):
            raise BundleRefused("A version is a number.", next_step="Look at the serving plan with `lab status`.", where="version")
        folder = self._folder / version
        try:
            verify_bundle(folder, key_folder=self._key_folder)
        except BundleRefused:
            if download is None:
                raise
            with self._alone():
                self._admit(version, download)
        return Model.load(folder, version)

    def _admit(self, version: str, download: Callable[[Path], None]) -> None:
        """Download aside, verify, try, then publish by one rename; nothing when a worker beside us has just done so."""
        with suppress(BundleRefused):
            verify_bundle(self._folder / version, key_folder=self._key_folder)
            return
        partial = partial_of(self._folder / version)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            download(partial)
            self._refuse_replay(version, verify_bundle(partial, key_folder=self._key_folder))
            self._trial(partial)
            for file in (*partial.rglob("*"), partial):
                _sync(file)
            shutil.rmtree(self._folder / version, ignore_errors=True)  # a copy that no longer verifies
            partial.rename(self._folder / version)
            _sync(self._folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No worker beside us changes the folder meanwhile."""
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # let go of when it is closed, or its process dies
            yield

    def _refuse_replay(self, version: str, manifest: Manifest) -> None:
        """A later version carries a later seal; otherwise somebody passes an old, correctly signed bundle for a new one."""
        for folder in self._folder.iterdir():
            if not _VERSION.fullmatch(folder.name) or folder.name == version:
                continue
            known = sealed_sequence(folder, key_folder=self._key_folder)
            if known is None:
                continue  # a damaged copy says nothing; it is fetched again when a plan names it
            if (manifest.sequence > known) != (int(version) > int(folder.name)):
                raise BundleRefused(
                    f"manifest.json: expected a sequence {'above' if int(version) > int(folder.name) else 'below'} {known} "
                    f"(version {folder.name}), found {manifest.sequence}.",
                    next_step="An old bundle cannot pass for a new version; roll back by naming the old version instead.",
                    where="manifest.json",
                )


def _sync(path: Path) -> None:
    """Push a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
