"""What a right service answers: the same history, the same kernel and the same sealed models, in this process."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.bundle import Model, verify_bundle
from data.history import History
from data.registry import Registry
from data.schema import Transaction, event_seconds
from data.settings import Settings


class Twin:
    """A service's double: give it the payments in the order in which the service got them."""

    def __init__(self, settings: Settings, registry_url: str) -> None:
        """`registry_url`: where models come from. Raises MissingFile, BadInput when there is no history to begin with."""
        self._home, self._name, self._url = settings.home, settings.model_name, registry_url
        self._timeout_s = settings.http_timeout_s
        self._history = History.load(self._home / "history" / "snapshot")
        self._models: dict[str, Model] = {}

    def features(self, payment: dict[str, Any]) -> NDArray[np.float64]:
        """What a model sees of the next payment, shape (FEATURE_COUNT,)."""
        row: NDArray[np.float64] = self.features_of_many([payment])[0]
        return row

    def features_of_many(self, payments: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
        """The same for the next payments, shape (n, FEATURE_COUNT)."""
        parsed = [Transaction.model_validate(payment) for payment in payments]
        return self._history.advance_many(
            [
                (t.card_id, t.terminal_id, event_seconds(t.event_time), t.amount_minor, t.channel, t.category, t.latitude, t.longitude,
                 t.device_id)
                for t in parsed
            ]
        )  # fmt: skip

    def model(self, version: str) -> Model:
        """A registered version, verified. Raises RegistryUnavailable, BundleRefused."""
        if version not in self._models:
            keys = self._home / "keys"
            with TemporaryDirectory() as folder, Registry(self._url, self._name, self._timeout_s, keys) as registry:
                registry.download(version, Path(folder))
                verify_bundle(Path(folder), key_folder=keys)
                self._models[version] = Model.load(Path(folder), version)
        return self._models[version]


def digest(features: NDArray[np.float64]) -> str:
    """SHA-256 of a row of features as it lies in memory: what a log keeps of them."""
    return hashlib.sha256(features.tobytes()).hexdigest()
