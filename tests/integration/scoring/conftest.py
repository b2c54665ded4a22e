"""Fixtures of a scoring lab: sealed versions, a home that trusts their key, a registry that names them."""

from pathlib import Path

import pytest

from data.costs import Policy
from data.serving_plan import ServingPlan
from data.settings import Settings
from tests.bundles import make_bundle
from tests.fakes import FakeRegistry


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sealed versions and their keys, made once."""
    root = tmp_path_factory.mktemp("bundles")
    for number in (1, 2, 3):
        policy = Policy(review_at=0.2 * number, decline_at=0.9)
        make_bundle(root / str(number), root / "keys", seed=number, sequence=number, policy=policy)
    return root


@pytest.fixture
def lab(settings: Settings, bundles: Path) -> Settings:
    """A home whose keys are those that sealed the bundles, polled often."""
    settings.home.mkdir(parents=True)
    (settings.home / "keys").symlink_to(bundles / "keys")
    return settings.model_copy(update={"registry_poll_s": 0.02})


@pytest.fixture
def registry(bundles: Path) -> FakeRegistry:
    fake = FakeRegistry()
    fake.ensure()
    for number in (1, 2, 3):
        fake.create_version(f"run-{number}", str(bundles / str(number)), {})
    fake.set_plan(ServingPlan(0, "1"))
    return fake
