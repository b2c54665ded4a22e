"""Which models serve: fetched beside the requests, verified and tried before they are loaded, kept on disk for the next start."""

import json
import logging
import shutil
import threading
import time
from pathlib import Path
from typing import NamedTuple

from data.bundle import Model, verify_bundle
from data.errors import LabError
from data.registry import CHALLENGER, CHAMPION, Registry
from data.settings import Settings
from data.trial import try_bundle

log = logging.getLogger("models")


class Serving(NamedTuple):
    """What one answer needs. Requests read it once; a swap is one new tuple in place of the old one."""

    champion: Model
    challenger: Model | None


class Courier:
    """A thread that follows the registry. Nobody ever waits for it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.serving: Serving | None = None
        self._registry = Registry.of(settings)
        self._keys = settings.home / "keys"
        self._poll_s = settings.registry_poll_s
        self._folder = folder / "models"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._loaded: dict[str, Model] = {}
        self._refused: set[str] = set()  # a version's files never change: once refused, always refused

    def start(self) -> None:
        self._restore()
        threading.Thread(target=self._follow, daemon=True).start()

    def _restore(self) -> None:
        """What served last, so that a start needs no registry."""
        note = self._folder / "last_good.json"
        if note.exists():
            versions = json.loads(note.read_text())
            try:
                self.serving = Serving(*[version and self._on_disk(version) for version in versions])
            except LabError as error:
                log.warning("the last good model is no good: %s", error)

    def _follow(self) -> None:
        while True:
            try:
                self._look()
            except LabError as error:
                log.warning("who serves stays: %s", error)
            time.sleep(self._poll_s)

    def _look(self) -> None:
        champion, challenger = self._registry.alias(CHAMPION), self._registry.alias(CHALLENGER)
        if champion is None:
            return
        first = self._model(champion) or (self.serving and self.serving.champion)
        second = self._model(challenger) if challenger else None
        if first is None or (self.serving and self.serving == (first, second)):
            return
        self.serving = Serving(first, second)
        note = self._folder / "last_good.new"
        note.write_text(json.dumps([first.version, second and second.version]))
        note.replace(self._folder / "last_good.json")  # whole or not at all

    def _model(self, version: str) -> Model | None:
        """A version's model; None for one that is no good."""
        if version in self._loaded:
            return self._loaded[version]
        if version in self._refused:
            return None
        try:
            if not (self._folder / version).exists():
                self._fetch(version)
            return self._on_disk(version)
        except LabError as error:
            if error.code == "bundle_refused":
                self._refused.add(version)
            log.warning("version %s is not served: %s", version, error)
            return None

    def _on_disk(self, version: str) -> Model:
        verify_bundle(self._folder / version, key_folder=self._keys)
        self._loaded[version] = Model.load(self._folder / version, version)
        return self._loaded[version]

    def _fetch(self, version: str) -> None:
        partial = self._folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        self._registry.download(version, partial)
        verify_bundle(partial, key_folder=self._keys)  # every byte, before anything parses it
        try_bundle(partial)  # in a child process, on rows whose scores are known
        partial.rename(self._folder / version)
