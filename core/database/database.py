"""A database through one role: transactions, bounds, and the place where driver errors are translated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.database.capabilities import Capabilities, capabilities
from core.database.clamped import clamped
from core.database.connection import (
    DRIVER_ERRORS,
    GRACE_S,
    PROOF_S,
    TO_THE_POOL,
    Connection,
    Deadlines,
    Limits,
    Observation,
    connect_parameters,
    preflight,
    tell,
)
from core.database.sqlite import Connection as SqliteConnection
from core.database.sqlite import bounded, sqlite_engine, writes_nothing
from core.errors import TradekeepError, classify
from core.resilience import LOGIN_TYPES, Breaker
from core.settings import DatabaseConfig

P = ParamSpec("P")
T = TypeVar("T")
PING_TIMEOUT_S = 5.0  # a ping ends also where statements may take as long as they like
# After these the wait was long, and the next caller's would be: the breaker opens at once.
SILENT = frozenset({"network.timeout", "service.silent"})
SILENT_FOR_S = 2.0
LATE_ALREADY = SILENT | {"transient.statement_timeout"}
READ_PAUSE_S = 0.02


class Base:
    """What the sync and the async Database share: limits, breakers, bounds, translation.

    breaker: the server's, shared by all its roles; failed logins are counted for this role alone.
    """

    backends: ClassVar[tuple[str, ...]] = ("postgresql", "sqlite")

    def __init__(
        self,
        config: DatabaseConfig,
        *,
        read_only: bool = False,
        limits: Limits | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        if config.backend not in self.backends:
            message = f"{type(self).__name__} works with PostgreSQL only, not with {config.label}."
            raise TradekeepError("config.unsupported", message)
        self.config, self.read_only, self.limits = config, read_only, limits or Limits()
        self.backend = config.backend
        self.breaker = breaker or Breaker()
        self.login = Breaker(types=LOGIN_TYPES)

    @property
    def name(self) -> str:
        """user@host:port/database, safe to show."""
        return self.config.label

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{' read only' if self.read_only else ''}>"

    def refusal(self) -> TradekeepError | None:
        """The error with which a call would be refused now, because server or login just failed."""
        return self.breaker.refusal() or self.login.refusal()

    def trip(self, error: TradekeepError, for_s: float) -> None:
        """Refuse calls for that long with this error, where it says that server or login cannot be used."""
        self.breaker.trip(error, for_s)
        self.login.trip(error, for_s)

    def pool_options(self) -> dict[str, Any]:
        """What create_engine is told of the pool; the password is in the creator alone."""
        return {
            "pool_size": self.limits.pool_size,
            "max_overflow": self.limits.max_overflow,
            "pool_timeout": self.limits.pool_timeout_s,
            "pool_recycle": self.limits.pool_recycle_s,
            "pool_use_lifo": True,
            "hide_parameters": True,
            "echo": self.limits.echo,
        }

    def opening(self, statement_timeout_s: float | None, *, read_only: bool = False) -> str:
        """BEGIN and what bounds the transaction, as one message, which costs one round trip and proves the connection.

        SET LOCAL, because a pooler refuses start-up options. The search path is pinned, or a schema that is named
        like the role would catch our tables, and somebody's functions could stand before PostgreSQL's.
        """
        ms = 0 if statement_timeout_s is None else max(1, round(statement_timeout_s * 1000))
        begin = "BEGIN READ ONLY" if read_only or self.read_only else "BEGIN"
        return f"{begin}; SET LOCAL statement_timeout = {ms}; SET LOCAL search_path = public"

    def timeout_s(self, asked: float | None) -> float | None:
        """The statement timeout of a transaction: -1 stands for the limits' own."""
        return self.limits.statement_timeout_s if asked == -1 else asked

    def ping_timeout_s(self) -> float:
        """The statement timeout of a ping."""
        return self.limits.statement_timeout_s or PING_TIMEOUT_S

    def bind(self, driver: Deadlines, timeout_s: float | None, until: float | None) -> None:
        """Give the waits of this transaction their ends."""
        driver.deadline_s, driver.until = None if timeout_s is None else timeout_s + GRACE_S, until

    def release(self, driver: Deadlines) -> None:
        """Back to what holds between transactions: the next one's BEGIN shows soon whether the connection lives."""
        driver.deadline_s, driver.until, driver.kept = PROOF_S, None, True

    def check(self) -> None:
        """Raise the error that opened a breaker, if one is open."""
        self.breaker.check()
        self.login.check()

    def answered(self) -> None:
        """Close the breakers: the server let this role in and answered."""
        self.breaker.succeeded()
        self.login.succeeded()

    def translated(self, exc: BaseException, begin: float, *, broken: bool) -> TradekeepError:
        """The error to raise; where no connection came about or one broke, the breakers hear of it."""
        error = classify(exc, self.config)
        if self.read_only and error.kind == "permission.read_only_file":
            error = TradekeepError("config.read_only", "This connection only reads; the demo's data is never changed.")
        tell(Observation("error", self.name, (time.perf_counter() - begin) * 1000, error))
        if broken:
            self.breaker.failed(error)
            self.login.failed(error)
        if broken and error.kind in SILENT:
            self.trip(error, SILENT_FOR_S)
        return error


def pin_schema(engine: sa.Engine) -> None:
    """Have SQLAlchemy not ask current_schema(): it would before the search path is pinned, of anybody's function."""
    engine.dialect._get_default_schema_name = lambda connection: "public"  # type: ignore[method-assign]


class Database(Base):
    """One database through one role: a lazily made engine, transactions, and what the server can do.

    As a context manager it closes its connections at the end.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    @cached_property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine; connections are made by `creator`, so that it never knows the password."""
        if self.backend == "sqlite":
            return sqlite_engine(self.config, read_only=self.read_only, echo=self.limits.echo)
        engine = sa.create_engine("postgresql+psycopg://", creator=self._new_connection, **self.pool_options())
        pin_schema(engine)

        @sa.event.listens_for(engine, "checkin")
        def returned(connection: Any, _record: Any) -> None:
            if connection is not None:
                self.release(connection)

        return engine

    def _new_connection(self) -> Connection:
        begin = time.perf_counter()
        preflight(self.config)
        connection = Connection.connect(**connect_parameters(self.config, self.limits), **TO_THE_POOL)
        # Another server version or role may answer now than at the time of the last connection.
        self.__dict__.pop("capabilities", None)
        tell(Observation("connect", self.name, (time.perf_counter() - begin) * 1000))
        return connection

    @contextmanager
    def connect(
        self,
        *,
        statement_timeout_s: float | None = -1,
        read_only: bool = False,
        force: bool = False,
        until: float | None = None,
    ) -> Iterator[sa.Connection]:
        """A Connection in one transaction: committed at the end, rolled back on any error.

        statement_timeout_s: for this transaction; None lifts it (long work). read_only: it can write nothing, even
        where the role could. force: try even if a breaker is open. until: when all statements together must be
        over, as time.monotonic(). Raises TradekeepError.
        """
        if not force:
            self.check()
        begin = time.perf_counter()
        try:
            connection = self._opened(self.timeout_s(statement_timeout_s), until, read_only=read_only)
        except (*DRIVER_ERRORS, OSError) as exc:
            raise self.translated(exc, begin, broken=True) from None
        driver = connection.connection.driver_connection
        try:
            with connection, writes_nothing(connection) if read_only else nullcontext():
                self.answered()
                yield connection
                connection.commit()
        except DRIVER_ERRORS as exc:
            broken = isinstance(driver, Connection) and driver.closed
            error = self.translated(exc, begin, broken=broken)
            if error.kind == "transient.cancelled" and isinstance(driver, SqliteConnection) and driver.clock.late():
                error = TradekeepError("transient.statement_timeout", details=error.details)
            raise error from None

    def _opened(self, timeout_s: float | None, until: float | None, *, read_only: bool) -> sa.Connection:
        """A connection in an open transaction; a kept one that died meanwhile is replaced, invisibly."""
        while True:
            connection = self.engine.connect()
            driver = connection.connection.driver_connection
            if not isinstance(driver, Connection):
                clock = bounded(connection)
                clock.timeout_s, clock.until = timeout_s, until
                return connection
            if not driver.kept:
                self.bind(driver, timeout_s, until)
            try:
                connection.exec_driver_sql(self.opening(timeout_s, read_only=read_only) + driver.styles)
            except BaseException:
                connection.close()
                if driver.kept and driver.closed:
                    continue
                raise
            self.bind(driver, timeout_s, until)
            return connection

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
        """question(connection, ...), asked once more, invisibly, after what may pass: a connection cut, a lock.

        It can write nothing. Over within one connect and one statement timeout, whatever the server does: no second
        try after a deadline. Times that Python cannot hold come as its first or last days.
        """

        def asked(connection: sa.Connection) -> T:
            return question(connection, *args, **kwargs)

        def within(connection: sa.Connection) -> T:
            with clamped(connection):
                return asked(connection)

        try:
            return self.ask_exactly(asked)
        except TradekeepError as error:
            if error.kind != "data.time":
                raise
        return self.ask_exactly(within)

    def ask_exactly(self, question: Callable[[sa.Connection], T]) -> T:
        """As ask, but raises data.time for a time that Python cannot hold."""
        timeout_s = self.limits.statement_timeout_s
        until = None if timeout_s is None else time.monotonic() + self.limits.connect_timeout_s + timeout_s + GRACE_S

        def once() -> T:
            with self.connect(until=until, read_only=True) as connection:
                return question(connection)

        try:
            return once()
        except TradekeepError as error:
            passing = error.retryable and error.error_type in ("service", "transient")
            late = error.kind in LATE_ALREADY or (until is not None and time.monotonic() > until)
            if not passing or late or self.refusal():
                raise
        time.sleep(READ_PAUSE_S)
        return once()

    def ping(self, *, force: bool = False) -> float:
        """How long `SELECT 1` takes, in ms, a connection from the pool included. Raises TradekeepError."""
        begin = time.perf_counter()
        with self.connect(force=force, statement_timeout_s=self.ping_timeout_s()) as connection:
            connection.exec_driver_sql("SELECT 1")
        ms = (time.perf_counter() - begin) * 1000
        tell(Observation("ping", self.name, ms))
        return ms

    @cached_property
    def capabilities(self) -> Capabilities:
        """What server and role can do, read once for as long as the connections last."""
        with self.connect() as connection:
            return capabilities(connection, self.backend)

    def dispose(self) -> None:
        """Close every pooled connection; the next use opens new ones."""
        if "engine" in self.__dict__:
            self.engine.dispose()
