"""Transactions, bounds and translation of errors, on a real server that is also stopped, killed and suspended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from core.database import AsyncDatabase, Database, Databases, Limits, Observation, observe, session
from core.database.connection import preflight
from core.errors import TradekeepError
from core.resilience import Breaker
from core.settings import DatabaseConfig, load_settings
from tests.servers import Cluster

T = TypeVar("T")


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread: the browser's driver keeps a loop in this one once a browser test has run here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def one(connection: sa.Connection) -> int:
    return connection.exec_driver_sql("SELECT 1").scalar_one()


def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(db: Database) -> None:
    with db.begin() as session_:
        session_.execute(sa.text("INSERT INTO telegram_settings (key, value) VALUES ('a', '1')"))
    with pytest.raises(ValueError, match="mine"), db.begin() as session_:
        session_.execute(sa.text("INSERT INTO telegram_settings (key, value) VALUES ('b', '1')"))
        raise ValueError("mine")
    with db.connect() as connection:
        assert connection.exec_driver_sql("SELECT key FROM telegram_settings").scalars().all() == ["a"]


def test_ddl_rolls_back_too(db: Database) -> None:
    with pytest.raises(ValueError), db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE half (a int)")
        raise ValueError
    with db.connect() as connection:
        assert not sa.inspect(connection).has_table("half")


def test_driver_errors_come_out_translated_and_without_a_trace_of_the_driver(db: Database) -> None:
    with pytest.raises(TradekeepError) as caught, db.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM nowhere")
    assert caught.value.error_type == "schema"
    assert caught.value.__cause__ is None


def test_a_read_only_database_refuses_to_write(migrated: DatabaseConfig, migrated_sqlite: DatabaseConfig) -> None:
    for config in (migrated, migrated_sqlite):
        database = Database(config, read_only=True)
        with pytest.raises(TradekeepError), database.connect() as connection:
            connection.exec_driver_sql("INSERT INTO telegram_settings (key) VALUES ('a')")
        assert database.ask(one) == 1
        database.dispose()


def test_a_statement_ends_at_its_timeout(pg_database: DatabaseConfig) -> None:
    database = Database(pg_database, limits=Limits(statement_timeout_s=0.2))
    begin = time.monotonic()
    with pytest.raises(TradekeepError) as caught, database.connect() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(10)")
    assert caught.value.error_type == "transient"
    assert time.monotonic() - begin < 3
    with database.connect(statement_timeout_s=None) as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"
    database.dispose()


def test_a_suspended_server_ends_the_wait_on_the_client_side(own_cluster: Cluster) -> None:
    database = Database(own_cluster.admin, limits=Limits(statement_timeout_s=0.5))
    assert database.ask(one) == 1
    own_cluster.suspend()
    begin = time.monotonic()
    try:
        with pytest.raises(TradekeepError) as caught:
            database.ping()
    finally:
        own_cluster.resume()
    assert time.monotonic() - begin < 5
    assert caught.value.error_type in ("service", "network", "transient")
    database.breaker.succeeded()
    assert database.ask(one) == 1
    database.dispose()


def test_a_dead_pooled_connection_is_replaced_invisibly(own_cluster: Cluster) -> None:
    database = Database(own_cluster.admin)
    assert database.ask(one) == 1
    own_cluster.restart()
    assert database.ask(one) == 1
    database.dispose()


def test_a_stopped_server_is_refused_fast_and_found_again(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[DatabaseConfig] = []

    def counted(config: DatabaseConfig) -> None:
        attempts.append(config)
        preflight(config)

    monkeypatch.setattr("core.database.database.preflight", counted)
    database = Database(own_cluster.admin)
    own_cluster.stop()
    for _ in range(2):
        with pytest.raises(TradekeepError) as caught:
            database.ping()
        assert caught.value.kind == "service.refused"
    for _ in range(100):
        with pytest.raises(TradekeepError):
            database.ask(one)
    assert len(attempts) < 10  # two open the breaker; on a slow machine one more after 1, 2, 4 ... s
    own_cluster.start()
    assert database.ping(force=True) > 0
    assert database.ask(one) == 1
    database.dispose()


def test_a_host_that_does_not_answer_is_found_by_the_preflight() -> None:
    database = Database(DatabaseConfig(host="127.0.0.1", port=1, database="x", user="x"))
    begin = time.monotonic()
    with pytest.raises(TradekeepError):
        database.ping()
    assert time.monotonic() - begin < 2


def test_the_password_is_nowhere_in_the_engine(pg_database: DatabaseConfig) -> None:
    assert pg_database.password is not None
    secret = pg_database.password.get_secret_value()
    database = Database(pg_database)
    database.ping()
    assert secret not in repr(database) + repr(database.engine) + str(database.engine.url) + repr(database.engine.pool)
    database.dispose()


def test_capabilities_say_what_the_role_may(pg_database: DatabaseConfig, migrated_sqlite: DatabaseConfig) -> None:
    database = Database(pg_database)
    found = database.capabilities
    assert (found.backend, found.superuser, found.create_role, found.in_recovery) == ("postgresql", True, True, False)
    assert found.version_number >= 140000
    database.dispose()
    assert Database(migrated_sqlite).capabilities.backend == "sqlite"


def test_observers_hear_of_connects_pings_and_errors(pg_database: DatabaseConfig) -> None:
    heard: list[Observation] = []
    observe(heard.append)
    database = Database(pg_database)
    database.ping()
    with pytest.raises(TradekeepError), database.connect() as connection:
        connection.exec_driver_sql("SELECT nonsense")
    mine = [o.what for o in heard if o.database == database.name]
    assert mine == ["connect", "ping", "error"]
    database.dispose()


def test_autocommit_sessions_translate_errors(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(TradekeepError) as caught, session(pg_database.replace(password="wrong")):
        pass
    assert caught.value.error_type == "auth"


def test_async_has_the_same_rules(migrated: DatabaseConfig) -> None:
    async def journey() -> list[str]:
        database = AsyncDatabase(migrated)
        async with database.begin() as session_:
            await session_.execute(sa.text("INSERT INTO telegram_settings (key) VALUES ('a')"))
        with pytest.raises(TradekeepError) as caught:
            async with database.connect() as connection:
                await connection.exec_driver_sql("SELECT * FROM nowhere")
        assert caught.value.error_type == "schema"
        async with database.connect() as connection:
            rows = (await connection.exec_driver_sql("SELECT key FROM telegram_settings")).scalars().all()
        assert await database.ping() > 0
        await database.dispose()
        return list(rows)

    assert in_a_loop(journey()) == ["a"]


def test_the_environment_does_not_lead_to_another_server(
    pg_database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.9")  # where the test's server does not listen

    async def asynchronously() -> int:
        database = AsyncDatabase(pg_database)
        async with database.connect() as connection:
            found = (await connection.exec_driver_sql("SELECT 1")).scalar_one()
        await database.dispose()
        return found

    database = Database(pg_database)
    assert database.ask(one) == 1
    database.dispose()
    with session(pg_database) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert in_a_loop(asynchronously()) == 1


def test_one_role_is_one_database(home, pg_database: DatabaseConfig) -> None:  # type: ignore[no-untyped-def]
    from core import envfile

    settings = load_settings()
    envfile.set_values(settings.project / ".env.local", {"DATABASE_URL": pg_database.url()})
    databases = Databases.from_settings(load_settings())
    assert databases.reader is databases.writer is databases.owner
    databases.dispose()


def test_without_a_configuration_the_error_says_what_to_do(home) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TradekeepError) as caught:
        Databases.from_settings(load_settings())
    assert caught.value.kind == "config.no_database"


def test_a_question_to_a_suspended_server_ends_once_and_the_next_caller_does_not_wait(own_cluster: Cluster) -> None:
    database = Database(own_cluster.admin)
    assert database.ask(one) == 1
    own_cluster.suspend()
    try:
        begin = time.monotonic()
        with pytest.raises(TradekeepError):
            database.ask(one)
        first_s = time.monotonic() - begin
        begin = time.monotonic()
        with pytest.raises(TradekeepError):
            database.ask(one)
        second_s = time.monotonic() - begin
    finally:
        own_cluster.resume()
    assert first_s < 5
    assert second_s < 0.2
    database.dispose()


def test_a_question_has_one_deadline_for_all_its_statements(pg_database: DatabaseConfig) -> None:
    database = Database(pg_database, limits=Limits(connect_timeout_s=0.1, statement_timeout_s=0.5))

    def slow(connection: sa.Connection) -> None:
        for _ in range(20):
            connection.exec_driver_sql("SELECT pg_sleep(0.4)")

    begin = time.monotonic()
    with pytest.raises(TradekeepError) as caught:
        database.ask(slow)
    assert time.monotonic() - begin < 4
    assert caught.value.kind == "transient.statement_timeout"
    assert database.refusal() is None
    database.dispose()


def test_a_connection_that_breaks_in_the_middle_counts_for_the_breaker(own_cluster: Cluster) -> None:
    database = Database(own_cluster.admin)
    database.breaker = Breaker(failures=1)
    with pytest.raises(TradekeepError) as caught, database.connect() as connection:
        own_cluster.stop("immediate")
        connection.exec_driver_sql("SELECT 1")
    assert caught.value.error_type == "service"
    assert database.refusal() is not None
    database.dispose()


def test_a_wrong_password_of_one_role_does_not_shut_out_the_others(pg_database: DatabaseConfig) -> None:
    shared = Breaker()
    good = Database(pg_database, breaker=shared)
    bad = Database(pg_database.replace(password="not-the-password"), breaker=shared)
    for _ in range(3):
        with pytest.raises(TradekeepError):
            bad.ping()
    assert bad.refusal() is not None
    assert good.refusal() is None
    assert good.ask(one) == 1
    good.dispose()


def test_a_ping_ends_also_without_a_statement_timeout(own_cluster: Cluster) -> None:
    database = Database(own_cluster.admin, limits=Limits(statement_timeout_s=None))
    with database.connect(statement_timeout_s=database.ping_timeout_s()) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.deadline_s is not None
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "5s"
    own_cluster.suspend()
    try:
        with pytest.raises(TradekeepError):
            database.ping()
    finally:
        own_cluster.resume()
    database.dispose()


def test_an_autocommit_session_ends_on_a_suspended_server(own_cluster: Cluster) -> None:
    begin = time.monotonic()
    try:
        with (
            pytest.raises(TradekeepError) as caught,
            session(own_cluster.admin, Limits(statement_timeout_s=0.1)) as connection,
        ):
            own_cluster.suspend()
            connection.execute("SELECT 1")
    finally:
        own_cluster.resume()
    assert time.monotonic() - begin < 5
    assert caught.value.retryable
    with session(own_cluster.admin, deadline_s=None) as connection:
        assert connection.deadline_s is None


def test_a_schema_named_like_the_role_does_not_catch_the_tables(pg_database: DatabaseConfig) -> None:
    database = Database(pg_database)
    with database.connect() as connection:
        connection.exec_driver_sql("CREATE SCHEMA postgres")
    with database.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE where_am_i (a int)")
        found = "SELECT schemaname FROM pg_tables WHERE tablename = 'where_am_i'"
        assert connection.exec_driver_sql(found).scalar_one() == "public"
    database.dispose()


def test_capabilities_are_read_again_after_a_reconnect(cluster: Cluster, pg_database: DatabaseConfig) -> None:
    name = pg_database.database
    cluster.sql("CREATE ROLE grows LOGIN PASSWORD 'grows-pw'")
    database = Database(cluster.config(name, user="grows", password="grows-pw"))
    assert not database.capabilities.create_role
    cluster.sql("ALTER ROLE grows CREATEROLE")
    database.dispose()
    database.ping()
    assert database.capabilities.create_role
    database.dispose()
    cluster.sql("DROP ROLE grows")


def test_async_ends_its_waits_and_knows_its_server(own_cluster: Cluster) -> None:
    async def journey() -> tuple[float, TradekeepError]:
        database = AsyncDatabase(own_cluster.admin, limits=Limits(statement_timeout_s=0.2))
        assert (await database.capabilities).superuser
        with pytest.raises(TradekeepError) as caught:
            async with database.connect() as connection:
                own_cluster.suspend()
                begin = time.monotonic()
                await connection.exec_driver_sql("SELECT 1")
        took_s = time.monotonic() - begin
        own_cluster.resume()
        await database.dispose()
        return took_s, caught.value

    took_s, error = in_a_loop(journey())
    assert took_s < 5
    assert error.retryable


def test_async_refuses_sqlite(migrated_sqlite: DatabaseConfig) -> None:
    with pytest.raises(TradekeepError) as caught:
        AsyncDatabase(migrated_sqlite)
    assert caught.value.error_type == "config"
