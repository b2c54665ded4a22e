"""Everything that can be wrong with a model on its way to the service: two hundred mutants, each of a named kind.

Half of them break the seal, as a bad disk or a thief's edit would. The others carry **this lab's own signature**, as if
the signer had been fooled: their seal is right and their content is not.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from data.bundle import CALIBRATION, FACTS, GOLDEN, MANIFEST, MODEL, SIGNATURE, seal_bundle
from data.keys import sign
from tests.bundles import make_bundle

PAGE = 4_096
GIGABYTE = 2**30


@dataclass(frozen=True)
class Mutant:
    """A damaged copy of a bundle."""

    kind: str
    folder: Path
    names: frozenset[str]  # what a refusal may name: the damaged file, or the signature that no longer fits it
    tried: bool = False  # its seal holds: only the trial in a child process can tell
    listed_too: str = ""  # a name that the registry's listing adds
    local: bool = False  # no download can carry it: it has to be made on the service's own disk


class Workshop:
    """Makes mutants of one good bundle, the `candidate`, which is newer than the `champion` and an `older` one."""

    def __init__(self, root: Path, seed: int) -> None:
        """Writes the good bundles and the keys that seal them under `root`."""
        self.keys, self.older, self.champion, self.candidate = (root / name for name in ("keys", "older", "champion", "candidate"))
        for sequence, folder in enumerate((self.older, self.champion, self.candidate), 1):
            make_bundle(folder, self.keys, seed=sequence, sequence=sequence)
        self.rng = np.random.default_rng(seed)
        self._root = root
        self._sequence = 100

    def mutants(self, n: int) -> Iterator[Mutant]:
        """`n` of them (a multiple of 200 keeps the shares exact), kinds in random order; each folder is gone at the next one."""
        kinds = [kind for kind, (share, _) in KINDS.items() for _ in range(max(1, share * n // 200))]
        for kind in self.rng.permutation(kinds)[:n].tolist():
            yield self.mutant(kind)
            shutil.rmtree(self._root / "mutant", ignore_errors=True)  # or it was moved to where it does harm

    def mutant(self, kind: str) -> Mutant:
        """One mutant of a kind, whose files really differ from the good bundle's."""
        folder = self._root / "mutant"
        shutil.copytree(self.candidate, folder)
        _, damage = KINDS[kind]
        return damage(self, kind, folder)

    def reseal(self, folder: Path, **changes: object) -> None:
        """Sign a changed manifest with the lab's own key."""
        content = json.dumps(json.loads((folder / MANIFEST).read_bytes()) | changes).encode()
        (folder / MANIFEST).write_bytes(content)
        (folder / SIGNATURE).write_bytes(sign(self.keys, content))

    def seal_again(self, folder: Path) -> None:
        """A whole new seal over whatever the folder holds now."""
        self._sequence += 1
        seal_bundle(folder, key_folder=self.keys, sequence=self._sequence, facts={"run_id": "fooled"})

    def any_file(self, folder: Path) -> Path:
        return folder / str(self.rng.choice(sorted(file.name for file in folder.iterdir())))


Damage = Callable[[Workshop, str, Path], Mutant]


def _bytes(change: Callable[[bytearray, Generator], bytes]) -> Damage:
    """Damage to the bytes of one file, whichever."""

    def damage(shop: Workshop, kind: str, folder: Path) -> Mutant:
        file = shop.any_file(folder)
        before = file.read_bytes()
        after = before
        while after == before:
            after = change(bytearray(before), shop.rng)
        file.write_bytes(after)
        return Mutant(kind, folder, frozenset({file.name, SIGNATURE} if file.name == MANIFEST else {file.name}))

    return damage


def _truncated(content: bytearray, rng: Generator) -> bytes:
    return bytes(content[: rng.integers(0, len(content))])


def _flipped(content: bytearray, rng: Generator) -> bytes:
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def _zeroed(content: bytearray, rng: Generator) -> bytes:
    start = int(rng.integers(0, len(content))) // PAGE * PAGE
    length = min(PAGE, len(content) - start)
    content[start : start + length] = bytes(length)
    return bytes(content)


def _spliced(content: bytearray, rng: Generator) -> bytes:
    """A piece of the file in another place of it, over what was there."""
    length = int(rng.integers(1, max(2, len(content) // 4)))
    source, target = rng.integers(0, len(content) - length + 1, size=2)
    content[target : target + length] = content[source : source + length]
    return bytes(content)


def _another_model(shop: Workshop, kind: str, folder: Path) -> Mutant:
    shutil.copy(shop.older / MODEL, folder / MODEL)
    return Mutant(kind, folder, frozenset({MODEL}))


def _missing(shop: Workshop, kind: str, folder: Path) -> Mutant:
    file = shop.any_file(folder)
    file.unlink()
    return Mutant(kind, folder, frozenset({file.name}))


def _extra(shop: Workshop, kind: str, folder: Path) -> Mutant:
    name = str(shop.rng.choice(["python_model.pkl", "code/loader.py", "model.joblib", "conda.yaml", "data/model.skops"]))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(shop.rng.bytes(100))
    return Mutant(kind, folder, frozenset({name}))


def _link(shop: Workshop, kind: str, folder: Path) -> Mutant:
    """A file, or a folder, that is a link: its content would verify now and be another at the next look."""
    file = shop.any_file(folder)
    target = folder.parent / "elsewhere" / file.name
    target.parent.mkdir(exist_ok=True)
    shutil.move(file, target)
    file.symlink_to(target)
    return Mutant(kind, folder, frozenset({file.name}), local=True)


def _huge(shop: Workshop, kind: str, folder: Path) -> Mutant:
    with (folder / MODEL).open("r+b") as file:
        file.truncate(GIGABYTE)  # sparse here; a gigabyte on the wire
    return Mutant(kind, folder, frozenset({MODEL}))


def _replayed(shop: Workshop, kind: str, folder: Path) -> Mutant:
    shutil.copytree(shop.older, folder, dirs_exist_ok=True)
    return Mutant(kind, folder, frozenset({MANIFEST}))


def _foreign_key(shop: Workshop, kind: str, folder: Path) -> Mutant:
    seal_bundle(folder, key_folder=folder.parent / "foreign-keys", sequence=99, facts={})
    return Mutant(kind, folder, frozenset({SIGNATURE}))


def _other_features(shop: Workshop, kind: str, folder: Path) -> Mutant:
    shop.reseal(folder, feature_schema_hash=shop.rng.bytes(32).hex())
    return Mutant(kind, folder, frozenset({MANIFEST}))


def _manifest_outside(shop: Workshop, kind: str, folder: Path) -> Mutant:
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    name = str(shop.rng.choice(["../outside", "/etc/passwd", "code/../../outside", "..\\outside"]))
    shop.reseal(folder, files=files | {name: files[FACTS]})
    return Mutant(kind, folder, frozenset({MANIFEST}))


def _listed_outside(shop: Workshop, kind: str, folder: Path) -> Mutant:
    name = str(shop.rng.choice(["../keys/lab.key", "../../live.json", "/etc/passwd"]))
    return Mutant(kind, folder, frozenset({name}), listed_too=name)


def _crashing(shop: Workshop, kind: str, folder: Path) -> Mutant:
    """Children far outside their tree: LightGBM would read this text, and then memory that is not its own."""
    far = str(int(shop.rng.integers(50_000_000, 2_000_000_000)))
    _edit_model(folder, "left_child=", lambda values: [far] * len(values))
    shop.seal_again(folder)
    return Mutant(kind, folder, frozenset({MODEL}), tried=True)


def _endless(shop: Workshop, kind: str, folder: Path) -> Mutant:
    """Every node's children are the root: a tree that LightGBM would never leave."""
    for side in ("left_child=", "right_child="):
        _edit_model(folder, side, lambda values: ["0"] * len(values))
    shop.seal_again(folder)
    return Mutant(kind, folder, frozenset({MODEL}), tried=True)


def _greedy(shop: Workshop, kind: str, folder: Path) -> Mutant:
    """A tree that says it has more leaves than the machine has memory."""
    _edit_model(folder, "num_leaves=", lambda _: ["2000000000"])
    shop.seal_again(folder)
    return Mutant(kind, folder, frozenset({MODEL}), tried=True)


def _wrong_scores(shop: Workshop, kind: str, folder: Path) -> Mutant:
    """Loads, runs, and is another model than the frozen scores are of."""
    shutil.copy(shop.older / MODEL, folder / MODEL)
    shop.seal_again(folder)
    return Mutant(kind, folder, frozenset({GOLDEN}), tried=True)


def _fewer_columns(shop: Workshop, kind: str, folder: Path) -> Mutant:
    _edit_model(folder, "max_feature_idx=", lambda _: ["3"])
    shop.seal_again(folder)
    return Mutant(kind, folder, frozenset({MODEL}), tried=True)


def _wrong_json(shop: Workshop, kind: str, folder: Path) -> Mutant:
    name = str(shop.rng.choice([CALIBRATION, "policy.json", GOLDEN]))
    content = str(shop.rng.choice(["[]", "{}", '{"slope": "steep"}', "[" * 2_000, "\x00"]))
    (folder / name).write_text(content)
    shop.seal_again(folder)
    return Mutant(kind, folder, frozenset({name}), tried=True)


def _edit_model(folder: Path, start: str, change: Callable[[list[str]], list[str]]) -> None:
    lines = (folder / MODEL).read_text().splitlines(keepends=True)
    touched = [i for i, line in enumerate(lines) if line.startswith(start)]
    for i in touched:
        lines[i] = start + " ".join(change(lines[i].removeprefix(start).split())) + "\n"
    assert touched, f"the model has no line {start}"
    (folder / MODEL).write_text("".join(lines))


# kind -> how many of 200, and how it is made
KINDS: dict[str, tuple[int, Damage]] = {
    "truncated": (28, _bytes(_truncated)),
    "bit flipped": (47, _bytes(_flipped)),
    "page zeroed": (24, _bytes(_zeroed)),
    "spliced": (24, _bytes(_spliced)),
    "emptied": (8, _bytes(lambda content, rng: b"")),
    "another model under this seal": (4, _another_model),
    "a file missing": (8, _missing),
    "an extra file": (8, _extra),
    "a link": (5, _link),
    "a gigabyte": (2, _huge),
    "an old version replayed": (6, _replayed),
    "sealed by another key": (4, _foreign_key),
    "signed: other features": (6, _other_features),
    "signed: a path outside": (8, _manifest_outside),
    "listed: a path outside": (4, _listed_outside),
    "signed: kills LightGBM": (6, _crashing),
    "signed: wants all memory": (2, _greedy),
    "signed: never ends": (1, _endless),
    "signed: scores wrongly": (2, _wrong_scores),
    "signed: fewer columns": (1, _fewer_columns),
    "signed: broken JSON": (2, _wrong_json),
}
