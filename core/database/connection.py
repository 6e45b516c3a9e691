"""How connections are made: limits, libpq's keywords, a knock before, and a deadline on every wait."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg.errors import _WaitTimeout  # public only as the timeout argument of Connection.wait

from core.errors import TradekeepError, classify
from core.probe import LATE, reach
from core.settings import DatabaseConfig

if TYPE_CHECKING:
    from core.settings import Settings

DRIVER_ERRORS = (sa.exc.SQLAlchemyError, psycopg.Error, sqlite3.Error, UnicodeError)
PREFLIGHT_LOCAL_S, PREFLIGHT_REMOTE_S = 0.25, 1.0
LOOK_UP_S = 4.0  # what a name lookup may take, before the time to connect begins
PROOF_S = 0.5  # a kept connection that does not take a new transaction within this is replaced
# Transactions are begun by hand, with their bounds in the same message; nothing is prepared, poolers mix that up.
TO_THE_POOL: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}
GRACE_S = 2.0  # how much longer than the server's own statement timeout the client waits for an answer


@dataclass(frozen=True)
class Limits:
    """Pool sizes and time-outs of one engine; a time-out of None means "as long as it takes"."""

    pool_size: int = 5
    max_overflow: int = 10
    pool_timeout_s: float = 5.0
    pool_recycle_s: float = 1800.0
    connect_timeout_s: float = 2.0
    statement_timeout_s: float | None = 5.0
    echo: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that the settings ask for."""
        return cls(
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout_s=settings.pool_timeout_s,
            pool_recycle_s=settings.pool_recycle_s,
            connect_timeout_s=settings.connect_timeout_s,
            statement_timeout_s=settings.statement_timeout_s or None,
            echo=settings.sql_echo,
        )


@dataclass(frozen=True)
class Observation:
    """One thing that happened to a Database: what is "connect", "ping" or "error"."""

    what: str
    database: str
    ms: float
    error: TradekeepError | None = None


_observers: list[Callable[[Observation], None]] = []


def observe(observer: Callable[[Observation], None]) -> None:
    """Have observer called after each connect, ping and error; it must be quick and must not raise."""
    if observer not in _observers:
        _observers.append(observer)


def tell(observation: Observation) -> None:
    for observer in _observers:
        observer(observation)


class Deadlines:
    """The ends of a connection's waits: a suspended server answers to no time-out of its own.

    deadline_s: for each wait, None for "as long as it takes". until: for all of them together, as time.monotonic().
    kept: it comes from the pool, and may have died there.
    """

    pgconn: Any
    deadline_s: float | None = None
    until: float | None = None
    kept: bool = False

    @property
    def styles(self) -> str:
        """What has a transaction write times so that the driver can read them; "" where the server does already.

        Role, database or server may ask for others (datestyle 'German'). The server reports them by itself.
        """
        asked = self.pgconn.parameter_status
        dates, intervals = asked(b"DateStyle") or b"ISO", asked(b"IntervalStyle") or b"postgres"
        pinned = "" if dates.startswith(b"ISO") else "; SET LOCAL datestyle = 'ISO'"
        return pinned + ("" if intervals == b"postgres" else "; SET LOCAL intervalstyle = 'postgres'")

    def allowed_s(self, timeout: float | None) -> float | None:
        """How long the next wait may take; timeout is what its caller asks for."""
        if timeout is not None:
            return timeout
        if self.until is None:
            return self.deadline_s
        left_s = max(0.01, self.until - time.monotonic())
        return left_s if self.deadline_s is None else min(left_s, self.deadline_s)

    def overdue(self, limit: float | None) -> psycopg.Error:
        """Close the connection, which holds half an answer now; the error to raise."""
        self.pgconn.finish()
        if limit is not None and self.deadline_s is not None and limit < self.deadline_s:
            # The statements before took the time: the server answers, only not fast enough.
            return psycopg.errors.QueryCanceled("canceling statement due to statement timeout (client deadline)")
        return psycopg.OperationalError(f"timeout expired: no answer from the server within {limit or 0:g} s")


class Connection(Deadlines, psycopg.Connection[Any]):
    """A connection whose every wait ends."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit = self.allowed_s(timeout)
        try:
            return super().wait(gen, interval, limit)
        except _WaitTimeout:
            if timeout is not None:
                raise
            raise self.overdue(limit) from None


def connect_parameters(config: DatabaseConfig, limits: Limits | None = None) -> dict[str, Any]:
    """libpq's keywords for this configuration, with our defaults for what it leaves open."""
    limits = limits or Limits()
    defaults = {
        "connect_timeout": str(max(2, round(limits.connect_timeout_s))),
        "tcp_user_timeout": "3000",
        "keepalives": "1",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "application_name": "tradekeep",
        "client_encoding": "utf8",  # role, database or environment may ask for one that lacks most letters
    }
    given = config.libpq_params()
    if given.get("host"):
        defaults["hostaddr"] = ""  # else libpq takes PGHOSTADDR from the environment, which leads to another server
    return defaults | given


def preflight(config: DatabaseConfig) -> None:
    """Raise OSError within a moment if no host of this configuration takes a TCP connection."""
    if config.backend != "postgresql" or "service" in config.options or not config.host:
        return
    hosts = (config.options.get("hostaddr") or config.host).split(",")
    ports = (config.port_text or str(config.port or 5432)).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    answer = None
    for host, port in zip(hosts, ports, strict=False):
        local = host.startswith(("/", "127.")) or host in ("localhost", "::1")
        if not (port or "5432").isdigit():
            return  # libpq words this better
        within_s = PREFLIGHT_LOCAL_S if local else PREFLIGHT_REMOTE_S
        answer = reach(host, int(port or 5432), within_s, look_up_s=LOOK_UP_S)
        if answer.ok:
            return
    if answer is not None and answer.state == "timeout":
        raise TimeoutError(f"no answer from {hosts[-1]} port {ports[-1]} to a TCP connection")
    if answer is not None and answer.message == LATE:  # the driver would wait for as long as the resolver takes
        raise socket.gaierror(socket.EAI_AGAIN, f"failed to resolve host '{hosts[-1]}': {LATE}")


@contextmanager
def session(
    config: DatabaseConfig, limits: Limits | None = None, *, deadline_s: float | None = -1
) -> Iterator[Connection]:
    """One psycopg connection in autocommit, for what no transaction may hold (CREATE DATABASE) and for COPY.

    deadline_s: for each wait; by default the limits' statement timeout and a moment more, None lifts it; the
    connection's own `deadline_s` can be set in between. Raises TradekeepError for every driver error inside the block.
    """
    limits = limits or Limits()
    if deadline_s == -1:
        deadline_s = None if limits.statement_timeout_s is None else limits.statement_timeout_s + GRACE_S
    try:
        preflight(config)
        connection = Connection.connect(**connect_parameters(config, limits), autocommit=True, prepare_threshold=None)
    except (*DRIVER_ERRORS, OSError) as exc:
        raise classify(exc, config) from None
    connection.deadline_s = deadline_s
    try:
        with connection:
            yield connection
    except DRIVER_ERRORS as exc:
        raise classify(exc, config) from None
