"""A database through one role: transactions, bounds, and the place where driver errors are translated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.database.capabilities import Capabilities, capabilities
from core.database.connection import (
    DRIVER_ERRORS,
    Connection,
    Limits,
    Observation,
    connect_parameters,
    preflight,
    tell,
)
from core.database.sqlite import sqlite_engine
from core.errors import TradekeepError, classify
from core.resilience import Breaker
from core.settings import DatabaseConfig

P = ParamSpec("P")
T = TypeVar("T")
GRACE_S = 2.0  # how much longer than the server's own statement timeout the client waits for an answer


class Base:
    """What the sync and the async Database share."""

    def __init__(self, config: DatabaseConfig, *, read_only: bool, limits: Limits, breaker: Breaker | None) -> None:
        self.config, self.read_only, self.limits = config, read_only, limits
        self.backend = config.backend
        self.breaker = breaker or Breaker()

    @property
    def name(self) -> str:
        """user@host:port/database, safe to show."""
        return self.config.label

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{' read only' if self.read_only else ''}>"

    def bounds(self, statement_timeout_s: float | None) -> tuple[str, tuple[str, ...]]:
        """One statement that bounds this transaction; SET LOCAL, because a pooler refuses start-up options."""
        ms = "0" if statement_timeout_s is None else str(max(1, round(statement_timeout_s * 1000)))
        sql, values = "SELECT set_config('statement_timeout', %s, true)", [ms]
        if self.read_only:
            sql += ", set_config('transaction_read_only', 'on', true)"
        return sql, tuple(values)

    def translated(self, exc: BaseException, begin: float) -> TradekeepError:
        error = classify(exc, self.config)
        tell(Observation("error", self.name, (time.perf_counter() - begin) * 1000, error))
        return error


class Database(Base):
    """One database through one role: a lazily made engine, transactions, and what the server can do."""

    def __init__(
        self,
        config: DatabaseConfig,
        *,
        read_only: bool = False,
        limits: Limits | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        super().__init__(config, read_only=read_only, limits=limits or Limits(), breaker=breaker)

    @cached_property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine; connections are made by `creator`, so that it never knows the password."""
        if self.backend == "sqlite":
            return sqlite_engine(self.config, read_only=self.read_only, echo=self.limits.echo)
        engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=self._new_connection,
            pool_size=self.limits.pool_size,
            max_overflow=self.limits.max_overflow,
            pool_timeout=self.limits.pool_timeout_s,
            pool_recycle=self.limits.pool_recycle_s,
            pool_pre_ping=True,
            pool_use_lifo=True,
            hide_parameters=True,
            echo=self.limits.echo,
        )

        @sa.event.listens_for(engine, "checkin")
        def short_deadline(connection: Any, _record: Any) -> None:
            if connection is not None:
                connection.deadline_s = self.limits.connect_timeout_s

        return engine

    def _new_connection(self) -> Connection:
        begin = time.perf_counter()
        preflight(self.config)
        connection = Connection.connect(**connect_parameters(self.config, self.limits), prepare_threshold=None)
        connection.deadline_s = self.limits.connect_timeout_s
        tell(Observation("connect", self.name, (time.perf_counter() - begin) * 1000))
        return connection

    @contextmanager
    def connect(self, *, statement_timeout_s: float | None = -1, force: bool = False) -> Iterator[sa.Connection]:
        """A Connection in one transaction: committed at the end, rolled back on any error.

        statement_timeout_s: for this transaction; None lifts it (long work). force: try even if the breaker is
        open. Raises TradekeepError.
        """
        timeout_s = self.limits.statement_timeout_s if statement_timeout_s == -1 else statement_timeout_s
        if not force:
            self.breaker.check()
        begin = time.perf_counter()
        try:
            connection = self.engine.connect()
        except (*DRIVER_ERRORS, OSError) as exc:
            error = self.translated(exc, begin)
            self.breaker.failed(error)
            raise error from None
        self.breaker.succeeded()
        try:
            with connection:
                self._bound(connection, timeout_s)
                yield connection
                connection.commit()
        except DRIVER_ERRORS as exc:
            raise self.translated(exc, begin) from None

    def _bound(self, connection: sa.Connection, timeout_s: float | None) -> None:
        driver = connection.connection.driver_connection
        if isinstance(driver, Connection):
            driver.deadline_s = None if timeout_s is None else timeout_s + GRACE_S
            connection.exec_driver_sql(*self.bounds(timeout_s))

    @contextmanager
    def begin(self, *, statement_timeout_s: float | None = -1) -> Iterator[Session]:
        """A Session in one transaction: committed at the end, rolled back on any error. Raises TradekeepError."""
        with (
            self.connect(statement_timeout_s=statement_timeout_s) as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise

    def ask(self, question: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """question(connection, ...), asked once more, invisibly, when a pooled connection turns out to be dead."""
        try:
            with self.connect() as connection:
                return question(connection, *args, **kwargs)
        except TradekeepError as error:
            if not (error.retryable and error.error_type in ("service", "transient")):
                raise
        with self.connect() as connection:
            return question(connection, *args, **kwargs)

    def ping(self, *, force: bool = False) -> float:
        """How long `SELECT 1` takes, in ms, a connection from the pool included. Raises TradekeepError."""
        begin = time.perf_counter()
        with self.connect(force=force) as connection:
            connection.exec_driver_sql("SELECT 1")
        ms = (time.perf_counter() - begin) * 1000
        tell(Observation("ping", self.name, ms))
        return ms

    @cached_property
    def capabilities(self) -> Capabilities:
        """What server and role can do, read once."""
        with self.connect() as connection:
            return capabilities(connection, self.backend)

    def dispose(self) -> None:
        """Close every pooled connection; the next use opens new ones."""
        if "engine" in self.__dict__:
            self.engine.dispose()
