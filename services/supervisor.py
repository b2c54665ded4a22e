"""Starts the local processes, waits until they are healthy, says why one is not, and stops all of them.

Called by the `lab` command and by the demo. What runs is remembered in `<home>/run/<name>.json`, so that another shell
can ask or stop it, and a second start adopts what is healthy already. Processes are told apart by pid *and* creation
time, because a pid may have been given to somebody else since.

    with Supervisor(settings).owning() as supervisor:   # everything launched inside is stopped at the end
        supervisor.launch(("mlflow", "prefect"))        # returns at once
        ...                                             # other work, while they start
        supervisor.wait(("mlflow", "prefect"))
"""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn

import httpx

from data.environment import DEFAULTS
from data.errors import DiskFull, PortInUse, ProcessDied, ServiceDown
from data.settings import REPOSITORY, Settings
from services.processes import Running, end_tree, port_owner
from services.programs import Program, chosen, programs
from services.signals import ending_signals_raise, ending_signals_wait

State = Literal["healthy", "starting", "stopped"]
_POLL_S = 0.1  # between two looks at a health address
_PROBE_S = 2.0  # a healthy loopback server answers in milliseconds; a busy machine may need this
_TAIL_LINES = 12
_REAP_S = 2.0


@dataclass(frozen=True)
class ProgramStatus:
    """What is known of one program now. `pid` and `memory_mb` are None when it does not run."""

    name: str
    title: str
    state: State
    page: str
    log: str
    pid: int | None = None
    memory_mb: float | None = None
    seconds_up: float | None = None


class Supervisor:
    """The processes of one lab home."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_healthy: Callable[[ProgramStatus], None] | None = None,
        catalogue: dict[str, Program] | None = None,
        grace_s: float = 15.0,
    ) -> None:
        """`on_healthy` is told of each program as it gets ready; `catalogue` is the lab's own when None.

        `grace_s` passes before a process that ignores SIGTERM is killed (ours take 2 s together, measured).
        """
        self.settings = settings
        self._programs = programs(settings) if catalogue is None else catalogue
        self._grace_s = grace_s
        self._run = settings.home / "run"
        self._logs = settings.home / "logs"
        self._on_healthy = on_healthy
        self._children: dict[str, subprocess.Popen[bytes]] = {}  # launched here, not adopted

    def start(self, names: tuple[str, ...] | None = None) -> list[ProgramStatus]:
        """Launch the named programs (all for None) side by side and wait until each is healthy. See `launch` and `wait`."""
        self.launch(names)
        return self.wait(names)

    def launch(self, names: tuple[str, ...] | None = None) -> None:
        """Start those that do not run yet; returns without waiting.

        A running one is adopted when it was started with the same command and settings, and replaced otherwise.
        Raises PortInUse when somebody else listens on a port of ours, DiskFull when a log cannot be made.
        """
        with self._locked():
            ours = [program for program in chosen(self._programs, names) if not program.elsewhere]
            waiting = [program for program in ours if not self._adopt(program)]
            for program in waiting:
                _require_free_port(program, self.settings.host)
            for program in waiting:
                self._spawn(program)

    def wait(self, names: tuple[str, ...] | None = None) -> list[ProgramStatus]:
        """Return when the named programs are healthy.

        Raises ProcessDied, with the last lines of its log, when one ends or is not healthy within start_timeout_s, and
        ServiceDown when that is one that runs elsewhere.
        """
        wanted = chosen(self._programs, names)
        deadline = time.monotonic() + self.settings.start_timeout_s
        done: dict[str, ProgramStatus] = {}
        with httpx.Client(trust_env=False, timeout=_PROBE_S) as client:
            while len(done) < len(wanted):
                for program in wanted:
                    if program.name not in done and self._is_healthy(program, client, deadline):
                        done[program.name] = self._describe(program, self._running(program), "healthy")
                        if self._on_healthy is not None:
                            self._on_healthy(done[program.name])
                if len(done) < len(wanted):
                    time.sleep(_POLL_S)
        return [done[program.name] for program in wanted]

    def stop(self, names: tuple[str, ...] | None = None) -> list[str]:
        """Stop the named programs (all for None), the last started first, one after the other; returns those that ran.

        One at a time: Prefect hung for 15 s when its server and a client of it were stopped together.
        """
        stopped = []
        with self._locked():
            for program in reversed(chosen(self._programs, names)):
                running = self._running(program)
                if running is not None:
                    end_tree(running.pid, grace_s=self._grace_s)
                    stopped.append(program.name)
                self._forget(program)
        return stopped

    def replace(self, name: str) -> None:
        """Replace the process behind a keeper; its address answers throughout, after a pause. Raises ProcessDied when it does not run."""
        (program,) = chosen(self._programs, (name,))
        with self._locked():
            running = self._running(program)
            if running is None:
                self._fail(program, "is not running")
            os.kill(running.pid, signal.SIGHUP)

    def status(self) -> list[ProgramStatus]:
        """Every program, whether it runs or not; no waiting beyond one probe each."""
        found = []
        with httpx.Client(trust_env=False, timeout=_PROBE_S) as client:
            for program in chosen(self._programs, None):
                running = self._running(program)
                there = program.elsewhere or running is not None
                state: State = "healthy" if there and _answers(client, program.health) else "stopped" if running is None else "starting"
                found.append(self._describe(program, running, state))
        return found

    @contextmanager
    def owning(self, *, keep_up: bool = False) -> Iterator["Supervisor"]:
        """Stop what was launched inside the block when it ends: normally, by an exception, Ctrl-C, SIGTERM or SIGHUP.

        Adopted processes stay as they were found. With `keep_up`, a block that ends well leaves everything running.
        """
        with ending_signals_raise():
            try:
                yield self
            except BaseException:
                self._stop_own()
                raise
            if not keep_up:
                self._stop_own()

    def _stop_own(self) -> None:
        with ending_signals_wait():
            self.stop(tuple(self._children))

    def _is_healthy(self, program: Program, client: httpx.Client, deadline: float) -> bool:
        if not program.elsewhere and self._running(program) is None:
            self._fail(program, self._ending(program))
        if _answers(client, program.health):
            return True
        if program.elsewhere and time.monotonic() > deadline:
            raise ServiceDown(
                f"{program.title} does not answer at {program.page}.",
                next_step="Start it where it runs: `docker compose ps` shows the stack's.",
                where=program.name,
            )
        if time.monotonic() > deadline:
            self._fail(program, f"did not answer within {self.settings.start_timeout_s:g} s")
        return False

    def _spawn(self, program: Program) -> None:
        log_file = self._log(program)
        try:
            (self.settings.home / program.name).mkdir(parents=True, exist_ok=True)
            log_file.parent.mkdir(parents=True, exist_ok=True)
            with log_file.open("wb") as log:
                child = subprocess.Popen(
                    program.command,
                    cwd=REPOSITORY,
                    env=self._environment(program),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we stop them in order
                )
            self._children[program.name] = child
            Running.of(child.pid, self._launch_digest(program)).write(self._file(program))
        except OSError as error:
            self._forget(program)
            raise DiskFull(
                f"{program.title} could not be started ({error.strerror}).",
                next_step="Free some space or point LAB_HOME at another disk, then run the same command again.",
                where=str(log_file),
            ) from error

    def _environment(self, program: Program) -> dict[str, str]:
        return {**DEFAULTS, **os.environ, **self.settings.as_environment(), **program.environment, "PYTHONUNBUFFERED": "1"}

    def _launch_digest(self, program: Program) -> str:
        return Running.digest(program.command, {**self.settings.as_environment(), **program.environment})

    def _adopt(self, program: Program) -> bool:
        """Whether the program runs as it should already; one started with other settings is stopped."""
        running = self._running(program)
        if running is None:
            return False
        if running.launch == self._launch_digest(program):
            return True
        end_tree(running.pid, grace_s=self._grace_s)
        return False

    def _running(self, program: Program) -> Running | None:
        child = self._children.get(program.name)
        if child is not None:
            child.poll()  # collects the exit status, so that no zombie looks alive
        running = Running.read(self._file(program))
        return running if running is not None and running.alive() else None

    def _ending(self, program: Program) -> str:
        child = self._children.get(program.name)
        status = None if child is None else child.returncode
        return "is not running" if status is None else f"ended with status {status} before it was healthy"

    def _fail(self, program: Program, what: str) -> NoReturn:
        log = self._log(program)
        tail = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:] if log.exists() else []
        lines = "".join(f"\n    {line}" for line in tail) or " (empty)"
        raise ProcessDied(
            f"{program.title} {what}. The end of its log:{lines}\n",
            next_step=f"The whole log is {log}; `lab doctor` looks for the usual causes.",
            where=program.name,
        )

    def _describe(self, program: Program, running: Running | None, state: State) -> ProgramStatus:
        known = ProgramStatus(program.name, program.title, state, program.page, str(self._log(program)))
        if running is None:
            return known
        return replace(known, pid=running.pid, memory_mb=running.memory_mb(), seconds_up=running.seconds_up())

    def _file(self, program: Program) -> Path:
        return self._run / f"{program.name}.json"

    def _log(self, program: Program) -> Path:
        return self._logs / f"{program.name}.log"

    def _forget(self, program: Program) -> None:
        child = self._children.pop(program.name, None)
        if child is not None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_REAP_S)  # its first thread has ended; the others may hold its port for a moment longer
        self._file(program).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One start or stop at a time in one home, across shells."""
        self._run.mkdir(parents=True, exist_ok=True)
        with (self._run / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _require_free_port(program: Program, host: str) -> None:
    owner = port_owner(host, program.port)
    if owner is not None:
        raise PortInUse(
            f"Port {program.port}, where {program.title} should listen, is taken by {owner}.",
            next_step=f"Stop it, or set {program.port_setting} to a free port.",
            where=program.port_setting,
        )
