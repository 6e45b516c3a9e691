"""SQLite, as tests, demo mode and the metrics store use it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from core.settings import DatabaseConfig

LOOKED_EVERY = 100_000  # instructions of SQLite's machine: about a millisecond


class Clock:
    """When the statements of a transaction have to end; SQLite has no time-out of its own."""

    timeout_s: float | None = None  # of each statement
    until: float | None = None  # of all of them together, as time.monotonic()
    _ends = float("inf")

    def begin(self) -> None:
        """A statement begins."""
        ends = float("inf") if self.timeout_s is None else time.monotonic() + self.timeout_s
        self._ends = ends if self.until is None else min(ends, self.until)

    def late(self) -> bool:
        """Whether SQLite is to give the statement up; it asks by itself."""
        return time.monotonic() > self._ends


class Connection(sqlite3.Connection):
    """A connection whose every statement ends."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock = Clock()
        self.set_progress_handler(self.clock.late, LOOKED_EVERY)


def sqlite_engine(config: DatabaseConfig, *, read_only: bool, echo: bool = False) -> sa.Engine:
    """SQLite with real transactions: the driver's own are off, BEGIN is ours, so that DDL rolls back.

    Source: SQLAlchemy manual, "SQLite, serializable isolation / savepoints / transactional DDL".
    """
    memory = config.database in ("", ":memory:")

    def creator() -> sqlite3.Connection:
        kept: dict[str, Any] = {"check_same_thread": False, "isolation_level": None, "factory": Connection}
        if memory:
            return sqlite3.connect(":memory:", **kept)
        mode = "ro" if read_only else "rwc"
        uri = f"file:{quote(config.database)}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=10, **kept)

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

    @sa.event.listens_for(engine, "before_cursor_execute")
    def starts(connection: sa.Connection, *_: Any) -> None:
        bounded(connection).begin()

    return engine


def bounded(connection: sa.Connection) -> Clock:
    """The clock of a connection to SQLite."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, Connection)
    return driver.clock


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
