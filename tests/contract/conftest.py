"""One Valkey for all contract tests, emptied for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.valkey_server import PROGRAM, ValkeyServer


@pytest.fixture(scope="session")
def valkey_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    if PROGRAM is None:
        pytest.skip("neither valkey-server nor redis-server is installed")
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture
def valkey(valkey_session: ValkeyServer) -> ValkeyServer:
    with valkey_session.client() as client:
        client.flushall()
    return valkey_session
