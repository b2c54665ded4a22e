"""`lab dev check` and `lab dev new`: for authors of labs."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from data.errors import BadInput
from data.settings import Settings
from labs.engine.course import NEEDS, Course, Lab
from labs.engine.page import way
from labs.engine.prepare import Preparation
from labs.engine.prove import Proof, prove
from labs.engine.proving_ground import base_home, home_for
from labs.engine.template import make_lab
from labs.terminal import console


def new(name: str, title: str) -> None:
    """Make a small lab that keeps the contract, to be changed from there. Raises BadInput for a name that does not fit."""
    settings = Settings.load()
    folder = make_lab(settings.course, name, title)
    out = console()
    elsewhere = "" if settings.course == type(settings).model_fields["course"].default else f" --course {settings.course}"
    out.print(f"[green]✓[/] {folder}", soft_wrap=True)
    out.print(f"The contract: {Path(__file__).parents[1] / 'course' / 'AUTHORING.md'}", soft_wrap=True)
    out.print(f"Prove it: [bold]lab{elsewhere} dev check {name}[/]", soft_wrap=True)


def check(asked: list[str], *, jobs: int | None, times: int, keep: bool, last_failed: bool, patience: float) -> int:
    """Prove the named labs, or all; returns 0 when every promise of the contract is kept, 1 otherwise.

    Raises BadInput while another check runs in this home.
    """
    settings = Settings.load()
    with _alone(settings.home):
        return _check(settings, asked, jobs=jobs, times=times, keep=keep, last_failed=last_failed, patience=patience)


def _check(settings: Settings, asked: list[str], *, jobs: int | None, times: int, keep: bool, last_failed: bool, patience: float) -> int:
    course = Course(settings.course)
    failed = settings.home / "dev" / "failed.json"
    if last_failed and not asked and failed.exists():
        known = {lab.name for lab in course.labs}
        asked = [name for name in json.loads(failed.read_text()) if name in known]
    labs = [course.lab(name) for name in asked] or course.labs
    out = console()
    if not labs:
        out.print("There are no labs in this course yet: [bold]lab dev new 00_first[/]")
        return 1
    _make_base(settings, labs, out)
    proofs = []
    with ProcessPoolExecutor(min(jobs or cpu_count() or 1, len(labs)), mp_context=get_context("spawn")) as pool:
        running = [pool.submit(prove_apart, lab.name, settings, times, keep, patience) for lab in labs]
        with out.status("proving") as status:
            for done in as_completed(running):
                proofs.append(done.result())
                tell(proofs[-1], out)
                status.update(f"proving: {len(proofs)} of {len(labs)} labs")
    kept = sum(proof.kept for proof in proofs)
    failed.write_text(json.dumps(sorted(course.lab(proof.lab).name for proof in proofs if not proof.kept)))
    out.print(f"\n{kept} of {len(proofs)} labs keep the authoring contract.")
    return 0 if kept == len(proofs) else 1


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two checks in one home would delete each other's labs."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(
                "Another `lab dev check` runs in this home.", next_step="Wait for it, or give this one a LAB_HOME.", where="LAB_HOME"
            ) from error
        yield


def prove_apart(name: str, settings: Settings, times: int, keep: bool, patience: float) -> Proof:
    """Prove one lab in a home of its own, which is deleted afterwards unless it is to be kept."""
    own = home_for(settings, name)
    try:
        return prove(name, own, times, patience)
    finally:
        if not keep:
            shutil.rmtree(own.home.parent, ignore_errors=True)


def tell(proof: Proof, out: Console) -> None:
    """One lab: a line when all is kept, and each broken promise with what was found."""
    sign, colour = ("✓", "green") if proof.kept else ("✗", "red")
    spent = f"check {proof.check_s:.1f} s, whole {proof.whole_s:.1f} s, proof {proof.total_s:.0f} s"
    out.print(f"[{colour}]{sign}[/] [bold]{proof.lab} {escape(proof.title)}[/]  [dim]{spent}[/]")
    for finding in proof.findings:
        if not finding.kept:
            out.print(Padding(f"[red]not kept:[/] {escape(finding.promise)}\n{escape(finding.found)}", (0, 0, 0, 4)))


def _make_base(settings: Settings, labs: list[Lab], out: Console) -> None:
    """The prepared states, once for all."""
    most = max((lab.needs for lab in labs), key=NEEDS.index)
    with way(out) as show:
        Preparation(base_home(settings), show).make(most)
