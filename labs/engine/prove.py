"""Proves that a lab keeps the authoring contract (labs/course/AUTHORING.md), by doing to it what learners do.

One lab is proved in a home, a workspace and with ports of its own, so that labs can be proved side by side. Called by
`lab dev check`; what it found is a list of promises, kept or not.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from data.settings import Settings
from labs.engine.checking import run_checks
from labs.engine.course import Check, Course, Lab, Wrong
from labs.engine.guide import SAY_IT_PARTS, SECTIONS, Guide
from labs.engine.learner import end_group
from labs.engine.outcome import CheckResult
from labs.engine.prepare import changed, prepare
from labs.engine.prove_reset import reset_faults
from labs.engine.workspace import Workspace, overlay
from services.signals import ending_signals_raise
from services.supervisor import Supervisor

LEAST_WRONG: Final = 3
_DO: Final = "do.sh"


@dataclass(frozen=True)
class Finding:
    """One promise of the contract: kept, or what was found instead."""

    promise: str
    kept: bool
    found: str = ""


@dataclass
class Proof:
    """What was found of one lab. `figures`: what its checks measured; seconds are wall time."""

    lab: str
    title: str
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    check_s: float = 0.0
    whole_s: float = 0.0
    total_s: float = 0.0

    @property
    def kept(self) -> bool:
        return all(finding.kept for finding in self.findings)

    def note(self, promise: str, faults: list[str]) -> None:
        """A promise, broken by each of `faults`."""
        self.findings += [Finding(promise, False, fault) for fault in faults] or [Finding(promise, True)]


def prove(name: str, settings: Settings, times: int, patience: float = 1.0) -> Proof:
    """Everything about one lab; `times`: how often its solution must pass, `patience`: how many of its time budgets it may take.

    No server of its own outlives the call.
    """
    began = time.monotonic()
    lab = Course(settings.course).lab(name)
    proof = Proof(lab.id, lab.title)
    with ending_signals_raise():
        try:
            with _Prover(lab, settings, proof, patience) as prover:
                prover.run(times)
        except Exception as error:
            proof.note("the proof itself ran", [f"{type(error).__name__}: {error}"])
        finally:
            Supervisor(settings).stop()
    proof.total_s = time.monotonic() - began
    return proof


class _Prover:
    def __init__(self, lab: Lab, settings: Settings, proof: Proof, patience: float) -> None:
        self.lab = lab
        self.settings = settings
        self.proof = proof
        self.workspace = Workspace(settings.workspace)
        self.guide = Guide(lab)
        self._patience = patience
        self._left_running = ExitStack()
        self._busy = 1.0  # times the machine's cores, while the budgets were measured

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._left_running.close()

    def run(self, times: int) -> None:
        self.proof.note("the guide has its parts, and promises what is measured", list(guide_faults(self.lab, self.guide)))
        self.workspace.begin(self.lab)
        prepare(self.settings, self.lab, lambda *_: None)
        folder = self.workspace.folder(self.lab)
        self.proof.note("as shipped, every check says not started", _not(self._check(folder), "not started"))
        for _ in range(times):
            self._solution()
        self.proof.note("every promised figure is measured and lies in its band", list(self._figure_faults()))
        moved = [] if self.lab.changes_live else changed(self.settings, self.lab)
        self.proof.note("a lab that changes the running system says so (changes_live)", moved)
        few = [f"there are {len(self.lab.wrong)}; {LEAST_WRONG} are wanted"] if len(self.lab.wrong) < LEAST_WRONG else []
        self.proof.note("known wrong answers are enough", few)
        for wrong in self.lab.wrong:
            self.proof.note(f"wrong/{wrong.folder} draws its own message", self._wrong(wrong))
        self.proof.note("a reset gives the start back byte for byte, killed or not", list(reset_faults(self.lab, self.workspace)))
        self.proof.note("its time budget holds", list(self._budget_faults()))

    def _check(self, folder: Path, only: list[Check] | None = None) -> list[CheckResult]:
        return list(run_checks(self.lab, folder, self.settings, only))

    def _solution(self) -> None:
        began = time.monotonic()
        faults = self._play(self.lab.solution, None, guide=True)
        checking = time.monotonic()
        results = self._check(self.workspace.folder(self.lab))
        self._left_running.close()
        now = time.monotonic()
        self._busy = max(self._busy, *(load / (os.cpu_count() or 1) for load in os.getloadavg()[:2]))  # of one minute and of five
        self.proof.check_s, self.proof.whole_s = max(self.proof.check_s, now - checking), max(self.proof.whole_s, now - began)
        self.proof.note("the guide's blocks and the solution's commands run", faults)
        self.proof.note("the solution passes", _not(results, "passed"))
        for result in results:
            for figure, value in result.figures.items():
                self.proof.figures.setdefault(figure, []).append(value)

    def _wrong(self, wrong: Wrong) -> list[str]:
        faults = self._play(self.lab.solution, self.lab.folder / "wrong" / wrong.folder, guide=wrong.guide)
        [drawn] = self._check(self.workspace.folder(self.lab), [self.lab.check(wrong.check)])
        self._left_running.close()
        said = f"{drawn.why} {drawn.look}"
        if drawn.state != "incorrect":
            faults.append(f"{wrong.check}: {drawn.state} {said}".strip())
        elif wrong.says not in said:
            faults.append(f"expected “{wrong.says}”, and it says: {said}")
        return faults

    def _play(self, solution: Path, wrong: Path | None, *, guide: bool) -> list[str]:
        """From a fresh start: the solution's files, those of a wrong answer over them, the guide's blocks, then the do.sh."""
        self.workspace.reset(self.lab)
        prepare(self.settings, self.lab, lambda *_: None, anew=bool(changed(self.settings, self.lab)))
        folder = self.workspace.folder(self.lab)
        do = solution / _DO
        for layer in (solution, *([wrong] if wrong else [])):
            if not layer.is_dir():
                return [f"there is no folder {layer.name}"]
            overlay(layer, folder, without=_DO)
            do = layer / _DO if (layer / _DO).exists() else do
        blocks = [block for block in self.guide.blocks if guide and block.kind == "sh"]
        faults = [self._run(f"README.md:{block.line}", block.script, block.status, folder) for block in blocks]
        if wrong is not None:
            faults.clear()  # a wrong answer may well fail there
        if do.exists():
            faults.append(self._run(f"{do.parent.name}/{_DO}", do.read_text(encoding="utf-8"), 0, folder))
        return [fault for fault in faults if fault]

    def _run(self, where: str, script: str, status: int, folder: Path) -> str:
        """Run a piece of shell as a learner would; what went wrong, or nothing. What it leaves running lives until the checks are over."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        limit_s = 4 * self.lab.whole_s
        with tempfile.TemporaryFile("w+") as output:  # no pipe: a process left running would hold it open
            process = subprocess.Popen(
                ["bash", "-eu", "-o", "pipefail", "-c", script],
                cwd=folder,
                env={**os.environ, **self.settings.as_environment(), "PATH": path, "NO_COLOR": "1", "COLUMNS": "80"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._left_running.callback(end_group, process)
            try:
                if process.wait(limit_s) == status:
                    return ""
            except subprocess.TimeoutExpired:
                return f"{where} took longer than {limit_s:g} s"
            output.seek(0)
            last = " / ".join(output.read().strip().splitlines()[-3:])
            return f"{where} ended with status {process.returncode}: {last}"

    def _figure_faults(self) -> Iterator[str]:
        for name in self.proof.figures.keys() - {figure.name for figure in self.lab.figures}:
            yield f"{name} is measured and not declared in lab.toml"
        for figure in self.lab.figures:
            values = self.proof.figures.get(figure.name, [])
            if not values:
                yield f"{figure.name} is declared and no check measures it"
            yield from (f"{figure.name} is {figure.text(value)}, not {figure.band}" for value in values if not figure.holds(value))

    def _budget_faults(self) -> Iterator[str]:
        for what, took, allowed in (
            ("its checks", self.proof.check_s, self.lab.check_s),
            ("the whole lab", self.proof.whole_s, self.lab.whole_s),
        ):
            if took > allowed * self._busy * self._patience:  # budgets are of a machine that does nothing else
                yield (
                    f"{what} took {took:.1f} s of {allowed:g} s, on a machine {self._busy:.1f} times as busy as it can be, "
                    f"with a patience of {self._patience:g}"
                )


def guide_faults(lab: Lab, guide: Guide) -> Iterator[str]:
    """What the guide lacks, or promises without a figure behind it."""
    if list(guide.sections) != list(SECTIONS):
        yield f"its sections are {', '.join(guide.sections) or 'none'}; wanted: {', '.join(SECTIONS)}"
    yield from (f"“Say it” lacks ### {part}" for part in SAY_IT_PARTS if part not in guide.say_it_parts)
    if not guide.steps:
        yield "it has no steps: ### headings under ## Steps"
    declared = {figure.name for figure in lab.figures}
    yield from (f"{{{name}}} is promised and not declared in lab.toml" for name in sorted(guide.promised - declared))
    yield from (f"{name} is declared in lab.toml and not in the guide" for name in sorted(declared - guide.promised))


def _not(results: list[CheckResult], wanted: str) -> list[str]:
    return [f"{r.check}: {r.state} {r.why} {r.look}".strip() for r in results if r.state != wanted]
