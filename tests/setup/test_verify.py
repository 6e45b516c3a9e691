"""Verification proves what it says, and says nothing that it did not look at."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from core.database import Database, Databases
from core.models import AREAS
from core.schema import migrate
from core.settings import DatabaseConfig
from core.setup import provision, samples, verify
from tests.servers import Cluster

TABLES = [name for names in AREAS.values() for name in names]


def single(database: Database) -> Databases:
    return Databases(database, database, database)


def test_a_migrated_database_passes_every_line(db: Database) -> None:
    lines = verify.verify(single(db))
    assert [line.name for line in lines if not line.ok] == []
    assert {f"Table {name}" for name in TABLES} <= {line.name for line in lines}
    assert verify.passed(lines)


def test_verification_leaves_no_row(db: Database) -> None:
    verify.verify(single(db))
    with db.connect() as connection:
        for name in TABLES:
            assert connection.execute(sa.select(sa.func.count()).select_from(sa.table(name))).scalar_one() == 0, name


def test_every_table_has_a_sample() -> None:
    assert set(samples.SAMPLES) == set(TABLES)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("DROP TABLE telegram_settings", "Table telegram_settings"),
        ("ALTER TABLE alerts DROP COLUMN source", "Table alerts"),
        ("ALTER TABLE candles ALTER COLUMN close TYPE numeric(4,1)", "Table candles"),
        ("ALTER TABLE webui_system_config ADD COLUMN must int NOT NULL", "Table webui_system_config"),
        ("UPDATE alembic_version SET version_num = 'other'", "Schema revision"),
    ],
)
def test_damage_is_found_where_it_is(migrated: DatabaseConfig, damage: str, line: str) -> None:
    database = Database(migrated)
    with database.connect() as connection:
        connection.exec_driver_sql(damage)
    failed = [found for found in verify.verify(single(database)) if found.ok is False]
    assert [found.name for found in failed] == [line]
    assert failed[0].fix
    database.dispose()


def test_nothing_to_look_at_is_not_a_pass(pg_database: DatabaseConfig) -> None:
    unreachable = Database(pg_database.replace(password="wrong"))
    lines = verify.verify(single(unreachable))
    tables = [line for line in lines if line.name.startswith("Table ")]
    assert len(tables) == len(TABLES)
    assert all(line.ok is None for line in tables)
    assert not verify.passed(lines)
    assert not verify.passed([])


def test_each_right_too_many_is_reported(own_cluster: Cluster) -> None:
    made = provision.provision(own_cluster.admin)
    runtime, owner, viewer = Database(made.runtime), Database(made.owner), Database(made.viewer, read_only=True)
    migrate.upgrade(owner)
    databases = Databases(viewer, runtime, owner)
    lines = verify.verify(databases)
    assert verify.passed(lines), [line for line in lines if not line.ok]
    assert {"Least privilege of runtime", "Least privilege of viewer"} <= {line.name for line in lines}
    own_cluster.sql(
        "GRANT trading_owner TO trading", "GRANT TRUNCATE ON trades TO trading",
        "GRANT UPDATE ON webui_audit_logs TO trading", "GRANT CREATE ON SCHEMA public TO trading_viewer",
        "GRANT INSERT ON trades TO trading_viewer", "GRANT SELECT ON usr_users TO trading_viewer",
        database="trading",
    )  # fmt: skip
    found = {line.name: line.message for line in verify.verify(databases) if line.ok is False}
    assert "the owner's role" in found["Least privilege of runtime"]
    assert "emptying tables" in found["Least privilege of runtime"]
    assert "changing audit rows" in found["Least privilege of runtime"]
    assert "writing rows" in found["Least privilege of viewer"]
    assert "reading secrets" in found["Least privilege of viewer"]
    assert "creating in schema public" in found["Least privilege of viewer"]
    provision.provision(own_cluster.admin, known=[made.owner, made.runtime, made.viewer])
    assert verify.passed(verify.verify(databases))
    for database in (runtime, owner, viewer):
        database.dispose()


def test_a_password_that_works_only_for_open_connections_does_not_pass(cluster: Cluster) -> None:
    made = provision.provision(cluster.admin, database="stale")
    databases = Databases(Database(made.viewer), Database(made.runtime), Database(made.owner))
    databases.writer.ping()  # from now on its pool holds an open connection
    cluster.sql("ALTER ROLE stale PASSWORD 'another one'")
    failed = [line.name for line in verify.verify(databases) if line.ok is False]
    assert failed == ["Connection as runtime"]
    databases.dispose()
