"""One migrated database a backend for all tests of the models; each test is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from core.database import Database
from core.settings import DatabaseConfig
from tests.servers import new_database


@pytest.fixture(scope="session", params=["postgresql", "sqlite"])
def _migrated_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("_migrated_file")
        file = tmp_path_factory.mktemp("models") / "models.sqlite"
        file.write_bytes(template.read_bytes())
        yield from _disposed(Database(DatabaseConfig(backend="sqlite", database=str(file))))
        return
    cluster = request.getfixturevalue("cluster")
    with new_database(cluster, template=request.getfixturevalue("_migrated_template")) as name:
        yield from _disposed(Database(cluster.config(name)))


def _disposed(database: Database) -> Iterator[Database]:
    yield database
    database.dispose()


@pytest.fixture
def connection(_migrated_once: Database) -> Iterator[Connection]:
    """A connection to the whole schema without rows, on PostgreSQL and SQLite; rolled back at the end."""
    with _migrated_once.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def postgres(migrated: DatabaseConfig) -> Iterator[Connection]:
    """A connection to the whole schema without rows, on PostgreSQL only."""
    database = Database(migrated)
    with database.connect() as connection:
        yield connection
    database.dispose()
