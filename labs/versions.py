"""A registered version's model, verified: from the service's copy where there is one, otherwise fetched for this process alone.

The service admits bundles to `models/` itself, after its own trial; nobody else puts one there.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from data.bundle import Model, verify_bundle
from data.registry import Registry
from data.settings import Settings


def load_version(settings: Settings, registry: Registry, version: str) -> Model:
    """Raises BundleRefused, UnknownRun, RegistryUnavailable."""
    admitted = settings.home / "models" / version
    if admitted.exists():
        return _verified(admitted, settings, version)
    with TemporaryDirectory() as folder:
        registry.download(version, Path(folder))
        return _verified(Path(folder), settings, version)


def _verified(folder: Path, settings: Settings, version: str) -> Model:
    verify_bundle(folder, key_folder=settings.home / "keys")
    return Model.load(folder, version)
