"""One Valkey for all contract tests, emptied for each."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.valkey_server import PROGRAM, ValkeyServer


@pytest.fixture(scope="session")
def valkey_session() -> Iterator[ValkeyServer]:
    if PROGRAM is None:
        pytest.skip("neither valkey-server nor redis-server is installed")
    memory = Path("/dev/shm")  # where there is one: what a sync takes is the disk's business
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        server = ValkeyServer(Path(folder))
        yield server
        server.kill()


@pytest.fixture
def valkey(valkey_session: ValkeyServer) -> ValkeyServer:
    with valkey_session.client() as client:
        client.flushall()
    return valkey_session
