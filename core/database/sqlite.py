"""SQLite, as tests, demo mode and the metrics store use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from core.settings import DatabaseConfig


def sqlite_engine(config: DatabaseConfig, *, read_only: bool, echo: bool = False) -> sa.Engine:
    """SQLite with real transactions: the driver's own are off, BEGIN is ours, so that DDL rolls back.

    Source: SQLAlchemy manual, "SQLite, serializable isolation / savepoints / transactional DDL".
    """
    memory = config.database in ("", ":memory:")

    def creator() -> sqlite3.Connection:
        if memory:
            return sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        mode = "ro" if read_only else "rwc"
        uri = f"file:{quote(config.database)}?mode={mode}"
        return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=10)

    pool: dict[str, Any] = {"poolclass": StaticPool} if memory else {"poolclass": QueuePool, "pool_size": 5}
    engine = sa.create_engine("sqlite://", creator=creator, hide_parameters=True, echo=echo, **pool)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if read_only:
            connection.execute("PRAGMA query_only = ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


@contextmanager
def writes_nothing(connection: sa.Connection) -> Iterator[None]:
    """Take the right to write from a connection to SQLite while the block runs; PostgreSQL is told when it begins."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection) or driver.execute("PRAGMA query_only").fetchone()[0]:
        yield
        return
    driver.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        driver.execute("PRAGMA query_only = OFF")
