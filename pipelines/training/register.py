"""Make a judged training a registered version: once per set of inputs, never half. Called by training.

A version is made only after its bundle is complete in MLflow, and the alias is set last, so a reader finds whole
bundles or nothing. Run again after a crash, it goes on where it stopped.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from data.registry import CHALLENGER, CHAMPION, VersionFacts
from data.serving_plan import ServingPlan

INPUTS_TAG: Final = "inputs_digest"
SEQUENCE_TAG: Final = "bundle_sequence"


class VersionStore(Protocol):
    """The part of `data.registry.Registry` that registering needs."""

    def ensure(self) -> None: ...
    def versions(self) -> list[VersionFacts]: ...
    def create_version(self, run_id: str, source: str, tags: dict[str, str]) -> str: ...
    def alias(self, alias: str) -> str | None: ...
    def set_alias(self, alias: str, version: str) -> None: ...
    def plan(self) -> ServingPlan | None: ...
    def set_plan(self, plan: ServingPlan) -> None: ...


@dataclass(frozen=True)
class Registered:
    """Where a model ended up. `created` is False when these inputs had a version already."""

    version: str
    alias: str | None
    created: bool


def version_of(store: VersionStore, inputs_digest: str) -> VersionFacts | None:
    """The version made from exactly these inputs (rows, recipe, code), if there is one."""
    return next((facts for facts in store.versions() if facts.tags.get(INPUTS_TAG) == inputs_digest), None)


def next_sequence(store: VersionStore) -> int:
    """One more than any registered bundle's sequence number: an old bundle can then not pass for a new one."""
    return 1 + max((int(facts.tags.get(SEQUENCE_TAG, "0")) for facts in store.versions()), default=0)


def register(store: VersionStore, run_id: str, source: str, tags: dict[str, str]) -> Registered:
    """Register the bundle at `source`; `tags` must hold INPUTS_TAG. With no champion it becomes champion, else challenger."""
    store.ensure()
    known = version_of(store, tags[INPUTS_TAG])
    version = known.version if known else store.create_version(run_id, source, tags)
    return Registered(version, settle_alias(store, version), created=known is None)


def settle_alias(store: VersionStore, version: str) -> str:
    """Give `version` the alias it is due and say which: `champion` when there is none, `challenger` otherwise."""
    champion = store.alias(CHAMPION)
    if champion in (None, version):
        if champion is None:
            store.set_alias(CHAMPION, version)
        if store.plan() is None:
            store.set_plan(ServingPlan(0, version))  # the service follows this, no alias
        return CHAMPION
    if store.alias(CHALLENGER) != version:
        store.set_alias(CHALLENGER, version)
    return CHALLENGER
