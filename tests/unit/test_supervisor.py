"""What the supervisor knows without starting anything: programs, ports, and which process is whose."""

import os
import socket
from pathlib import Path

import psutil
import pytest

from data.errors import BadInput, BadSetting
from data.settings import Settings
from services.processes import Running, end_tree, port_owner
from services.programs import chosen, programs


def test_programs_start_in_the_order_of_what_needs_what(settings: Settings) -> None:
    assert list(programs(settings)) == ["mlflow", "prefect", "scoring"]
    assert [program.name for program in chosen(programs(settings), ("scoring", "mlflow"))] == ["mlflow", "scoring"]


def test_an_unknown_program_is_refused_with_the_names_there_are(settings: Settings) -> None:
    with pytest.raises(BadInput, match="mlflow, prefect, scoring"):
        chosen(programs(settings), ("nginx",))


def test_two_programs_on_one_port_are_refused_by_the_name_of_the_setting(settings: Settings) -> None:
    with pytest.raises(BadSetting) as refusal:
        programs(settings.model_copy(update={"prefect_port": settings.mlflow_port}))
    assert refusal.value.where == "LAB_PREFECT_PORT"


def test_every_file_of_a_program_lies_in_the_home(settings: Settings) -> None:
    for program in programs(settings).values():
        for word in (*program.command, *program.environment.values()):
            if "sqlite" in word or "artifacts/" in word:
                assert str(settings.home) in word


def test_a_process_is_told_from_a_later_one_with_the_same_pid() -> None:
    me = Running.of(os.getpid(), "launch")
    assert me.alive()
    assert not Running(me.pid, me.born - 60, "launch").alive()
    assert not Running(_unused_pid(), me.born, "launch").alive()


def test_what_is_remembered_of_a_process_comes_back_from_disk(tmp_path: Path) -> None:
    me = Running.of(os.getpid(), "launch")
    me.write(tmp_path / "me.json")
    assert Running.read(tmp_path / "me.json") == me


@pytest.mark.parametrize("text", ["", '{"pid": 1', "[]", '{"pid": 1}', "null"])
def test_a_half_written_memory_of_a_process_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "me.json").write_text(text)
    assert Running.read(tmp_path / "me.json") is None


def test_ending_a_process_that_is_gone_does_nothing() -> None:
    end_tree(_unused_pid(), grace_s=1)


def test_a_port_is_taken_while_somebody_listens_and_free_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        owner = port_owner("127.0.0.1", port)
        assert owner is not None
        assert str(os.getpid()) in owner
    assert port_owner("127.0.0.1", port) is None


def test_the_same_command_and_settings_are_recognised_and_others_are_not(settings: Settings) -> None:
    command = ("python", "-m", "x")
    same = Running.digest(command, settings.as_environment())
    assert same == Running.digest(command, dict(reversed(settings.as_environment().items())))
    assert same != Running.digest(command, settings.model_copy(update={"seed": 8}).as_environment())
    assert same != Running.digest((*command, "--debug"), settings.as_environment())


def test_settings_survive_the_way_through_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


def _unused_pid() -> int:
    return next(pid for pid in range(4_000_000, 1, -1) if not psutil.pid_exists(pid))


def test_the_archive_of_a_shared_log_is_started_and_stopped_with_the_service_whose_log_it_follows(settings: Settings) -> None:
    alone = programs(settings)
    assert "archive" not in alone
    shared = programs(settings.model_copy(update={"store_url": "valkey://127.0.0.1:6379/0"}))
    assert [program.name for program in chosen(shared, ("scoring",))] == ["archive", "scoring"]
    assert [program.name for program in chosen(shared, ("mlflow",))] == ["mlflow"]
