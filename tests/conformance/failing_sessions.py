"""Sessions that break or stand in each other's way, and what the exceptions must be classified as."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any

import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool

from core.settings import DatabaseConfig
from tests.conformance.lab import Failure, Lab, raised

Provoked = tuple[BaseException, DatabaseConfig | None]


def stopped(lab: Lab) -> Provoked:
    """A session of a server that is stopped."""
    cluster = lab.running()
    with contextlib.closing(cluster.connect()) as session:
        cluster.stop()
        return raised(lambda: session.execute("SELECT 1")), cluster.admin


def after_broken(lab: Lab) -> Provoked:
    """The next use of such a session."""
    cluster = lab.running()
    session = lab.stack.enter_context(contextlib.closing(cluster.connect()))
    cluster.stop()
    raised(lambda: session.execute("SELECT 1"))
    return raised(lambda: session.execute("SELECT 1")), None


def after_broken_cursor(lab: Lab) -> Provoked:
    """The same through a cursor, while the server runs again."""
    cluster = lab.running()
    cursor = lab.stack.enter_context(contextlib.closing(cluster.connect())).cursor()
    cluster.restart()
    raised(lambda: cursor.execute("SELECT 1"))
    return raised(lambda: cursor.execute("SELECT 1")), None


def backend_killed(lab: Lab) -> Provoked:
    """A backend that the system killed; the server recovers."""
    cluster = lab.running()
    with contextlib.closing(cluster.connect()) as session:
        os.kill(session.info.backend_pid, signal.SIGKILL)
        time.sleep(0.05)
        exc = raised(lambda: session.execute("SELECT 1"))
    cluster.restart("immediate")
    return exc, None


def bystander(lab: Lab) -> Provoked:
    """Another session of that server: what it is told comes as a warning, then the connection ends."""
    cluster = lab.running()
    with contextlib.closing(cluster.connect()) as session, contextlib.closing(cluster.connect()) as victim:
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        time.sleep(0.1)
        exc = raised(lambda: session.execute("SELECT 1"))
    cluster.restart("immediate")
    return exc, None


def shutting_down(lab: Lab) -> Provoked:
    """A new session while a smart shutdown waits for an old one."""
    cluster = lab.running()
    with contextlib.closing(cluster.connect()):
        assert cluster.pid
        os.kill(cluster.pid, signal.SIGTERM)
        time.sleep(0.1)
        exc = raised(cluster.connect)
    cluster.stop()
    return exc, None


def too_many(lab: Lab) -> Provoked:
    """One session more than max_connections."""
    cluster = lab.running()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            try:
                stack.enter_context(contextlib.closing(cluster.connect()))
            except psycopg.OperationalError as exc:
                return exc, cluster.admin
    raise AssertionError("no limit")


def terminated(lab: Lab) -> Provoked:
    """A session that an administrator ended; the server runs."""
    session = lab.session()
    lab.server.sql(f"SELECT pg_terminate_backend({session.info.backend_pid}, 1000)")
    return raised(lambda: session.execute("SELECT 1")), lab.server.admin


def closed_here(lab: Lab) -> Provoked:
    session = lab.session()
    session.close()
    return raised(lambda: session.execute("SELECT 1")), lab.server.admin


def pool_used_up(lab: Lab) -> Provoked:
    """The only connection of SQLAlchemy's pool is out."""
    engine = create_engine(lab.config().url("psycopg"), pool_size=1, max_overflow=0, pool_timeout=0.1)
    assert isinstance(engine.pool, QueuePool)
    with engine.connect():
        exc = raised(engine.connect)
    engine.dispose()
    return exc, lab.config()


def pool_server_down(lab: Lab) -> Provoked:
    """SQLAlchemy's own exception around the driver's."""
    engine = create_engine(lab.config(host="127.0.0.3").url("psycopg"))
    exc = raised(engine.connect)
    engine.dispose()
    return exc, None


def sqlalchemy_statement(lab: Lab) -> Provoked:
    engine = create_engine(lab.config().url("psycopg"))
    with engine.connect() as connection:
        exc = raised(lambda: connection.execute(text("SELECT * FROM nope WHERE a = :a"), {"a": "private value"}))
    engine.dispose()
    return exc, None


def aborted(lab: Lab) -> Provoked:
    session = lab.session()
    session.autocommit = False
    raised(lambda: session.execute("SELECT nope"))
    return raised(lambda: session.execute("SELECT 1")), None


def locked(statement: str, *before: str) -> Any:
    """A statement that needs a lock which another session holds."""

    def provoke(lab: Lab) -> Provoked:
        holder, other = lab.session(), lab.session()
        holder.autocommit = False
        holder.execute("LOCK TABLE trades")
        for command in before:
            other.execute(command)  # type: ignore[call-overload]
        exc = raised(lambda: other.execute(statement))  # type: ignore[call-overload]
        holder.rollback()
        return exc, None

    return provoke


def deadlock(lab: Lab) -> Provoked:
    """Two sessions that update two rows in opposite order."""
    one, two = lab.session(), lab.session()
    found: list[BaseException] = []
    for session in (one, two):
        session.autocommit = False
        session.execute("SET LOCAL deadlock_timeout = '20ms'")
    one.execute("UPDATE trades SET code = 'a' WHERE id = 1")
    two.execute("UPDATE trades SET code = 'a' WHERE id = 2")

    def cross(session: psycopg.Connection[Any], row: int) -> None:
        try:
            session.execute("UPDATE trades SET code = 'b' WHERE id = %s", [row])
        except psycopg.Error as exc:
            found.append(exc)
        session.rollback()

    threads = [threading.Thread(target=cross, args=pair) for pair in ((one, 2), (two, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found[0], None


def serialization(lab: Lab) -> Provoked:
    """Two repeatable-read transactions that change one row."""
    one, two = lab.session(), lab.session()
    for session in (one, two):
        session.autocommit = False
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.execute("SELECT * FROM trades")
    one.execute("UPDATE trades SET code = 'a' WHERE id = 1")
    one.commit()
    exc = raised(lambda: two.execute("UPDATE trades SET code = 'b' WHERE id = 1"))
    two.rollback()
    return exc, None


def plan_changed(lab: Lab) -> Provoked:
    """A prepared SELECT * after a migration."""
    session, other = lab.session(), lab.session()
    session.execute("SELECT * FROM wide", prepare=True)
    session.execute("SELECT * FROM wide", prepare=True)
    other.execute("ALTER TABLE wide ADD COLUMN more int")
    exc = raised(lambda: session.execute("SELECT * FROM wide", prepare=True))
    other.execute("ALTER TABLE wide DROP COLUMN more")
    return exc, None


def idle(setting: str) -> Any:
    def provoke(lab: Lab) -> Provoked:
        session = lab.session()
        session.execute(f"SET {setting} = 30")  # type: ignore[call-overload]
        if "transaction" in setting:
            session.autocommit = False
            session.execute("SELECT 1")
        time.sleep(0.2)
        return raised(lambda: session.execute("SELECT 1")), lab.server.admin

    return provoke


def database_in_use(statement: str) -> Any:
    """CREATE or DROP DATABASE while somebody is connected: the server waits 5 s first, unless it is our own."""

    def provoke(lab: Lab) -> Provoked:
        session = lab.session()
        return raised(lambda: session.execute(statement)), None  # type: ignore[call-overload]

    return provoke


def wrong_parameters(lab: Lab) -> Provoked:
    session = lab.session()
    return raised(lambda: session.execute("SELECT %s, %s", [1])), None


def no_form(lab: Lab) -> Provoked:
    session = lab.session()
    return raised(lambda: session.execute("SELECT %s", [object()])), None


def nul(lab: Lab) -> Provoked:
    session = lab.session()
    return raised(lambda: session.execute("SELECT %s::text", ["a\0b"])), None


def untranslatable(lab: Lab) -> Provoked:
    session = lab.session()
    session.execute("SET client_encoding = latin1")
    return raised(lambda: session.execute("SELECT %s", ["ℝ"])), None


FAILURES = [
    Failure("srv_fast_shutdown_session", stopped, "service.stopped"),
    Failure("srv_after_broken", after_broken, "service.lost"),
    Failure("srv_after_broken_cursor", after_broken_cursor, "service.lost"),
    Failure("srv_backend_sigkill_victim", backend_killed, "service.lost"),
    Failure("srv_backend_sigkill_bystander", bystander, "service.lost"),
    Failure("srv_shutting_down", shutting_down, "service.shutting_down"),
    Failure("limit_max_connections", too_many, "resource.connections"),
    Failure("srv_terminated_idle", terminated, "transient.terminated"),
    Failure("client_closed_connection", closed_here, "config.closed_here"),
    Failure("pool_exhausted_sqlalchemy", pool_used_up, "resource.pool"),
    Failure("pool_server_down_sqlalchemy", pool_server_down, "service.refused"),
    Failure("sqlalchemy_undefined_table", sqlalchemy_statement, "schema.missing_table"),
    Failure("aborted_transaction", aborted, "config.aborted_transaction"),
    Failure("lock_nowait", locked("DO 'BEGIN LOCK TABLE trades NOWAIT; END'"), "transient.lock"),
    Failure("lock_timeout", locked("SELECT * FROM trades", "SET lock_timeout = 20"), "transient.lock"),
    Failure("deadlock", deadlock, "transient.deadlock"),
    Failure("serialization_failure", serialization, "transient.serialization"),
    Failure("cached_plan_changed", plan_changed, "schema.changed"),
    Failure("idle_session_timeout", idle("idle_session_timeout"), "transient.idle"),
    Failure("idle_in_transaction", idle("idle_in_transaction_session_timeout"), "transient.idle"),
    Failure("cannot_drop_current_db", database_in_use("DROP DATABASE app"), "schema.in_use"),
    Failure("duplicate_database", database_in_use("CREATE DATABASE app"), "schema.database_exists"),
    Failure(
        "create_db_bad_encoding",
        database_in_use("CREATE DATABASE x ENCODING 'LATIN1' TEMPLATE template1"),
        "schema.encoding",
    ),
    Failure(
        "create_db_bad_locale",
        database_in_use("CREATE DATABASE x LOCALE 'xx_XX.UTF-8' TEMPLATE template0"),
        "schema.encoding",
    ),
    Failure("client_wrong_parameters", wrong_parameters, "config.program"),
    Failure("client_no_form", no_form, "data.adapt"),
    Failure("data_nul", nul, "data.nul"),
    Failure("data_untranslatable", untranslatable, "data.encoding"),
]
