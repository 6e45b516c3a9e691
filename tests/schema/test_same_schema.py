"""The migrations make exactly what the models describe."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from core.database import Database
from core.models import Base
from core.schema import migrate
from core.settings import DatabaseConfig
from tests.servers import Cluster


def dump(cluster: Cluster, config: DatabaseConfig) -> list[str]:
    """The statements of pg_dump --schema-only, sorted; Alembic's table left out."""
    done = subprocess.run(
        [cluster.binaries / "pg_dump", "--schema-only", "--exclude-table=alembic_version",
         "-h", config.host, "-p", str(config.port), "-U", config.user, config.database],
        env=os.environ | {"PGPASSWORD": cluster.password}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(("--", "\\"))]
    return sorted("\n".join(lines).split(";\n"))


def test_pg_dump_of_both_is_the_same(cluster: Cluster, migrated: DatabaseConfig, pg_database: DatabaseConfig) -> None:
    made = Database(pg_database)
    with made.connect() as connection:
        Base.metadata.create_all(connection)
    made.dispose()
    from_models, from_migrations = dump(cluster, pg_database), dump(cluster, migrated)
    assert len(from_models) > 200
    assert from_migrations == from_models


def sqlite_objects(file: str) -> dict[str, list[str]]:
    """Name -> the lines of its definition, sorted, for every table and index."""
    database = Database(DatabaseConfig(backend="sqlite", database=file))
    with database.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
        ).all()
    database.dispose()
    return {name: sorted(re.sub(r"\s+", " ", line).strip(" ,") for line in sql.splitlines()) for name, sql in rows}


def test_sqlite_schema_of_both_is_the_same(migrated_sqlite: DatabaseConfig, tmp_path: Path) -> None:
    made = Database(DatabaseConfig(backend="sqlite", database=str(tmp_path / "made.sqlite")))
    with made.connect() as connection:
        Base.metadata.create_all(connection)
    made.dispose()
    from_models = sqlite_objects(made.config.database)
    assert len(from_models) > 70
    assert sqlite_objects(migrated_sqlite.database) == from_models


def test_models_can_be_dropped_again(pg_database: DatabaseConfig) -> None:
    made = Database(pg_database)
    with made.connect() as connection:
        Base.metadata.create_all(connection)
        Base.metadata.drop_all(connection)
        left = connection.exec_driver_sql("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert left.all() == []
    assert migrate.upgrade(made).success
    made.dispose()
