"""The model registry: versions, aliases and the serving plan. The only file that talks to it.

MLflow's REST interface over httpx: every call has a time-out and none is repeated, because MLflow's own client blocks
for minutes on a dead server. It imports nothing of MLflow, so the scoring service (a background poll), the training
steps and the rollout can all use it.

- a *version* points at the files that one training run left behind and never changes;
- an *alias* (`champion`, `challenger`, `previous_champion`) points at one version;
- the *serving plan* is a tag of the model: one signed JSON value, so that a reader never sees half a change, nor another's.
"""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Final, Self

import httpx

from data.errors import BundleRefused, RegistryUnavailable, UnknownRun
from data.serving_plan import ServingPlan, seal, unseal
from data.settings import Settings

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PLAN_TAG: Final = "serving_plan"
_API: Final = "/api/2.0/mlflow"
_FILES: Final = "/api/2.0/mlflow-artifacts/artifacts"
_SCHEME: Final = "mlflow-artifacts:/"
# MLflow says INVALID_PARAMETER_VALUE, with status 400, for an alias that is not set (seen in 3.17).
_ABSENT: Final = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
_MAX_BYTES: Final = 256 * 1024 * 1024  # of a whole version; a bundle is a few MB, more is a mistake or an attack on the disk


@dataclass(frozen=True)
class VersionFacts:
    """One registered version: the run that made it, where its files rest, and its tags."""

    version: str
    run_id: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)


class Registry:
    """One registered model on one server. Safe to share between threads.

    Every method raises RegistryUnavailable when the server does not answer within `timeout_s` (per network wait), and
    UnknownRun when what was named is not there.
    """

    def __init__(self, url: str, name: str, timeout_s: float, key_folder: Path, transport: httpx.BaseTransport | None = None) -> None:
        """`key_folder`: see `data/keys.py`; plans are signed and verified with it."""
        self.url = url
        self.name = name
        self._key_folder = key_folder
        # trust_env=False: a machine's proxy settings must not come between two processes on loopback.
        self._http = httpx.Client(base_url=url, timeout=timeout_s, transport=transport, trust_env=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The registry that these settings name."""
        return cls(settings.mlflow_url, settings.model_name, settings.http_timeout_s, settings.home / "keys")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ensure(self) -> None:
        """Make the registered model unless it is there."""
        response = self._send("POST", f"{_API}/registered-models/create", json={"name": self.name})
        if response.is_error and _error_code(response) != "RESOURCE_ALREADY_EXISTS":
            raise self._refused(response)

    def create_version(self, run_id: str, source: str, tags: dict[str, str]) -> str:
        """Register the files at `source` (an artifact URI of the run) as the next version; returns its number."""
        body = {"name": self.name, "run_id": run_id, "source": source, "tags": [{"key": k, "value": v} for k, v in tags.items()]}
        return str(self._call("POST", "model-versions/create", json=body)["model_version"]["version"])

    def version(self, version: str) -> VersionFacts:
        """The facts of one version."""
        answer = self._call("GET", "model-versions/get", params={"name": self.name, "version": version})
        return _facts(answer["model_version"])

    def versions(self) -> list[VersionFacts]:
        """Every version, the oldest first; empty when nothing was registered yet."""
        found: list[VersionFacts] = []
        query = {"filter": f"name='{self.name}'", "max_results": "200"}
        while True:
            page = self._call("GET", "model-versions/search", params=query)
            found += [_facts(entry) for entry in page.get("model_versions", [])]
            if not page.get("next_page_token"):
                return sorted(found, key=lambda facts: int(facts.version))
            query["page_token"] = page["next_page_token"]

    def tag_version(self, version: str, tags: dict[str, str]) -> None:
        """Add tags to one version; a tag of the same name is replaced."""
        for key, value in tags.items():
            self._call("POST", "model-versions/set-tag", json={"name": self.name, "version": version, "key": key, "value": value})

    def alias(self, alias: str) -> str | None:
        """The version that `alias` points at, or None."""
        response = self._send("GET", f"{_API}/registered-models/alias", params={"name": self.name, "alias": alias})
        if response.is_error and _error_code(response) in _ABSENT:
            return None
        return str(self._answer(response)["model_version"]["version"])

    def set_alias(self, alias: str, version: str) -> None:
        """Point `alias` at `version`, wherever it pointed before."""
        self._call("POST", "registered-models/alias", json={"name": self.name, "alias": alias, "version": version})

    def delete_alias(self, alias: str) -> None:
        """Remove `alias`; nothing happens when it is not set."""
        self._call("DELETE", "registered-models/alias", json={"name": self.name, "alias": alias})

    def plan(self) -> ServingPlan | None:
        """Who is to serve, or None while nobody said. Raises PlanRefused for one that this lab did not sign."""
        response = self._send("GET", f"{_API}/registered-models/get", params={"name": self.name})
        if response.is_error and _error_code(response) == "RESOURCE_DOES_NOT_EXIST":
            return None
        tags = {tag["key"]: tag["value"] for tag in self._answer(response)["registered_model"].get("tags", [])}
        return unseal(tags[PLAN_TAG], self.name, self._key_folder) if PLAN_TAG in tags else None

    def set_plan(self, plan: ServingPlan) -> None:
        """Say who is to serve from now on."""
        value = seal(plan, self.name, self._key_folder)
        self._call("POST", "registered-models/set-tag", json={"name": self.name, "key": PLAN_TAG, "value": value})

    def download(self, version: str, folder: Path) -> None:
        """Copy the files of `version` into `folder`. Nothing is verified here: that is the bundle's manifest's part."""
        source = self.version(version).source
        if not source.startswith(_SCHEME):
            raise UnknownRun(
                f"The files of version {version} are not behind the registry's artifact proxy.",
                next_step="Start MLflow with `lab up` (it serves artifacts) and train again.",
                where=version,
            )
        root = source.removeprefix(_SCHEME).lstrip("/")
        names = self._files(root)
        if not names:
            raise UnknownRun(f"Version {version} holds no files.", next_step="Run `lab train` to register a new version.", where=version)
        budget = _MAX_BYTES
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            budget -= self._download_file(f"{_FILES}/{root}/{name}", target, budget)

    def _files(self, root: str, below: str = "") -> list[str]:
        """Paths of all files under `root`, relative to it. Names that lead elsewhere are refused."""
        listing = self._answer(self._send("GET", _FILES, params={"path": f"{root}/{below}".rstrip("/")}))
        names: list[str] = []
        for entry in listing.get("files", []):
            path = PurePosixPath(below) / entry["path"]
            if ".." in path.parts or path.is_absolute():
                raise _refused_file(str(path), "a path inside the bundle", "one that leads out of it")
            names += self._files(root, str(path)) if entry.get("is_dir") else [str(path)]
        return names

    def _download_file(self, route: str, target: Path, budget: int) -> int:
        """Copy one file of at most `budget` bytes; returns how many it had."""
        received = 0
        try:
            with self._http.stream("GET", route) as response, target.open("wb") as file:
                if response.is_error:
                    response.read()
                    raise self._refused(response)
                announced = int(response.headers.get("content-length", 0))
                for block in response.iter_bytes():
                    received += len(block)
                    if max(received, announced) > budget:  # before the disk pays for it
                        raise _refused_file(target.name, f"at most {_MAX_BYTES} bytes in all files", "more")
                    file.write(block)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return received

    def _call(self, method: str, route: str, **how: Any) -> dict[str, Any]:
        return self._answer(self._send(method, f"{_API}/{route}", **how))

    def _send(self, method: str, route: str, **how: Any) -> httpx.Response:
        try:
            return self._http.request(method, route, **how)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _answer(self, response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise self._refused(response)
        answer: dict[str, Any] = response.json()
        return answer

    def _refused(self, response: httpx.Response) -> RegistryUnavailable | UnknownRun:
        code = _error_code(response)
        if code in _ABSENT:
            return UnknownRun(
                f"The registry knows no such run, version or file of model {self.name}.",
                next_step="`lab registry` lists the versions there are.",
                where=response.request.url.path,
            )
        return RegistryUnavailable(
            f"The registry answered {response.status_code}{f' ({code})' if code else ''}.",
            next_step="Read logs/mlflow.log in LAB_HOME, then try again.",
            where=response.request.url.path,
        )

    def _unreachable(self, error: httpx.HTTPError) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"The model registry at {self.url} did not answer ({type(error).__name__}).",
            next_step="`lab status` shows what runs; `lab up` starts it.",
            where=self.url,
        )


def _refused_file(name: str, expected: str, found: str) -> BundleRefused:
    """A file that is never to be looked at again, unlike a registry that does not answer."""
    return BundleRefused(
        f"{name}: expected {expected}, found {found}.",
        next_step="The version that serves stays; check who else can write to the artifact store.",
        where=name,
    )


def _error_code(response: httpx.Response) -> str:
    """MLflow's error code, or '' when the answer is not one of MLflow's (a proxy, another program on the port)."""
    try:
        body = response.json()
    except ValueError:
        return ""
    return str(body.get("error_code", "")) if isinstance(body, dict) else ""


def _facts(entry: dict[str, Any]) -> VersionFacts:
    tags = {tag["key"]: tag["value"] for tag in entry.get("tags", [])}
    return VersionFacts(str(entry["version"]), entry.get("run_id", ""), entry["source"], tags)
