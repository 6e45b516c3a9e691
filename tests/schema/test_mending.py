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
    assert len(result.tables_skipped) == 34
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


def test_missing_columns_are_seen_and_made_again(db: Database) -> None:
    run(db, "DROP TABLE telegram_settings", "ALTER TABLE portfolios DROP COLUMN source")
    found = migrate.status(db)
    assert (found.missing, found.incomplete) == (["telegram_settings"], {"portfolios": ["source"]})
    assert [title for title, _ in migrate.damage(db)] == ["table telegram_settings", "portfolios: source"]
    result = migrate.upgrade(db)
    assert (result.success, result.tables_created, result.errors) == (True, ["telegram_settings"], [])
    assert not migrate.status(db).migration_needed
    assert migrate.damage(db) == []


DAMAGE = {
    "a key and its column": ("ALTER TABLE trades DROP COLUMN id CASCADE", "trades: id"),
    "a column with a default and a rule": ("ALTER TABLE positions DROP COLUMN side", "positions: side"),
    "a rule": ("ALTER TABLE alerts DROP CONSTRAINT ck_alerts_resolved_at", "alerts: ck_alerts_resolved_at"),
    "an index": ("DROP INDEX ix_trading_trades_symbol", "trading_trades: ix_trading_trades_symbol"),
    "a reference": ("ALTER TABLE agent_actions DROP COLUMN decision_id", "agent_actions: decision_id"),
    "a key that others refer to": (
        "ALTER TABLE usr_users DROP CONSTRAINT pk_usr_users_id CASCADE",
        "usr_users: pk_usr_users_id",
    ),
    "a unique rule": ("ALTER TABLE msg_system_health DROP COLUMN component", "msg_system_health: component"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_what_was_dropped_is_made_again_as_it_was(migrated: DatabaseConfig, how: str) -> None:
    db = Database(migrated)
    statement, named = DAMAGE[how]
    before = _definitions(db)
    run(db, "INSERT INTO usr_users (email) VALUES ('a@b')", statement)
    assert _definitions(db) != before
    assert named in [title for title, _ in migrate.damage(db)]
    assert migrate.upgrade(db).success
    assert _definitions(db) == before
    assert migrate.damage(db) == []
    db.dispose()


def _definitions(db: Database) -> list[tuple[str, ...]]:
    """Every column, rule and index as the server writes it, whatever the order of the columns."""
    with db.connect() as connection:
        return sorted(
            tuple(row)
            for row in connection.exec_driver_sql(
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = 'public'::regnamespace"
                " UNION ALL SELECT indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid)"
                " FROM pg_index WHERE indrelid::regclass::text !~ '^pg_'"
                " UNION ALL SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod) || attnotnull"
                " || coalesce(pg_get_expr(adbin, adrelid), '') FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
                " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
                " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped"
            )
        )


@pytest.mark.parametrize(
    "harm",
    [
        "CREATE TABLE trades_backup (LIKE trades INCLUDING ALL); ALTER TABLE trades DROP CONSTRAINT ck_trades_price",
        "ALTER TABLE trades DROP CONSTRAINT ck_trades_price,"
        " ADD CONSTRAINT ck_trades_price CHECK (price IS NULL) NOT VALID",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_trades_symbol_executed_at_id'::regclass",
    ],
    ids=["hidden by a copy", "not valid", "an index that was cut off"],
)
def test_a_rule_that_does_not_hold_is_made_again(migrated: DatabaseConfig, harm: str) -> None:
    database = Database(migrated)
    rules = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'trades'::regclass AND convalidated"
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'trades'::regclass AND indisvalid"

    def whole() -> tuple[int, ...]:
        with database.connect() as connection:
            return tuple(connection.exec_driver_sql(one).scalar_one() for one in (rules, indexes))

    before = whole()
    run(database, *harm.split("; "))
    assert whole() != before
    assert len(migrate.damage(database)) == 1
    assert migrate.upgrade(database).errors == []
    assert whole() == before
    assert migrate.damage(database) == []
    database.dispose()


def test_what_the_rows_forbid_is_left_and_named(migrated: DatabaseConfig) -> None:
    db = Database(migrated)
    run(
        db,
        "ALTER TABLE alerts DROP CONSTRAINT ck_alerts_severity",
        "INSERT INTO alerts (alert_type, severity) VALUES ('t', 'LOUD')",
        "ALTER TABLE alerts DROP COLUMN alert_type",
        "ALTER TABLE portfolios DROP COLUMN source",
    )
    result = migrate.upgrade(db)
    assert not result.success
    assert sorted(error.partition(":")[0] for error in result.errors) == [
        "alerts lacks alert_type",
        "alerts lacks ck_alerts_alert_type",
        "alerts lacks ck_alerts_severity",
    ]
    assert migrate.status(db).incomplete == {"alerts": ["alert_type"]}
    with db.connect() as connection:
        assert connection.exec_driver_sql("SELECT severity FROM alerts").scalars().all() == ["LOUD"]
    db.dispose()


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
