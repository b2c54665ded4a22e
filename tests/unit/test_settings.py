"""Settings and errors: bounded, named in the message, and documented."""

import re
from pathlib import Path

import pytest

from data import errors
from data.errors import BadSetting, LabError
from data.settings import Settings


def every_error() -> list[type[LabError]]:
    return [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, LabError) and e is not LabError]


def test_a_setting_outside_its_range_names_the_variable_and_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SCORING_PORT", "80")
    with pytest.raises(BadSetting, match=r"LAB_SCORING_PORT: .*1024.*lab doctor") as refused:
        Settings.load()
    assert refused.value.where == "LAB_SCORING_PORT"


def test_several_workers_without_a_log_to_share_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_WORKERS", "2")
    with pytest.raises(BadSetting, match=r"LAB_WORKERS: more than one process needs .* LAB_STORE_URL"):
        Settings.load()
    monkeypatch.setenv("LAB_STORE_URL", "valkey://127.0.0.1:6379/0")
    assert Settings.load().workers == 2


def test_a_setting_is_taken_from_its_environment_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    assert Settings.load().home == tmp_path


def test_only_loopback_is_bound_unless_asked_for() -> None:
    assert Settings().host == "127.0.0.1"


def test_no_two_services_share_a_port() -> None:
    settings = Settings()
    ports = [settings.scoring_port, settings.mlflow_port, settings.prefect_port]
    assert len(set(ports)) == len(ports)


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("error", every_error(), ids=lambda e: e.code)
def test_every_failure_has_its_own_code_a_nonzero_exit_and_an_http_error_status(error: type[LabError]) -> None:
    assert [e for e in every_error() if e.code == error.code] == [error]
    assert re.fullmatch(r"[a-z_]+", error.code)
    assert 1 <= error.exit_status <= 78
    assert 400 <= error.http_status < 600


def test_an_error_reads_as_what_happened_and_what_to_do_next() -> None:
    assert str(errors.NoModel("No model is served.", next_step="Run `lab train`.")) == "No model is served. Run `lab train`."
