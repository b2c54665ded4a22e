"""Shared by every test: the product's environment, and a home folder of its own."""

from data.environment import prepare_environment

prepare_environment()

from collections.abc import Iterator  # noqa: E402
from datetime import date  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from data.settings import REPOSITORY, Settings  # noqa: E402
from tests.mlflow_server import mlflow_server  # noqa: E402


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a small lab in an empty home."""
    return Settings(home=tmp_path / "lab", world_start=date(2026, 1, 5), transactions_per_day=600, world_days=28)


def shared_data() -> Path | None:
    """The folder of data that nobody here made, or None where it is missing."""
    import os

    folder = Path(os.environ.get("LAB_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    return folder if (folder / "handbook_raw_to_2018-09-04.parquet").exists() else None


@pytest.fixture(scope="session")
def handbook_folder() -> Path:
    """Where the Handbook's transactions are; tests that need them are skipped where they are not."""
    folder = shared_data()
    if folder is None:
        pytest.skip("the Fraud Detection Handbook's transactions are not here; set LAB_SHARED_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server, started once for all the tests that ask for it."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url
