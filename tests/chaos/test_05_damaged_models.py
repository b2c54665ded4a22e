"""Promise 5: a damaged model is refused before the service's parser sees it, and the champion keeps answering meanwhile."""

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.bundle import MANIFEST, MODEL
from data.errors import BundleRefused
from data.serving_plan import ServingPlan
from services.scoring.model_store import ModelStore
from tests.chaos.damage import Mutant, Workshop
from tests.chaos.load import Load, payments
from tests.chaos.registry import RegistryProcess
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab
from tests.chaos.witness import Witness

OLDER, CHAMPION, GOOD = "1", "2", "5000"
REASON = re.compile(r"(?P<name>\S+): expected .+, found .+\.")


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "shop", seed=5)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness.jsonl")


@pytest.fixture
def watched(tmp_path: Path, shop: Workshop, witness: Witness) -> Iterator[Lab]:
    """A service under witness that came from the older version to the champion, and looks at the registry when told to."""
    with RegistryProcess(tmp_path / "registry", shop.keys) as registry, Lab(tmp_path / "home", registry, key_folder=shop.keys) as lab:
        registry.add_version(OLDER, shop.older)
        registry.add_version(CHAMPION, shop.champion)
        registry.set_plan(ServingPlan(epoch=0, champion=OLDER))
        registry.start()
        lab.settings |= {"LAB_REGISTRY_POLL_S": "60", **witness.environment}
        lab.start()
        assert promote(lab, CHAMPION).status_code == 200
        yield lab


def promote(lab: Lab, version: str) -> httpx.Response:
    """Make `version` the champion, have the service look, and return what it says."""
    epoch = lab.serving()["plan"]["epoch"] + 1
    lab.registry.set_plan(ServingPlan(epoch=epoch, champion=version))
    return lab.http.post("/v1/reload", headers={"X-Lab-Key": (lab.home / "keys" / "lab.key").read_text()}, timeout=60)


def test_a_damaged_model_is_refused_and_the_champion_keeps_serving(
    watched: Lab, shop: Workshop, witness: Witness, scoreboard: Scoreboard, tier: Callable[[int, int], int]
) -> None:
    wrong: list[str] = []
    kinds: Counter[str] = Counter()
    with Load(watched.port, payments(), clients=1) as load:
        for mutant in shop.mutants(tier(200, 1_000)):
            kinds[mutant.kind] += 1
            assert digests(mutant.folder) != digests(shop.candidate) or mutant.listed_too, "the fault was not injected"
            complaint = refusal_on_disk(mutant, shop) if mutant.local else refusal(watched, mutant, version=str(10 + kinds.total()))
            if complaint:
                wrong.append(f"{mutant.kind}: {complaint}")
        (watched.home / "models" / OLDER / MANIFEST).write_text("{")  # the local copy of a version that nobody wants now
        watched.registry.add_version(GOOD, shop.candidate)
        assert promote(watched, GOOD).status_code == 200, "a store that refuses everything proves nothing"
        load.stop()
    good = {digest_of(folder / MODEL) for folder in (shop.older, shop.champion, shop.candidate)}
    parsed = witness.parsed()
    assert good <= parsed[watched.pid], "the witness saw nothing"
    wrong += [f"the service parsed {digest}" for digest in parsed[watched.pid] - good]
    wrong += ["LightGBM's library was loaded"] * len(witness.events("loaded"))
    tried = {digest for pid, seen in parsed.items() if pid != watched.pid for digest in seen} - good
    assert len(tried) >= 5, "no signed mutant reached a trial"
    versions = Counter(str(json.loads(answer)["model_version"]) for answer in load.acknowledged.values())
    wrong += [f"{count} payments were answered by {version}" for version, count in versions.items() if version not in (CHAMPION, GOOD)]
    wrong += ["a payment was not answered"] * load.failures
    assert versions[CHAMPION] > 1_000, "nobody asked meanwhile"
    scoreboard.record(
        promise=5,
        name="a damaged model is refused",
        n=kinds.total(),
        failures=len(wrong),
        figure=f"{len(kinds)} kinds; {versions.total():,} answers meanwhile, {len(tried)} models ended in a trial; {first_of(wrong)}",
        passed=not wrong,
    )


def refusal(lab: Lab, mutant: Mutant, version: str) -> str:
    """What is wrong with how the service took a mutant in; empty when it was refused as promised."""
    mutant.folder.rename(lab.registry.folder / "artifacts" / version)
    if mutant.listed_too:
        lab.registry.list_too(version, mutant.listed_too)
    answer = promote(lab, version)
    if answer.status_code != 409:
        return f"answered {answer.status_code}: {answer.text[:200]}"
    if (lab.home / "models" / version).exists():
        return "it was published"
    return what_is_missing(answer.json()["error"]["message"], mutant)


def refusal_on_disk(mutant: Mutant, shop: Workshop) -> str:
    """The same for damage that only this machine's disk can carry, against the store itself."""
    folder = mutant.folder.parent / "store"
    store = ModelStore(folder, key_folder=shop.keys, trial=lambda _: pytest.fail("tried"))
    try:
        store.model("7", lambda target: shutil.copytree(mutant.folder, target, symlinks=True, dirs_exist_ok=True) and None)
    except BundleRefused as error:
        return what_is_missing(error.message, mutant)
    return "it was admitted"


def what_is_missing(message: str, mutant: Mutant) -> str:
    reason = REASON.search(message)
    if reason is None:
        return f"no file, expected and found in: {message}"
    return "" if reason["name"] in mutant.names else f"names {reason['name']}, not {sorted(mutant.names)}"


def digests(folder: Path) -> dict[str, Any]:
    return {file.name: digest_of(file) for file in folder.rglob("*") if not file.is_dir()}


def digest_of(file: Path) -> str:
    if file.is_symlink() or file.stat().st_size > 2**20:
        return "a link, or huge"
    return hashlib.sha256(file.read_bytes()).hexdigest()


def first_of(wrong: list[str]) -> str:
    return f"first: {wrong[0]}" if wrong else "each reason names file, expected and found"
