"""`lab doctor`: every known trap is seen, named, and comes with the command that mends it."""

import importlib.metadata
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from data.settings import Settings
from labs import doctor
from labs.cli import app
from labs.doctor import (
    CHECKS,
    check_disk,
    check_first_start,
    check_home,
    check_lightgbm,
    check_memory,
    check_names,
    check_ports,
    check_proxy,
    check_python,
    out_of_step,
    setting_rows,
)


def test_a_sound_machine_is_called_sound(settings: Settings) -> None:
    assert check_home(settings).ok
    assert check_lightgbm(settings).ok
    assert check_python(settings).ok


def test_a_python_without_locked_packages_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 0, "final", 0))
    finding = check_python(settings)
    assert not finding.ok
    assert "make" in finding.fix


def test_a_package_that_left_the_lock_is_named(tmp_path: Path) -> None:
    version = importlib.metadata.version("typer")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"# comment\ntyper=={version} ; sys_platform == 'linux' \\\n    --hash=sha256:0\nabsent-package==1.0\n")
    assert out_of_step(lock) == []
    lock.write_text("typer==0.0.1 \\\n    --hash=sha256:0\n")
    assert out_of_step(lock) == ["typer"]
    lock.write_text(f"typer==0.0.1 ; python_full_version < '3.12' \\\ntyper=={version} ; python_full_version >= '3.12' \\\n")
    assert out_of_step(lock) == []


def test_a_home_that_cannot_be_a_folder_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = check_home(settings.model_copy(update={"home": tmp_path / "file" / "lab"}))
    assert not finding.ok
    assert "LAB_HOME" in finding.fix


def test_a_full_disk_and_a_full_memory_are_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_disk(settings).ok == (doctor.shutil.disk_usage("/").free > 2e9)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9))
    assert not check_disk(settings).ok
    assert not check_memory(settings).ok


def test_a_port_taken_by_somebody_else_is_named_with_its_setting(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = check_ports(settings.model_copy(update={"mlflow_port": server.getsockname()[1]}))
    assert not finding.ok
    assert "LAB_MLFLOW_PORT" in finding.fix


def test_a_library_that_does_not_load_is_named_with_its_system_package(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "Traceback\nOSError: libgomp.so.1: cannot open shared object file"
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr=message))
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    finding = check_lightgbm(settings)
    assert not finding.ok
    assert finding.fix == "apt-get install libgomp1"


class _Server(BaseHTTPRequestHandler):
    """Lets callers in by the names in `known`, as MLflow does."""

    known: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        self.send_response(200 if self.headers["host"].split(":")[0] in self.known else 403)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("known", "ok"), [({"localhost", "127.0.0.1"}, True), ({"127.0.0.1"}, False)])
def test_a_server_that_refuses_a_callers_name_is_named_with_the_address_that_works(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, known: set[str], ok: bool
) -> None:
    monkeypatch.setattr(_Server, "known", known)
    states = [SimpleNamespace(name="mlflow", state="healthy"), SimpleNamespace(name="scoring", state="stopped")]
    monkeypatch.setattr(doctor, "Supervisor", lambda _: SimpleNamespace(status=lambda: states))
    with HTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        finding = check_names(settings.model_copy(update={"mlflow_port": server.server_port}))
        server.shutdown()
        thread.join()
    assert finding.ok == ok
    assert ok or f"http://localhost:{server.server_port}" in finding.fix


def test_a_proxy_in_the_way_of_our_own_servers_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert check_proxy(settings).ok
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert check_proxy(settings).fix == "export NO_PROXY=127.0.0.1"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert check_proxy(settings).ok


def test_a_slow_first_start_is_announced_and_is_no_fault(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.compiled.is_compiled", lambda: False)
    finding = check_first_start(settings)
    assert finding.ok
    assert "features are compiled" in finding.seen


def test_every_setting_is_listed_with_its_value_and_meaning(settings: Settings) -> None:
    rows = setting_rows(settings)
    assert {name for name, _, _ in rows} == set(settings.as_environment())
    assert all(meaning for _, _, meaning in rows)
    assert ("LAB_WORLD_DAYS", "28", Settings.model_fields["world_days"].description) in rows


def test_a_bad_setting_is_the_first_thing_the_doctor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_WORLD_DAYS", "3")
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "LAB_WORLD_DAYS" in result.stdout


def test_the_findings_are_there_for_a_program_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "lab"))
    facts = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert len(facts["findings"]) == len(CHECKS)
    assert not (tmp_path / "lab").exists()  # looking changes nothing


def test_the_password_of_an_address_is_not_shown(settings: Settings) -> None:
    shared = settings.model_copy(update={"store_url": "valkey://lab:hunter2@127.0.0.1:6379/0"})
    assert "valkey://…@127.0.0.1:6379/0" in [value for _, value, _ in setting_rows(shared)]
