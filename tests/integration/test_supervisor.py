"""The supervisor over real, tiny processes: start, adopt, fail with a reason, stop in order, leave nothing behind."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from data.errors import PortInUse, ProcessDied, ServiceDown
from data.settings import REPOSITORY, Settings
from services.processes import Running, has_ended
from services.programs import Program
from services.supervisor import Supervisor

# Answers every request with 200; on SIGTERM writes its name down and ends.
SERVER = """
import http.server, os, signal, sys
name, port, diary = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def end(*_):
    with open(diary, "a") as file:
        file.write(name + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER.replace("signal.signal(signal.SIGTERM, end)", "")
PARENT = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n" + SERVER
DYING = "print('first line'); print('no such table: runs'); raise SystemExit(3)"
SILENT = "import time; time.sleep(600)"


@pytest.fixture
def make(settings: Settings, tmp_path: Path) -> Iterator["Maker"]:
    maker = Maker(settings.model_copy(update={"start_timeout_s": 20.0}), tmp_path / "diary")
    yield maker
    maker.clean_up()


class Maker:
    """Makes supervisors over a catalogue of tiny programs, and ends whatever a test left running."""

    def __init__(self, settings: Settings, diary: Path) -> None:
        self.settings = settings
        self.diary = diary
        self.ports = {name: _free_port() for name in ("a", "b")}
        self.made: list[Supervisor] = []

    def catalogue(self, **scripts: str) -> dict[str, Program]:
        return {name: self.program(name, script) for name, script in scripts.items()}

    def program(self, name: str, script: str) -> Program:
        port = self.ports[name]
        return Program(
            name=name,
            title=name.upper(),
            command=(sys.executable, "-c", script, name, str(port), str(self.diary)),
            port=port,
            port_setting=f"LAB_{name.upper()}_PORT",
            health=f"http://127.0.0.1:{port}/health",
            page=f"http://127.0.0.1:{port}",
        )

    def supervisor(self, settings: Settings | None = None, grace_s: float = 10.0, **scripts: str) -> Supervisor:
        made = Supervisor(settings or self.settings, catalogue=self.catalogue(**scripts), grace_s=grace_s)
        self.made.append(made)
        return made

    def clean_up(self) -> None:
        for made in reversed(self.made):
            made.stop()
            made.status()


def test_programs_start_side_by_side_and_stop_in_reverse_order(make: Maker) -> None:
    supervisor = make.supervisor(a=SERVER, b=SERVER)
    started = supervisor.start()
    assert [status.state for status in started] == ["healthy", "healthy"]
    assert all(status.pid and psutil.pid_exists(status.pid) for status in started)
    assert supervisor.stop() == ["b", "a"]
    assert make.diary.read_text().split() == ["b", "a"]
    assert [status.state for status in supervisor.status()] == ["stopped", "stopped"]


def test_a_part_can_be_started_first_and_the_rest_later(make: Maker) -> None:
    supervisor = make.supervisor(a=SERVER, b=SERVER)
    supervisor.start(("a",))
    assert [status.state for status in supervisor.status()] == ["healthy", "stopped"]
    supervisor.start(("b",))
    assert [status.state for status in supervisor.status()] == ["healthy", "healthy"]


def test_another_shell_sees_adopts_and_stops_what_runs(make: Maker) -> None:
    first, second = make.supervisor(a=SERVER), make.supervisor(a=SERVER)
    (before,) = first.start()
    (after,) = second.start()
    assert after.pid == before.pid
    assert second.stop() == ["a"]
    assert first.status()[0].state == "stopped"


def test_a_program_that_runs_with_other_settings_is_replaced(make: Maker) -> None:
    (before,) = make.supervisor(a=SERVER).start()
    changed = make.settings.model_copy(update={"seed": make.settings.seed + 1})
    (after,) = make.supervisor(changed, a=SERVER).start()
    assert after.pid != before.pid
    assert make.diary.read_text().split() == ["a"]


def test_a_program_that_dies_is_reported_with_the_end_of_its_log(make: Maker) -> None:
    with pytest.raises(ProcessDied, match=r"(?s)A ended with status 3.*no such table: runs") as failure:
        make.supervisor(a=DYING).start()
    assert str(make.settings.home / "logs" / "a.log") in failure.value.next_step


def test_a_program_that_never_answers_fails_at_its_deadline(make: Maker) -> None:
    hurried = make.settings.model_copy(update={"start_timeout_s": 0.5})
    with pytest.raises(ProcessDied, match=r"A did not answer within 0\.5 s"):
        make.supervisor(hurried, a=SILENT).start()


def test_a_port_in_use_names_the_setting_and_starts_nothing(make: Maker) -> None:
    supervisor = make.supervisor(a=SERVER, b=SERVER)
    with socket.create_server(("127.0.0.1", make.ports["b"])), pytest.raises(PortInUse, match="LAB_B_PORT"):
        supervisor.start()
    assert [status.state for status in supervisor.status()] == ["stopped", "stopped"]


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(make: Maker) -> None:
    supervisor = make.supervisor(a=SERVER)
    stale = Running(os.getpid(), born=-60.0, launch="earlier")
    (make.settings.home / "run").mkdir(parents=True)
    stale.write(make.settings.home / "run" / "a.json")
    assert supervisor.stop() == []  # we are still here
    assert supervisor.start()[0].pid != os.getpid()


def test_a_program_that_ignores_the_request_to_end_is_killed(make: Maker) -> None:
    supervisor = make.supervisor(grace_s=0.3, a=STUBBORN)
    (status,) = supervisor.start()
    assert supervisor.stop() == ["a"]
    assert status.pid is not None
    assert not psutil.pid_exists(status.pid) or has_ended(psutil.Process(status.pid))


def test_children_of_a_program_end_with_it(make: Maker) -> None:
    supervisor = make.supervisor(grace_s=0.3, a=PARENT)
    (status,) = supervisor.start()
    children = psutil.Process(status.pid).children()
    assert len(children) == 1
    supervisor.stop()
    assert has_ended(children[0])


def test_an_owned_block_stops_what_it_started_and_leaves_what_it_found(make: Maker) -> None:
    make.supervisor(a=SERVER).start()
    owner = make.supervisor(a=SERVER, b=SERVER)
    with pytest.raises(ZeroDivisionError), owner.owning():
        owner.start()
        raise ZeroDivisionError
    assert [status.state for status in owner.status()] == ["healthy", "stopped"]


def test_an_owned_block_that_ends_well_can_leave_its_programs_up(make: Maker) -> None:
    owner = make.supervisor(a=SERVER)
    with owner.owning(keep_up=True):
        owner.start()
    assert owner.status()[0].state == "healthy"


OWNER = textwrap.dedent("""
    import signal, sys, time
    from pathlib import Path
    from data.settings import Settings
    from services.programs import Program
    from services.supervisor import Supervisor
    script, port, diary = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    program = Program("a", "A", (sys.executable, "-c", script, "a", port, diary), int(port), "LAB_A_PORT",
                      f"http://127.0.0.1:{port}/", "")
    supervisor = Supervisor(Settings.load(), catalogue={"a": program})
    with supervisor.owning():
        supervisor.start()
        Path(diary + ".up").touch()
        while True:  # not signal.pause(): a signal just before it would be noticed after the next one
            time.sleep(0.05)
""")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT)])
def test_an_owner_that_is_told_to_end_stops_its_programs_first(make: Maker, number: signal.Signals, status: int) -> None:
    owner = _owner(make)
    owner.send_signal(number)
    assert owner.wait(timeout=30) == status
    assert make.diary.read_text().split() == ["a"]


def test_what_a_killed_owner_left_behind_is_adopted_and_stopped(make: Maker) -> None:
    owner = _owner(make)
    owner.kill()
    owner.wait(timeout=30)
    heir = make.supervisor(make.settings, a=SERVER)
    assert heir.status()[0].state == "healthy"
    assert heir.stop() == ["a"]


def _owner(make: Maker) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **make.settings.as_environment()}
    command = [sys.executable, "-c", OWNER, SERVER, str(make.ports["a"]), str(make.diary)]
    owner = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL)
    _wait_for(Path(f"{make.diary}.up").exists)
    return owner


def _wait_for(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_server_that_runs_elsewhere_is_waited_for_and_neither_started_nor_stopped(make: Maker) -> None:
    theirs = make.supervisor(a=SERVER)
    theirs.start()
    there = {"a": dataclasses.replace(make.catalogue(a=SILENT)["a"], elsewhere=True)}
    ours = Supervisor(make.settings.model_copy(update={"home": make.settings.home / "ours"}), catalogue=there)
    with ours.owning():
        assert [one.state for one in ours.start()] == ["healthy"]
    assert ours.stop() == [] and [one.state for one in ours.status()] == ["healthy"]
    theirs.stop()
    away = Supervisor(ours.settings.model_copy(update={"start_timeout_s": 0.3}), catalogue=there)
    assert [one.state for one in away.status()] == ["stopped"]
    with pytest.raises(ServiceDown, match="does not answer"):
        away.start()
