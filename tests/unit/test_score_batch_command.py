"""`lab score-batch` from the outside: what it prints, its exit statuses, and that a mistake is said before a server is started."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import pipelines.flows
from data.bundle import Model
from data.dataset import to_table
from labs.cli import app
from pipelines.batch.scoring import BatchRequest, BatchSummary, score_table
from tests.bundles import make_bundle
from tests.fakes import FakeRegistry
from tests.payments import transactions

Run = Callable[..., tuple[int, str, str]]


class Servers:
    """A supervisor that starts nothing and remembers what it was asked for."""

    started: list[str]

    def __init__(self, settings: object) -> None: ...

    @contextmanager
    def owning(self) -> Iterator["Servers"]:
        yield self

    def start(self, names: tuple[str, ...]) -> None:
        type(self).started += names


def plainly(load: Callable[[], Model], request: BatchRequest, on_progress: Callable[[int, int], None]) -> BatchSummary:
    """The flow's steps without Prefect."""
    return score_table(load(), request, on_progress)


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    """Two versions of which the second is champion."""
    made = FakeRegistry()
    made.ensure()
    for number in (1, 2):
        folder = tmp_path / "bundles" / str(number)
        make_bundle(folder, tmp_path / "lab" / "keys", seed=number, sequence=number)
        made.create_version(f"run-{number}", str(folder), {})
    made.set_alias("champion", "2")
    return made


@pytest.fixture
def run(registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process, in a folder with `in.parquet`: (exit status, standard output, standard error)."""
    Servers.started = []
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "lab"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("labs.commands.batch.Supervisor", Servers)
    monkeypatch.setattr("labs.commands.batch.Registry.of", lambda _: registry)
    monkeypatch.setattr(pipelines.flows, "batch_scoring_flow", plainly)
    pq.write_table(to_table(transactions(1, 100), "transactions"), "in.parquet")

    def invoke(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["score-batch", *arguments])
        return result.exit_code, result.stdout, result.stderr

    return invoke


def versions_of(out: str) -> set[str]:
    return set(pq.read_table(out)["model_version"].to_pylist())


def test_the_champion_scores_and_a_person_reads_how_many_and_how_fast(run: Run) -> None:
    status, out, _ = run("in.parquet", "out")
    assert status == 0
    assert "100 payments scored with version 2" in out and "rows/s" in out and "alert rate" in out
    assert "_quarantine" not in out
    assert versions_of("out") == {"2"}
    assert Servers.started == ["mlflow", "prefect"]


def test_another_version_scores_when_it_is_named_and_a_program_reads_the_facts(run: Run) -> None:
    status, out, _ = run("in.parquet", "out", "--version", "1", "--json")
    facts = json.loads(out)
    assert status == 0
    assert (facts["model_version"], facts["rows"], facts["scored"], facts["quarantined"]) == ("1", 100, 100, 0)
    assert sum(facts["decisions"].values()) == 100 and facts["rows_per_s"] > 0
    assert versions_of("out") == {"1"}


def test_rows_set_aside_are_said_and_are_the_exit_status(run: Run) -> None:
    table = pq.read_table("in.parquet")
    amounts = pc.if_else(pa.array([row == 7 for row in range(100)]), 0, table["amount_minor"])
    pq.write_table(table.set_column(table.column_names.index("amount_minor"), "amount_minor", amounts), "in.parquet")
    status, out, _ = run("in.parquet", "out")
    assert status == 1
    assert "99 payments scored" in out and "1 rows could not be scored: out/_quarantine" in out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("nothing.parquet", "out"), 66, "nothing.parquet is not there"),
        (("in.parquet", "out", "--features-ready"), 65, "lacks the columns amount, hour, weekday"),
        (("in.parquet", "in.parquet"), 65, "in.parquet is there already"),
        (("in.parquet", "out", "--version", "../2"), 65, "A version is a number"),
        (("in.parquet", "out", "--features-ready", "--labels", "in.parquet"), 65, "take no history and no labels"),
    ],
)
def test_a_mistake_is_said_before_a_server_is_started(run: Run, arguments: tuple[str, ...], status: int, said: str) -> None:
    found, _, err = run(*arguments)
    assert (found, Servers.started) == (status, [])
    assert said in err


def test_without_a_champion_it_names_the_command_that_makes_one(run: Run, registry: FakeRegistry) -> None:
    registry.delete_alias("champion")
    status, _, err = run("in.parquet", "out")
    assert status == 69 and "lab train" in err
    assert not Path("out").exists()


def test_a_version_that_is_not_there_ends_without_answers(run: Run) -> None:
    status, _, err = run("in.parquet", "out", "--version", "9")
    assert status == 66 and "no such version" in err
    assert not Path("out").exists()
