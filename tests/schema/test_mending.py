"""What somebody dropped is made again, and nobody is waited for without an end."""

from __future__ import annotations

import threading
import time

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.schema import alone, migrate, present
from core.settings import DatabaseConfig
from tests.schema.test_migrate import HEAD, run
from tests.servers import Cluster


def test_dropped_tables_are_seen_and_made_again(db: Database) -> None:
    run(db, "DROP TABLE telegram_settings", "DROP TABLE webui_system_config")
    found = migrate.status(db)
    assert (found.current_version, found.pending) == (HEAD, [])
    assert found.missing == ["telegram_settings", "webui_system_config"]
    assert found.migration_needed
    seen: list[tuple[int, int, str]] = []
    result = migrate.upgrade(db, progress=lambda done, total, message: seen.append((done, total, message)))
    assert (result.success, result.errors) == (True, [])
    assert sorted(result.tables_created) == found.missing
    assert len(result.tables_skipped) == 32
    assert [(done, total) for done, total, _ in seen] == [(0, 2), (1, 2), (2, 2)]
    assert seen[1][2].startswith("Created table ")
    assert not migrate.status(db).migration_needed
    assert {state.state for state in present.tables(db)} == {"present"}


def test_cancelled_mend_leaves_nothing(db: Database) -> None:
    run(db, "DROP TABLE telegram_settings", "DROP TABLE webui_system_config")

    def stop(done: int, total: int, message: str) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate.upgrade(db, progress=stop)
    assert len(migrate.status(db).missing) == 2


def test_missing_column_is_no_success_and_is_left_alone(db: Database) -> None:
    run(db, "DROP TABLE telegram_settings", "ALTER TABLE portfolios DROP COLUMN source")
    for created in (["telegram_settings"], []):
        result = migrate.upgrade(db)
        assert result.tables_created == created
        assert not result.success
        assert result.errors == ["portfolios lacks source: compare it on the Schema page"]


def test_made_again_tables_have_their_rights(migrated: DatabaseConfig) -> None:
    owner = Database(migrated)
    role = f"r_{migrated.database}"
    run(
        owner,
        f"CREATE ROLE {role}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}",
        "DROP TABLE webui_audit_logs",
    )
    try:
        migrate.upgrade(owner)
        with owner.connect() as connection:
            query = "SELECT table_name, privilege_type FROM information_schema.table_privileges WHERE grantee = %s"
            rows = connection.exec_driver_sql(query, (role,)).all()
        assert sorted(right for table, right in rows if table == "webui_audit_logs") == ["INSERT", "SELECT"]
    finally:
        run(owner, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
        owner.dispose()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "TABLE_WAIT_S", 0.4)
    monkeypatch.setattr(alone, "PAUSE_S", 0.05)


@pytest.mark.usefixtures("hasty")
def test_table_that_stays_locked_is_named_with_its_holder(migrated: DatabaseConfig) -> None:
    owner, other = Database(migrated), Database(migrated)
    run(owner, "DROP TABLE usr_auth_identities")
    with other.connect() as connection:
        connection.exec_driver_sql("SET LOCAL application_name = 'backtest'")
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.exec_driver_sql("LOCK TABLE usr_users IN EXCLUSIVE MODE")
        begin = time.monotonic()
        with pytest.raises(TradekeepError) as caught:
            migrate.upgrade(owner)
        assert time.monotonic() - begin >= 3 * 0.4
    assert (caught.value.kind, caught.value.retryable) == ("transient.lock", True)
    assert f"process {pid} (backtest, " in caught.value.message
    assert "in a transaction since 20" in caught.value.message
    assert migrate.upgrade(owner).tables_created == ["usr_auth_identities"]
    for database in (owner, other):
        database.dispose()


@pytest.mark.usefixtures("hasty")
def test_table_that_is_given_back_is_waited_for(migrated: DatabaseConfig) -> None:
    owner, other = Database(migrated), Database(migrated)
    run(owner, "DROP TABLE usr_auth_identities")
    locked = threading.Event()

    def hold() -> None:
        with other.connect() as connection:
            connection.exec_driver_sql("LOCK TABLE usr_users IN EXCLUSIVE MODE")
            locked.set()
            time.sleep(0.7)

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(10)
    assert migrate.upgrade(owner).tables_created == ["usr_auth_identities"]
    thread.join()
    for database in (owner, other):
        database.dispose()


def test_suspended_server_gives_the_lock_back(own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "STATEMENT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(alone, "LOOK_S", 0.2)
    db = Database(own_cluster.config("postgres"))

    def stop(done: int, total: int, message: str) -> None:
        if done == 3:
            own_cluster.suspend()

    try:
        with pytest.raises(TradekeepError):
            migrate.upgrade(db, progress=stop)
        with alone.in_one_thread(0.1):
            pass
    finally:
        own_cluster.resume()
        db.dispose()


def test_wait_for_another_migration_is_the_callers_choice(pg_database: DatabaseConfig) -> None:
    db, other = Database(pg_database), Database(pg_database)
    with other.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (alone.LOCK,))
        begin = time.monotonic()
        with pytest.raises(TradekeepError, match="changing the schema"):
            migrate.upgrade(db, lock_wait_s=0.2)
        assert time.monotonic() - begin < 10
    for database in (db, other):
        database.dispose()
