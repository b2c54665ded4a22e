"""One Valkey and one Postgres for all contract tests, emptied for each."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.postgres_server import INITDB, POSTGRES, PostgresServer
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


@pytest.fixture(scope="session")
def postgres_session() -> Iterator[PostgresServer]:
    if POSTGRES is None or INITDB is None:
        pytest.skip("Postgres is not installed")
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        Path(folder).chmod(0o755)  # the server is another user
        server = PostgresServer(Path(folder) / "postgres")
        yield server
        server.kill()


@pytest.fixture
def postgres(postgres_session: PostgresServer) -> PostgresServer:
    postgres_session.empty()
    return postgres_session
