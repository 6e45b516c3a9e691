"""The connection test: resolve, port, TLS, login, database, privileges, version, each with its time and verdict."""

from __future__ import annotations

import ipaddress
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from pydantic import BaseModel, ConfigDict

from core.database import Database, Limits, connect_parameters
from core.errors import TradekeepError, classify
from core.format import duration
from core.probe import reach
from core.settings import DatabaseConfig
from core.setup.server import Facts, Privilege, ServerInfo, server_facts

T = TypeVar("T")
STEPS = ("resolve", "port", "tls", "login", "database", "privileges", "version")
# Which step a failure belongs to, by the beginning of its kind; the rest by its type.
_STEP_OF_KIND = {"config.port": "port", "config.port_number": "port"}
_STEP_OF_TYPE = {
    "network": "port", "service": "port", "tls": "tls", "auth": "login", "schema": "database",
    "permission": "database", "resource": "database",
}  # fmt: skip
OLDEST_SERVER = 150000
HIGHEST_PORT, SHOWN_DIGITS = 65535, 6


class Step(BaseModel):
    """One part of the test: ok is None when it was not reached or there was nothing to look at; ms its time."""

    model_config = ConfigDict(frozen=True)
    name: str
    ok: bool | None = None
    ms: float | None = None
    message: str = ""


class ConnectionResult(BaseModel):
    """What a connection test found; the error fields are those of TradekeepError."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    success: bool
    error_type: str | None = None
    error_message: str | None = None
    suggested_fix: str | None = None
    connection_time_ms: float | None = None
    steps: list[Step] = []
    server: ServerInfo | None = None
    privileges: list[Privilege] = []
    error: dict[str, Any] | None = None
    label: str = ""


def diagnose(config: DatabaseConfig, *, deadline_s: float = 5.0) -> ConnectionResult:
    """Test a configuration step by step, over in deadline_s whatever the other side does.

    Does not raise for a failed connection: the result says what failed, why, and what to do.
    """
    run = _Run(config, time.perf_counter() + deadline_s)
    try:
        if config.backend == "sqlite":
            return _sqlite(config)
        connection = run.connect()
    except TradekeepError as error:
        return run.failed(error)
    try:
        begin = time.perf_counter()
        facts = run.bounded(lambda: server_facts(connection))
        return run.succeeded(facts, (time.perf_counter() - begin) * 1000)
    except TradekeepError as error:
        return run.failed(error)
    finally:
        connection.close()


def shortcoming(config: DatabaseConfig, facts: Facts) -> TradekeepError | None:
    """Why a server that lets us in still cannot be used: its version, or a right that pages need."""
    place: dict[str, Any] = {"host": config.host, "port": config.port, "database": facts.server.database}
    if facts.server.version_number < OLDEST_SERVER:
        message = f"PostgreSQL {facts.server.version} is too old; {OLDEST_SERVER // 10000} or newer is needed."
        return TradekeepError("config.server_version", message, **place, version=facts.server.version)
    lacking = [privilege for privilege in facts.privileges if privilege.needed and not privilege.granted]
    if lacking:
        message = f"{facts.server.role} lacks what pages need: {', '.join(privilege.name for privilege in lacking)}."
        return TradekeepError("permission.schema", message, **place, user=facts.server.role)
    return None


class _Run:
    """One test under way: its deadline and what its steps found so far."""

    def __init__(self, config: DatabaseConfig, deadline: float) -> None:
        self.config, self.deadline = config, deadline
        self.steps: dict[str, Step] = {}
        self.connection_ms: float | None = None

    def step(self, name: str, ok: bool | None, ms: float | None, message: str) -> None:
        self.steps[name] = Step(name=name, ok=ok, ms=ms if ms is None else round(ms, 3), message=message)

    def all_steps(self) -> list[Step]:
        return [self.steps.get(name, Step(name=name, message="not reached")) for name in STEPS]

    def left_s(self) -> float:
        return max(0.05, self.deadline - time.perf_counter())

    def succeeded(self, facts: Facts, ms: float) -> ConnectionResult:
        """The result of a test that got in: a success unless version or rights are not enough."""
        server = facts.server
        lacking = [p.name for p in facts.privileges if not p.granted and p.needed]
        recent = server.version_number >= OLDEST_SERVER
        self.step("database", True, 0.0, f"{server.database}, {server.encoding}, as {server.role}")
        self.step("privileges", not lacking, ms, f"missing: {', '.join(lacking)}" if lacking else "all that pages need")
        self.step("version", recent, 0.0, f"PostgreSQL {server.version}" + ("" if recent else ", too old"))
        error = shortcoming(self.config, facts)
        return self._result(error).model_copy(update={"server": server, "privileges": facts.privileges})

    def _result(self, error: TradekeepError | None) -> ConnectionResult:
        return ConnectionResult(
            success=error is None,
            error_type=error.error_type if error else None,
            error_message=error.message if error else None,
            suggested_fix=error.suggested_fix if error else None,
            connection_time_ms=self.connection_ms,
            steps=self.all_steps(),
            error=error.diagnostic_info() if error else None,
            label=self.config.label,
        )

    def failed(self, error: TradekeepError) -> ConnectionResult:
        """The result of a failed test: the failure stands on the step to which its kind belongs."""
        name = _STEP_OF_KIND.get(error.kind) or _STEP_OF_TYPE.get(error.error_type, "login")
        if error.kind.startswith("network.") and "resolve" not in self.steps:
            name = "resolve"
        later = STEPS[STEPS.index(name) :]
        for done in later:
            self.steps.pop(done, None)
        self.step(name, False, None, error.message)
        return self._result(error)

    def bounded(self, work: Callable[[], T]) -> T:
        """work(), or a time-out error at the deadline; the thread of work that hangs ends by itself later."""
        found: list[T] = []
        raised: list[BaseException] = []

        def run() -> None:
            try:
                found.append(work())
            except BaseException as exc:  # noqa: BLE001  # carried over to the caller's thread
                raised.append(exc)

        thread = threading.Thread(target=run, daemon=True, name="diagnose")
        thread.start()
        thread.join(self.left_s())
        if raised:
            raise classify(raised[0], self.config, probe_timeout_s=self.left_s()) from None
        if not found:
            raise classify(TimeoutError("no answer before the deadline"), self.config, probe_timeout_s=0.2)
        return found[0]

    def connect(self) -> psycopg.Connection[Any]:
        """Resolve, knock, then let libpq connect, watched stage by stage."""
        begin = time.perf_counter()
        _check_ports(self.config)
        self._resolve()
        self._knock()
        connection = self._libpq()
        self.connection_ms = round((time.perf_counter() - begin) * 1000, 3)
        return connection

    def _single(self) -> tuple[str, int] | None:
        """Host and port where there is one of each; several, or a service, are left to libpq."""
        config = self.config
        host = config.options.get("hostaddr") or config.host or "localhost"
        if "," in host or "," in config.port_text or "service" in config.options:
            return None
        if config.port_text and not config.port_text.strip().isdigit():
            return None
        return host, config.port or 5432

    def _resolve(self) -> None:
        one, begin = self._single(), time.perf_counter()
        if one is None:
            self.step("resolve", None, None, "left to libpq: several hosts, or a service")
            return
        host, port = one
        if host.startswith("/"):
            self.step("resolve", True, 0.0, "unix socket")
            return
        addresses = [host] if _is_address(host) else self.bounded(lambda: _addresses(host, port))
        self.step("resolve", True, (time.perf_counter() - begin) * 1000, ", ".join(addresses[:4]))

    def _knock(self) -> None:
        one = self._single()
        if one is None:
            self.step("port", None, None, "left to libpq")
            return
        host, port = one
        answer = reach(host, port, min(1.0, self.left_s()))
        if not answer.ok:
            raise classify(
                _as_exception(answer.state, host, port), self.config, probe_timeout_s=min(1.0, self.left_s())
            )
        self.step("port", True, answer.ms, f"{host}:{port} takes connections")

    def _libpq(self) -> psycopg.Connection[Any]:
        parameters = connect_parameters(self.config, Limits())
        begin = time.perf_counter()
        stages: dict[int, float] = {}
        try:
            pgconn = pq.PGconn.connect_start(make_conninfo("", **parameters).encode())
            _poll(pgconn, self.deadline, stages)
        except (psycopg.Error, UnicodeError, TimeoutError) as exc:
            raise classify(exc, self.config, probe_timeout_s=min(1.0, self.left_s())) from None
        end = time.perf_counter()
        encrypted = pgconn.ssl_in_use
        tls_begin, tls_end = stages.get(pq.ConnStatus.SSL_STARTUP), stages.get(pq.ConnStatus.MADE)
        tls_ms = (tls_end - tls_begin) * 1000 if tls_begin and tls_end and tls_end > tls_begin else None
        self.step("tls", True if encrypted else None, tls_ms, "encrypted" if encrypted else "not encrypted")
        self.step("login", True, (end - begin) * 1000 - (tls_ms or 0), f"as {pgconn.user.decode(errors='replace')}")
        connection: psycopg.Connection[Any] = psycopg.Connection(pgconn)
        connection.autocommit = True
        return connection


def _check_ports(config: DatabaseConfig) -> None:
    """Raise config.port_number for no number from 1 to 65535; what is no number may be a piece of a password."""
    for text in config.port_text.split(","):
        port = text.strip()
        if port and not (port.isascii() and port.isdigit()):
            raise TradekeepError("config.port_number", "The port is not a number.")
        if port and not 1 <= int(port[:SHOWN_DIGITS]) <= HIGHEST_PORT:
            shown = port if len(port) < SHOWN_DIGITS else f"with {len(port)} digits"
            raise TradekeepError(
                "config.port_number", f"Port {shown} does not exist: a port is from 1 to {HIGHEST_PORT}."
            )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(host: str, port: int) -> list[str]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


def _as_exception(state: str, host: str, port: int) -> OSError:
    if state == "refused":
        return ConnectionRefusedError(f"connection to {host} port {port} refused")
    if state == "timeout":
        return TimeoutError(f"no answer from {host} port {port}")
    return OSError(f"{host} port {port}: {state}")


def _poll(pgconn: pq.abc.PGconn, deadline: float, stages: dict[int, float]) -> None:
    """Drive libpq's own connecting to its end, noting when each stage was first seen. Raises TimeoutError."""
    while True:
        if pgconn.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError(pgconn.get_error_message(), pgconn=pgconn)
        stages.setdefault(pgconn.status, time.perf_counter())
        wanted = pgconn.connect_poll()
        stages.setdefault(pgconn.status, time.perf_counter())
        if wanted == pq.PollingStatus.OK:
            return
        if wanted == pq.PollingStatus.FAILED:
            raise psycopg.OperationalError(pgconn.get_error_message(), pgconn=pgconn)
        left = deadline - time.perf_counter()
        # Not select.select: it refuses file numbers from 1024 on. The socket may be another one each time.
        with selectors.DefaultSelector() as selector:
            reading = wanted == pq.PollingStatus.READING
            selector.register(pgconn.socket, selectors.EVENT_READ if reading else selectors.EVENT_WRITE)
            if left <= 0 or not selector.select(left):
                raise TimeoutError("no answer before the deadline")


def _sqlite(config: DatabaseConfig) -> ConnectionResult:
    database = Database(config, read_only=True)
    try:
        ms = round(database.ping(), 3)
        version = f"SQLite {database.capabilities.version}"
    finally:
        database.dispose()
    steps = [Step(name=name, message="not for SQLite") for name in STEPS[:4]]
    steps += [Step(name="database", ok=True, ms=ms, message=duration(ms / 1000)), Step(name="privileges")]
    steps += [Step(name="version", ok=True, message=version)]
    return ConnectionResult(success=True, connection_time_ms=ms, steps=steps, label=config.label)
