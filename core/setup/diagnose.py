"""The connection test: resolve, port, TLS, login, database, privileges, version, each with its time and verdict."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psycopg
from pydantic import BaseModel, ConfigDict

from core.database import Database
from core.errors import TradekeepError, classify
from core.format import duration
from core.probe import certificate
from core.settings import DatabaseConfig
from core.setup.dial import Dialed, Place, Reached, Refused, dial, effective, pairs, resolve
from core.setup.pooler import pooler
from core.setup.server import CertificateInfo, Facts, Privilege, ServerInfo, server_facts

STEPS = ("resolve", "port", "tls", "login", "database", "privileges", "version")
# Which step a failure belongs to, by the beginning of its kind; the rest by its type.
_STEP_OF_KIND = {"config.port": "port", "config.port_number": "port"}
_STEP_OF_TYPE = {
    "network": "port", "service": "port", "tls": "tls", "auth": "login", "schema": "database",
    "permission": "database", "resource": "database",
}  # fmt: skip
OLDEST_SERVER = 150000
HIGHEST_PORT, SHOWN_DIGITS = 65535, 6
# The last part of the deadline belongs to finding out why; the least that is kept for it.
SHARE_FOR_WHY, LEAST_FOR_WHY_S, MOST_FOR_WHY_S = 0.3, 0.05, 1.5


class Step(BaseModel):
    """One part of the test: ok is None when it was not reached or there was nothing to look at; ms its time."""

    model_config = ConfigDict(frozen=True)
    name: str
    ok: bool | None = None
    ms: float | None = None
    message: str = ""


class Latency(BaseModel):
    """Where the time of connecting went, in milliseconds; tls_ms is None without encryption."""

    model_config = ConfigDict(frozen=True)
    resolve_ms: float
    tcp_ms: float
    tls_ms: float | None
    login_ms: float
    first_query_ms: float


class ConnectionResult(BaseModel):
    """What a connection test found; the error fields are those of TradekeepError. addresses: each that was tried."""

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
    addresses: list[Reached] = []
    latency: Latency | None = None


def diagnose(config: DatabaseConfig, *, deadline_s: float = 5.0) -> ConnectionResult:
    """Test a configuration step by step, over in deadline_s whatever the other side does.

    Does not raise for a failed connection: the result says what failed, why, and what to do.
    """
    run = _Run(config, deadline_s)
    try:
        if config.backend == "sqlite":
            return _sqlite(config)
        dialed = run.connect()
    except TradekeepError as error:
        return run.failed(error)
    try:
        return run.succeeded(*run.looked_at(dialed))
    except TradekeepError as error:
        return run.failed(error)
    finally:
        dialed.connection.close()


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

    def __init__(self, config: DatabaseConfig, deadline_s: float) -> None:
        self.config, self.begin = config, time.perf_counter()
        self.end = self.begin + deadline_s
        self.deadline = self.end - min(MOST_FOR_WHY_S, max(LEAST_FOR_WHY_S, SHARE_FOR_WHY * deadline_s))
        self.steps: dict[str, Step] = {}
        self.connection_ms: float | None = None
        self.addresses: list[Reached] = []
        self.latency: Latency | None = None

    def step(self, name: str, ok: bool | None, ms: float | None, message: str) -> None:
        self.steps[name] = Step(name=name, ok=ok, ms=ms if ms is None else round(ms, 3), message=message)

    def all_steps(self) -> list[Step]:
        return [self.steps.get(name, Step(name=name, message="not reached")) for name in STEPS]

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
            addresses=self.addresses,
            latency=self.latency,
        )

    def failed(self, error: TradekeepError) -> ConnectionResult:
        """The result of a failed test: the failure stands on the step to which its kind belongs."""
        name = _STEP_OF_KIND.get(error.kind) or _STEP_OF_TYPE.get(error.error_type, "login")
        if error.kind.startswith("network.") and "resolve" not in self.steps:
            name = "resolve"
        if "login" in self.steps and STEPS.index(name) <= STEPS.index("login"):
            name = "database"  # the server let us in, and fell silent or went away after that
        later = STEPS[STEPS.index(name) :]
        for done in later:
            self.steps.pop(done, None)
        several = len(self.addresses) > 1 and name == "port"
        self.step(name, False, None, self._each_address() if several else error.message)
        return self._result(error)

    def why(self, exc: BaseException, config: DatabaseConfig) -> TradekeepError:
        """The error behind an exception; the port may be asked, as long as the deadline is not over."""
        left_s = max(LEAST_FOR_WHY_S, self.end - time.perf_counter())
        found: list[TradekeepError] = []
        asked = threading.Thread(
            target=lambda: found.append(classify(exc, config, probe_timeout_s=min(1.0, left_s * 0.9))), daemon=True
        )
        asked.start()
        asked.join(left_s)
        return found[0] if found else classify(exc, config, probe_timeout_s=0)

    def connect(self) -> Dialed:
        """Resolve every host, then let libpq connect to one address after the other, watched stage by stage."""
        _check_ports(self.config)
        config = effective(self.config)
        places = self._places(config)
        resolved_ms = (time.perf_counter() - self.begin) * 1000
        try:
            dialed = dial(config, places, self.deadline, self.addresses)
        except Refused as refused:
            if refused.opened:
                self.step("port", True, self.addresses[-1].ms, self._each_address())
            raise self.why(refused.cause, refused.config) from None
        except psycopg.Error as exc:
            raise self.why(exc, self.config) from None
        self.connection_ms = round((time.perf_counter() - self.begin) * 1000, 3)
        self._stages(dialed, resolved_ms)
        return dialed

    def _places(self, config: DatabaseConfig) -> list[Place]:
        wanted = pairs(config)
        if wanted is None:
            self.step("resolve", None, None, "left to libpq: a service, or as many ports as there are no hosts")
            return [Place(config.host, "", config.port_text)]
        places, lost = resolve(wanted, self.deadline)
        self.addresses += lost
        if not places:
            unresolved = wanted[0].of(config)
            raise self.why(psycopg.OperationalError(_unresolved(lost[0])), unresolved)
        shown = ["unix socket" if place.host.startswith(("/", "@")) else place.address for place in places]
        texts = [text for text in dict.fromkeys(shown) if text] or ["libpq's own default"]
        ms = 0.0 if texts == ["unix socket"] else (time.perf_counter() - self.begin) * 1000
        self.step("resolve", True, ms, ", ".join([*texts[:4], *(f"{one.host}: {one.message}" for one in lost[:4])]))
        return places

    def _each_address(self) -> str:
        return "; ".join(f"{one.text} {one.message}" for one in self.addresses if one.address or one.ms is not None)

    def _stages(self, dialed: Dialed, resolved_ms: float) -> None:
        pgconn, stages = dialed.connection.pgconn, dialed.stages
        encrypted = pgconn.ssl_in_use
        self.step("port", True, stages.tcp_ms, self._each_address())
        tls_ms = stages.tls_ms if encrypted else None
        self.step("tls", True if encrypted else None, tls_ms, "encrypted" if encrypted else "not encrypted")
        self.step("login", True, dialed.login_ms, f"as {pgconn.user.decode(errors='replace')}")
        self.latency = Latency(
            resolve_ms=round(resolved_ms, 3),
            tcp_ms=round(stages.tcp_ms, 3),
            tls_ms=None if tls_ms is None else round(tls_ms, 3),
            login_ms=round(dialed.login_ms, 3),
            first_query_ms=0.0,
        )

    def looked_at(self, dialed: Dialed) -> tuple[Facts, float]:
        """What server and role are, the certificate and a pooler included, and how long the asking took. In time."""
        here, begin = dialed.place.of(self.config), time.perf_counter()
        shown = _Certificate(here, dialed.place, self.left_s()) if dialed.connection.pgconn.ssl_in_use else None
        connection = dialed.connection
        connection.until = time.monotonic() + self.left_s()
        try:
            facts = server_facts(connection)
        except (psycopg.Error, UnicodeError) as exc:
            raise self.why(exc, here) from None
        ms = (time.perf_counter() - begin) * 1000
        between = pooler(connection, facts.server_pid, here, seconds=self.left_s())
        changes: dict[str, Any] = {}
        if between is not None:
            changes = {"pooler": between.name, "pooler_mode": between.mode, "pooler_why": between.why}
        if shown is not None:
            changes["certificate"] = shown.found(self.left_s())
        if self.latency is not None:
            self.latency = self.latency.model_copy(update={"first_query_ms": round(facts.first_query_ms, 3)})
        if shown is not None and facts.server.tls:
            self.step("tls", True, self.steps["tls"].ms, f"encrypted with {facts.server.tls}")
        facts = Facts(facts.server.model_copy(update=changes), facts.privileges, facts.server_pid)
        return facts, ms

    def left_s(self) -> float:
        return max(0.05, self.deadline - time.perf_counter())


class _Certificate:
    """What the server's certificate says, asked beside everything else."""

    def __init__(self, config: DatabaseConfig, place: Place, seconds: float) -> None:
        self._found: list[CertificateInfo] = []
        arguments = (config, place, min(2.0, seconds))
        self._thread = threading.Thread(target=self._ask, args=arguments, daemon=True, name="certificate")
        self._thread.start()

    def _ask(self, config: DatabaseConfig, place: Place, seconds: float) -> None:
        root = config.options.get("sslrootcert")
        usual = Path.home() / ".postgresql" / "root.crt"
        trusted = root or (str(usual) if usual.is_file() else None)
        seen = certificate(
            place.address or place.host, int(place.port or 5432), root=trusted, name=place.host, timeout_s=seconds
        )
        if seen.subject or seen.not_after:
            info = CertificateInfo(
                subject=seen.subject,
                issuer=seen.issuer,
                names=list(seen.names),
                not_after=seen.not_after,
                trusted=seen.state == "ok",
            )
            self._found.append(info)

    def found(self, seconds: float) -> CertificateInfo | None:
        """The answer, waited for as long as that."""
        self._thread.join(seconds)
        return self._found[0] if self._found else None


def _unresolved(lost: Reached) -> str:
    """In psycopg's own words, so that it is classified as its failures are."""
    return f"failed to resolve host '{lost.host}': {lost.message}"


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


def _sqlite(config: DatabaseConfig) -> ConnectionResult:
    with Database(config, read_only=True) as database:
        ms = round(database.ping(), 3)
        version = f"SQLite {database.capabilities.version}"
    steps = [Step(name=name, message="not for SQLite") for name in STEPS[:4]]
    steps += [Step(name="database", ok=True, ms=ms, message=duration(ms / 1000)), Step(name="privileges")]
    steps += [Step(name="version", ok=True, message=version)]
    return ConnectionResult(success=True, connection_time_ms=ms, steps=steps, label=config.label)
