"""`python -m tests.bench`: what was asked for runs, what cannot be measured here is skipped, a missed goal is a failure."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.bench.__main__ import BENCHES, Run, main, run_benches
from tests.bench.shared import shared_file
from tests.bench.table import conclude


class Recorded:
    """Benches that end as told, and remember with which arguments they ran."""

    def __init__(self, **statuses: int | None) -> None:
        self.statuses = statuses
        self.ran: list[tuple[str, tuple[str, ...]]] = []

    def find(self, name: str) -> Run:
        def run(arguments: Sequence[str] | None) -> int:
            self.ran.append((name, tuple(arguments or ())))
            status = self.statuses[name]
            return shared_file("nobody_has_this.parquet").stat().st_size if status is None else status

        return run


def test_every_bench_runs_whatever_became_of_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    benches = Recorded(world=1, features=0)
    assert run_benches({"world": ("--quick",), "features": ()}, benches.find) == 1
    assert benches.ran == [("world", ("--quick",)), ("features", ())]
    assert "goals missed" in capsys.readouterr().out


def test_a_bench_without_its_data_is_skipped_and_says_which_file_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_SHARED_DATA", str(tmp_path))
    assert run_benches({"ulb": (), "world": ()}, Recorded(ulb=None, world=0).find) == 0
    out = capsys.readouterr().out
    assert "skipped: nobody_has_this.parquet" in out
    assert "goals reached" in out


def test_an_unknown_bench_is_a_usage_error_that_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["wrold"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in BENCHES)


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_takes_the_arguments_of_every_length(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    bench: Callable[[Sequence[str]], int] = import_module(f"tests.bench.{name}").main
    for length in ("quick", "usual", "full"):
        with pytest.raises(SystemExit) as ended:
            bench([*BENCHES[name].arguments(length), "--help"])
        assert ended.value.code == 0


def test_a_missed_goal_is_said_and_fails_the_bench(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude([]) == 0
    assert conclude(["recall: 0.1 short"]) == 1
    assert "✗ recall: 0.1 short" in capsys.readouterr().out
