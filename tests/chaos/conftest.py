"""The frame of the chaos suite: the scoreboard, the two tiers, and a lab whose processes a test may harm."""

import fcntl
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from data.costs import Policy
from data.serving_plan import ServingPlan
from data.settings import Settings
from tests.bundles import make_bundle
from tests.chaos.registry import RegistryProcess
from tests.chaos.scoreboard import Row, Scoreboard
from tests.chaos.service import Lab

_ROW = "promise"  # the property of a test's report that is a row of the board


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="the long counts (an hour) instead of those for every change")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "nightly: takes minutes, and has no shorter count; only with --nightly")
    config.addinivalue_line("markers", "alone: judged by milliseconds, so no other test of the suite runs beside it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("alone") is None)  # first, in turn; then the others, side by side
    for item in items:
        if config.getoption("nightly"):
            item.add_marker(pytest.mark.timeout(3_600))  # instead of the few minutes that a test has elsewhere
        elif item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: see --nightly"))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before its timeout begins: to wait for its turn is not its fault
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    folder = chaos_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "turn.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [report for some in terminalreporter.stats.values() for report in some if isinstance(report, pytest.TestReport)]
    ended = [report for report in reports if report.when == "teardown"]
    board = Scoreboard([Row(**row) for report in ended for name, row in report.user_properties if name == _ROW])  # type: ignore[arg-type]
    if board.rows:
        file = chaos_folder() / "scoreboard.json"
        board.write(file, tier="nightly" if config.getoption("nightly") else "change")
        terminalreporter.section("promises")
        terminalreporter.write_line(board.table())
        terminalreporter.write_line(f"written to {file}")


def chaos_folder() -> Path:
    """Of the scoreboard, and of the lock by which tests that run at once take turns."""
    return Settings.load().home / "chaos"


@pytest.fixture
def scoreboard(request: pytest.FixtureRequest) -> Iterator[Scoreboard]:
    """The test's own rows; its report takes them to the board, from whichever process it runs in.

    A test that ends without a row did not finish, which is a broken promise too.
    """
    board = Scoreboard()
    yield board
    if not board.rows:
        number = re.match(r"test_(\d+)_", request.path.name)
        name = request.node.name.removeprefix("test_").replace("_", " ")
        with pytest.raises(AssertionError):
            board.record(promise=int(number[1]) if number else 0, name=name, n=0, failures=1, figure="did not finish", passed=False)
    request.node.user_properties.extend((_ROW, asdict(row)) for row in board.rows)


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
