"""The running system's state is kept, and put back byte for byte, over a database that somebody has open."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from data.errors import BadSetting
from data.settings import Settings
from labs.engine import live_state, prepare
from labs.engine.course import Course, Lab
from labs.engine.levels import level_of
from labs.engine.live_state import Mark, begin, is_kept, keep, put_back
from labs.previous import set_aside
from tests.tiny_course import TINY


def registry(home: Path) -> sqlite3.Connection:
    (home / "mlflow").mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(home / "mlflow" / "mlflow.db")
    for table in ("versions (name TEXT)", "registered_model_aliases (alias, name, version)", "registered_model_tags (key, value, name)",
                  "model_versions (name, version)"):  # fmt: skip
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    return connection


def register(home: Path, name: str) -> None:
    with closing(registry(home)) as connection, connection:
        connection.execute("INSERT INTO versions VALUES (?)", (name,))


def versions(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM versions ORDER BY rowid")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    register(tmp_path, "one")
    (tmp_path / "mlflow" / "artifacts" / "1").mkdir(parents=True)
    (tmp_path / "mlflow" / "artifacts" / "1" / "model.lgb").write_text("trees")
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "snapshot").write_text("quiet")
    (tmp_path / "ledger.jsonl").write_text("registered\n")
    keep(tmp_path, "champion-1")
    return tmp_path


def test_what_was_changed_is_put_back_and_what_was_added_goes(home: Path) -> None:
    register(home, "two")
    (home / "history" / "snapshot").write_text("busy")
    (home / "history" / "later").write_text("x")
    (home / "ledger.jsonl").write_text("registered\nrolled back\n")
    (home / "predictions.db").write_text("a payment")
    (home / "live.json").write_text("{}")
    put_back(home, "champion-1")
    with closing(registry(home)) as connection:
        assert versions(connection) == ["one"]
    assert (home / "history" / "snapshot").read_text() == "quiet"
    assert (home / "ledger.jsonl").read_text() == "registered\n"
    assert [name for name in ("predictions.db", "live.json", "history/later") if (home / name).exists()] == []


def put(database: Path, table: str, *values: object) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        if database.name == "predictions.db":
            for made in ("predictions (id)", "labels (id)"):
                connection.execute(f"CREATE TABLE IF NOT EXISTS {made}")
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda home: None, []),
        (lambda home: put(home / "predictions.db", "predictions", 1), ["payments in the log"]),
        (lambda home: put(home / "predictions.db", "labels", 1), ["labels in the log"]),
        (lambda home: put(home / "mlflow" / "mlflow.db", "registered_model_aliases", "challenger", "fraud", 2), ["aliases"]),
        (lambda home: put(home / "mlflow" / "mlflow.db", "registered_model_tags", "serving_plan", "{}", "fraud"), ["who serves"]),
        (lambda home: put(home / "mlflow" / "mlflow.db", "model_versions", "fraud", 2), ["registered versions"]),
        (lambda home: (home / "ledger.jsonl").write_text("rolled back"), ["ledger"]),
        (lambda home: (home / "live.json").write_text("{}"), ["drifts"]),
    ],
)
def test_what_a_lab_changed_of_the_running_system_is_told(home: Path, change: Callable[[Path], object], said: list[str]) -> None:
    change(home)
    assert live_state.differences(home, "champion-1") == said
    put_back(home, "champion-1")
    assert live_state.differences(home, "champion-1") == []


def test_a_server_that_has_the_registry_open_sees_what_was_put_back(home: Path) -> None:
    with closing(registry(home)) as server:
        register(home, "two")
        assert versions(server) == ["one", "two"]
        put_back(home, "champion-1")
        assert versions(server) == ["one"]


def test_a_state_that_is_half_put_back_says_so_and_is_put_back_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(live_state, "_copy_database", killed)
        put_back(home, "champion-1")
    assert Mark.read(home) == Mark("being made")
    put_back(home, "champion-1")
    assert Mark.read(home) == Mark("champion-1")


def test_an_empty_state_is_empty_and_is_known_for_the_courses_own(home: Path) -> None:
    (home / "predictions.db").write_text("a payment")
    begin(home)
    assert [path.name for path in (home / "mlflow").iterdir()] == ["course.json"]
    assert [name for name in ("predictions.db", "history", "ledger.jsonl") if (home / name).exists()] == []
    assert Mark.read(home) == Mark("being made")
    assert is_kept(home, "champion-1")


@pytest.mark.parametrize(("mark", "aside"), [(None, True), (Mark("being made"), False), (Mark("champion-0"), False)])
def test_what_somebody_else_left_is_set_aside_and_what_a_course_left_is_not(
    home: Path, settings: Settings, mark: Mark | None, aside: bool
) -> None:
    (home / "mlflow" / "course.json").unlink()
    if mark is not None:
        mark.write(home)
    preparation = prepare.Preparation(settings.model_copy(update={"home": home}), lambda *_: None)
    preparation._clear()
    assert (home / "previous" / "ledger.jsonl").exists() == (preparation.aside is not None) == aside
    assert not (home / "ledger.jsonl").exists()


def test_a_level_that_was_half_kept_is_not_taken_for_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(OSError, match="full"):
        patched.setattr(live_state, "_copy_database", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        keep(home, "traffic-1")
    assert not is_kept(home, "traffic-1")
    assert is_kept(home, "champion-1")


def test_a_level_of_another_world_goes_when_this_worlds_is_kept(home: Path) -> None:
    keep(home, "champion-2")
    assert (is_kept(home, "champion-1"), is_kept(home, "champion-2")) == (False, True)


def test_a_demo_that_sets_the_state_aside_takes_the_mark_along(home: Path) -> None:
    assert set_aside(home) == home / "previous"
    assert Mark.read(home) is None
    assert is_kept(home, "champion-1")


@pytest.fixture
def lab() -> Lab:
    return Course(TINY).lab("total").model_copy(update={"needs": "service", "changes_live": True})


def test_a_lab_may_be_checked_on_the_state_that_it_began_with_and_changed_itself(lab: Lab, settings: Settings) -> None:
    level = level_of(settings, "champion")
    (settings.home / "mlflow").mkdir(parents=True)
    for mark, good in (
        (None, False),
        (Mark(level), True),
        (Mark(level, lab.id), True),
        (Mark(level, "L02"), False),
        (Mark("traffic-1"), False),
    ):
        if mark is not None:
            mark.write(settings.home)
        assert prepare.is_prepared(settings, lab) == good, mark


def test_a_lab_that_needs_no_server_can_always_be_checked(settings: Settings) -> None:
    assert prepare.is_prepared(settings, Course(TINY).lab("total"))


def test_a_lab_on_days_of_payments_cannot_be_checked_before_they_are_made(settings: Settings) -> None:
    lab = Course(TINY).lab("total").model_copy(update={"needs": "data"})
    assert not prepare.is_prepared(settings, lab)
    (settings.home / "datasets" / "world").mkdir(parents=True)
    assert prepare.is_prepared(settings, lab)


def test_another_world_has_another_state_and_another_port_has_not(settings: Settings) -> None:
    assert level_of(settings, "champion") != level_of(settings.model_copy(update={"seed": 8}), "champion")
    assert level_of(settings, "champion") == level_of(settings.model_copy(update={"scoring_port": 9999}), "champion")


def test_labs_refuse_a_log_that_they_could_not_put_back(lab: Lab, settings: Settings) -> None:
    with pytest.raises(BadSetting, match="elsewhere"):
        prepare.prepare(settings.model_copy(update={"store_url": "valkey://127.0.0.1:1/0"}), lab, lambda *_: None)
