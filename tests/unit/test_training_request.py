"""Requests and outcomes as JSON, the identity of a training's inputs, and leases."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from data.world.config import Change, WorldConfig
from pipelines.lease import is_running, this_process
from pipelines.training.provenance import provenance
from pipelines.training.reproduce import differences
from pipelines.training.request import FileSource, LogSource, Recipe, TrainingRequest, WorldSource
from pipelines.training.train import inputs_digest

CUT = datetime(2026, 3, 6, tzinfo=UTC)
WORLD = TrainingRequest(WorldSource(WorldConfig(changes=(Change("inflation", date(2026, 2, 1), 0.5),)), 60), CUT)


@pytest.mark.parametrize(
    "request_",
    [
        WORLD,
        TrainingRequest(FileSource(Path("payments.parquet"), date(2018, 7, 1), 60), CUT),
        replace(WORLD, log=LogSource(CUT)),
    ],
)
def test_a_request_comes_back_from_json_as_it_went(request_: TrainingRequest) -> None:
    assert TrainingRequest.from_json(request_.to_json()) == request_


def test_the_inputs_are_the_rows_the_recipe_and_the_code_and_nothing_else() -> None:
    known = inputs_digest(WORLD, "rows", 1)
    assert inputs_digest(replace(WORLD, reason="again"), "rows", 1) == known
    assert inputs_digest(replace(WORLD, source=FileSource(Path("elsewhere"))), "rows", 1) == known
    assert inputs_digest(WORLD, "other rows", 1) != known
    assert inputs_digest(replace(WORLD, recipe=Recipe(seed=8)), "rows", 1) != known
    assert inputs_digest(WORLD, "rows", 2) != known


def test_a_reproduction_names_each_ingredient_that_changed() -> None:
    then = {"data_digest": "a", "provenance": {"lock_digest": "1", "threads": 2}}
    now = {"data_digest": "b", "provenance": {"lock_digest": "2", "threads": 2}}
    assert differences(then, then) == ()
    assert [line.split(":")[0] for line in differences(then, now)] == ["data", "lock_digest"]


def test_provenance_tells_code_lock_and_machine_without_a_path() -> None:
    facts = provenance(threads=2)
    assert len(facts.recipe_digest) == len(facts.lock_digest) == 64
    assert facts.threads == 2
    assert str(Path.home()) not in str(facts)


def test_a_lease_ends_with_its_process() -> None:
    assert is_running(this_process())
    child = subprocess.run(
        [sys.executable, "-c", "from pipelines.lease import this_process; print(this_process())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not is_running(child.stdout.strip())


@pytest.mark.parametrize("lease", ["", "nonsense", pytest.param(f"{os.getpid()}@0.00", id="earlier")])
def test_a_lease_of_nobody_or_of_an_earlier_process_with_this_id_is_over(lease: str) -> None:
    assert not is_running(lease)
