"""Promise 6: a model is data. Nothing in the scoring process can make code of it, and code planted in an artifact never runs."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp
import pytest

from data.bundle import seal_bundle
from data.serving_plan import ServingPlan
from tests.bundles import make_bundle
from tests.chaos.load import Load, payments
from tests.chaos.registry import RegistryProcess
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab
from tests.chaos.witness import Witness

LOADERS = ("pickle", "cPickle", "_pickle", "marshal", "shelve", "joblib", "cloudpickle", "dill", "skops", "mlflow", "runpy")


def test_no_path_of_imports_leads_from_the_service_to_a_loader(scoreboard: Scoreboard) -> None:
    graph = grimp.build_graph("data", "services", include_external_packages=True, cache_dir=None)
    roots = [module for module in graph.modules if module.startswith("services.scoring")]
    assert graph.find_shortest_chain("services.scoring.compose", "numpy"), "the graph sees no library"
    chains = [
        chain for root in roots for loader in LOADERS if loader in graph.modules and (chain := graph.find_shortest_chain(root, loader))
    ]
    scoreboard.record(
        promise=6,
        name="no import leads from the service to a loader",
        n=len(roots) * len(LOADERS),
        failures=len(chains),
        figure=" > ".join(chains[0]) if chains else f"{len(roots)} modules, {len(LOADERS)} loaders",
        passed=not chains,
    )


class Marker:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def plant(folder: Path, markers: Path) -> dict[str, Path]:
    """Put code into a bundle in every place where a loader would run it; returns the mark that each would leave, by file."""
    found: dict[str, Path] = {}
    for name in ("python_model.pkl", "model.pkl", "model.joblib", "data/model.skops", "calibrator.cloudpickle"):
        found[name] = markers / name.replace("/", "_")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(pickle.dumps(Marker(found[name])))
    for name in ("code/planted.py", "sitecustomize.py", "usercustomize.py", "__init__.py", "conftest.py", "lightgbm.py", "numpy.py"):
        found[name] = markers / name.replace("/", "_")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"import pathlib\npathlib.Path({str(found[name])!r}).touch()\n_load_pyfunc = dict\n")
    flavor = {"loader_module": "planted", "code": "code", "data": "data", "env": "conda.yaml", "python_version": "3.11"}
    (folder / "MLmodel").write_text(json.dumps({"flavors": {"python_function": flavor}}))
    return found


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[tuple[Lab, Witness, dict[str, Path]]]:
    """A service under witness whose champion, correctly signed, is full of planted code."""
    folder, keys, markers, witness = tmp_path / "1", tmp_path / "keys", tmp_path / "markers", Witness(tmp_path / "witness.jsonl")
    make_bundle(folder, keys)
    markers.mkdir()
    marks = plant(folder, markers)
    seal_bundle(folder, key_folder=keys, sequence=2, facts={})
    with RegistryProcess(tmp_path / "registry", keys) as registry, Lab(tmp_path / "home", registry, key_folder=keys) as lab:
        registry.add_version("1", folder)
        registry.set_plan(ServingPlan(epoch=1, champion="1"))
        registry.start()
        lab.settings |= witness.environment
        yield lab, witness, marks


def test_code_planted_in_a_signed_model_never_runs(
    planted: tuple[Lab, Witness, dict[str, Path]], tmp_path: Path, scoreboard: Scoreboard
) -> None:
    lab, witness, marks = planted
    lab.start()
    with Load(lab.port, payments(0, 200), clients=2) as load:
        pass
    lab.terminate()
    lab.start()  # once more, from its own copy
    served = lab.home / "models" / "1"
    assert load.failures == 0 and all((served / name).exists() for name in marks), "the planted files were not served"
    ran = [name for name, mark in marks.items() if mark.exists()]
    imported = sorted({note["name"] for note in witness.events("imported")})
    unpickled = sorted({f"{note['name']} by {note['by']}" for note in witness.events("unpickled")})
    assert len(witness.parsed()) == 3, "the witness was not there: two starts and a trial"
    for name, mark in marks.items():  # each mark is live: its loader leaves it
        run_loader(served / name)
        assert mark.exists(), f"{name} would never have run"
    scoreboard.record(
        promise=6,
        name="code planted in a signed model never runs",
        n=len(marks),
        failures=len(ran) + len(imported) + len(unpickled),
        figure=f"ran: {ran or 'none'}; loaders imported: {imported or 'none'}; unpickled: {unpickled or 'nothing of a model'}",
        passed=not (ran or imported or unpickled),
    )


def run_loader(file: Path) -> None:
    """Load a planted file as the libraries do that take models for programs."""
    code = f"exec(open({str(file)!r}).read())" if file.suffix == ".py" else f"import pickle; pickle.load(open({str(file)!r}, 'rb'))"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, timeout=60)
