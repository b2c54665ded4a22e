"""Shared by the integration tests: a champion at work on a small world with many frauds, so that few rows tell."""

import pytest

from data.world import WorldConfig
from labs.exercises.deployment import Deployment, deploy
from labs.exercises.source import world_source


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Trained once for all tests that ask for it; none may change it."""
    return deploy(world_source(WorldConfig(transactions_per_day=1_500, fraud_share=0.02)), tmp_path_factory.mktemp("exercises"))
