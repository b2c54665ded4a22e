"""One stack for all tests here, with the closed loop run on it: a champion, a rollout and its log."""

from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, why_not


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="parts stay away for a minute instead of seconds")


@pytest.fixture(scope="session")
def demo_output() -> list[str]:
    """What `lab demo` printed on the stack, once it has run."""
    return []


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, demo_output: list[str]) -> Iterator[Stack]:
    """Brought up from nothing, the demo run on it."""
    if reason := why_not():
        pytest.skip(f"{reason}; see “The stack in docker compose” in README.md")
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.down("-v")
    try:
        stack.compose("--profile", "demo", "build", "--quiet")
        stack.up()
        demo_output += stack.lab("demo").splitlines()
        yield stack
    finally:
        stack.down("-v")
