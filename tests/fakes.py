"""Hand-written stand-ins for what lives outside the process. The same contract tests run against them and the real thing."""

import shutil
from dataclasses import replace
from pathlib import Path

from data.errors import RegistryUnavailable, UnknownRun
from data.registry import VersionFacts
from data.serving_plan import ServingPlan


class FakeRegistry:
    """`data.registry.Registry` in memory. A version's `source` is a local folder; `down = True` makes every call fail."""

    def __init__(self, name: str = "fraud") -> None:
        self.url = "fake://registry"
        self.name = name
        self.down = False
        self.calls: list[str] = []  # names of the methods called, in order
        self._exists = False
        self._versions: dict[str, VersionFacts] = {}
        self._aliases: dict[str, str] = {}
        self._plan: ServingPlan | None = None

    def close(self) -> None:
        pass

    def ensure(self) -> None:
        self._called("ensure")
        self._exists = True

    def create_version(self, run_id: str, source: str, tags: dict[str, str]) -> str:
        self._called("create_version")
        if not self._exists:
            raise self._unknown("model")
        version = str(len(self._versions) + 1)
        self._versions[version] = VersionFacts(version, run_id, source, dict(tags))
        return version

    def version(self, version: str) -> VersionFacts:
        self._called("version")
        return self._known(version)

    def versions(self) -> list[VersionFacts]:
        self._called("versions")
        return [replace(facts, tags=dict(facts.tags)) for facts in self._versions.values()]

    def tag_version(self, version: str, tags: dict[str, str]) -> None:
        self._called("tag_version")
        facts = self._known(version)
        self._versions[version] = replace(facts, tags={**facts.tags, **tags})

    def alias(self, alias: str) -> str | None:
        self._called("alias")
        return self._aliases.get(alias)

    def set_alias(self, alias: str, version: str) -> None:
        self._called("set_alias")
        self._aliases[alias] = self._known(version).version

    def delete_alias(self, alias: str) -> None:
        self._called("delete_alias")
        self._aliases.pop(alias, None)

    def plan(self) -> ServingPlan | None:
        self._called("plan")
        return self._plan

    def set_plan(self, plan: ServingPlan) -> None:
        self._called("set_plan")
        if not self._exists:
            raise self._unknown("model")
        self._plan = ServingPlan.from_json(plan.to_json())

    def download(self, version: str, folder: Path) -> None:
        self._called("download")
        source = Path(self._known(version).source)
        if not source.is_dir() or not any(source.iterdir()):
            raise self._unknown(version)
        shutil.copytree(source, folder, dirs_exist_ok=True)

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if self.down:
            raise RegistryUnavailable("The model registry did not answer.", next_step="Start it again.", where=self.url)

    def _known(self, version: str) -> VersionFacts:
        if version not in self._versions:
            raise self._unknown(version)
        return self._versions[version]

    def _unknown(self, where: str) -> UnknownRun:
        return UnknownRun("The registry knows no such version.", next_step="List the versions there are.", where=where)
