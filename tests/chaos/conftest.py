"""The frame of the chaos suite: the scoreboard, the two tiers, and a lab whose processes a test may harm."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.costs import Policy
from data.serving_plan import ServingPlan
from data.settings import Settings
from tests.bundles import make_bundle
from tests.chaos.registry import RegistryProcess
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab

_BOARD = pytest.StashKey[Scoreboard]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="the long counts (an hour) instead of those for every change")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_BOARD] = Scoreboard()
    config.addinivalue_line("markers", "nightly: takes minutes, and has no shorter count; only with --nightly")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if config.getoption("nightly"):
            item.add_marker(pytest.mark.timeout(3_600))  # instead of the few minutes that a test has elsewhere
        elif item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: see --nightly"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    board = config.stash[_BOARD]
    if board.rows:
        file = Settings.load().home / "chaos" / "scoreboard.json"
        board.write(file, tier="nightly" if config.getoption("nightly") else "change")
        terminalreporter.section("promises")
        terminalreporter.write_line(board.table())
        terminalreporter.write_line(f"written to {file}")


@pytest.fixture
def scoreboard(request: pytest.FixtureRequest) -> Iterator[Scoreboard]:
    """The session's board. A test that ends without a row of its own did not finish, which is a broken promise too."""
    board = request.config.stash[_BOARD]
    before = len(board.rows)
    yield board
    if len(board.rows) == before:
        number = re.match(r"test_(\d+)_", request.path.name)
        name = request.node.name.removeprefix("test_").replace("_", " ")
        with pytest.raises(AssertionError):
            board.record(promise=int(number[1]) if number else 0, name=name, n=0, failures=1, figure="did not finish", passed=False)


@pytest.fixture
def tier(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`tier(for_every_change, nightly)`: the count that this run wants."""
    nightly = bool(request.config.getoption("nightly"))
    return lambda change, night: night if nightly else change


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sealed versions of 300 trees, and the keys that sealed them."""
    root = tmp_path_factory.mktemp("bundles")
    for number in (1, 2, 3):
        policy = Policy(review_at=0.2 * number, decline_at=0.9)
        make_bundle(root / str(number), root / "keys", seed=number, sequence=number, policy=policy, trees=300)
    return root


@pytest.fixture
def lab(tmp_path: Path, bundles: Path) -> Iterator[Lab]:
    """A home that trusts the bundles' key, a registry whose champion is version 1, and no scoring process yet."""
    keys = bundles / "keys"
    with (
        RegistryProcess(tmp_path / "registry", keys) as registry,
        Lab(tmp_path / "home", registry, key_folder=keys) as lab,
    ):
        for version in ("1", "2", "3"):
            registry.add_version(version, bundles / version)
        registry.set_plan(ServingPlan(0, "1"))
        registry.start()
        yield lab
