"""Connecting to one of several addresses as libpq would, each watched stage by stage, all within one deadline."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from pydantic import BaseModel, ConfigDict

from core.database import Limits, connect_parameters
from core.database.connection import Connection
from core.settings import DatabaseConfig

SECOND_LOOK_UP_S = 1.0  # how long other hosts' names are waited for once one is known
# What libpq says of a server that lets us in but is not of the kind that target_session_attrs asks for.
NOT_THE_KIND = ("session is not read", "session is read", "hot standby mode")
PASSING = ("57P03", "starting up", "shutting down", "not yet accepting", "recovery mode")


class Reached(BaseModel):
    """One address that was tried: ok is None where nothing came after a host that let us in, or that was skipped."""

    model_config = ConfigDict(frozen=True)
    host: str
    address: str
    port: str
    ok: bool | None = None
    ms: float | None = None
    message: str = ""

    @property
    def text(self) -> str:
        """The address as people write it."""
        shown = self.address or self.host or "local socket"
        return f"[{shown}]:{self.port}" if ":" in shown else f"{shown}:{self.port}"


@dataclass(frozen=True)
class Place:
    """One host as libpq takes it: its name, its address (empty for a socket's folder and for libpq's own default)."""

    host: str
    address: str
    port: str

    def of(self, config: DatabaseConfig) -> DatabaseConfig:
        """The configuration with this place only; all of it where the place is left to libpq (a service)."""
        if not self.address and (self.host, self.port) == (config.host, config.port_text):
            return config
        options = {name: value for name, value in config.options.items() if name not in _MANY}
        if self.address:
            options["hostaddr"] = self.address
        return config.replace(host=self.host, port_text=self.port, options=options)


_MANY = ("hostaddr", "service", "load_balance_hosts")


@dataclass
class Stages:
    """When a connecting attempt passed from one stage of libpq to the next."""

    _CLOSED = (pq.ConnStatus.STARTED, pq.ConnStatus.NEEDED, pq.ConnStatus.BAD)

    begin: float = field(default_factory=time.perf_counter)
    seen: list[tuple[int, float]] = field(default_factory=list)

    def note(self, status: int) -> None:
        if not self.seen or self.seen[-1][0] != status:
            self.seen.append((status, time.perf_counter()))

    @property
    def open(self) -> bool:
        """Whether the TCP connection (or the socket's) came about."""
        return any(status not in self._CLOSED for status, _ in self.seen)

    @property
    def in_tls(self) -> bool:
        """Whether the negotiation of TLS is where it ended."""
        last = [status for status, _ in self.seen if status not in self._CLOSED][-1:]
        return last == [pq.ConnStatus.SSL_STARTUP]

    @property
    def tcp_ms(self) -> float:
        """Until the server took the connection."""
        first = (at for status, at in self.seen if status not in self._CLOSED)
        return (next(first, self.begin) - self.begin) * 1000

    @property
    def tls_ms(self) -> float | None:
        """The negotiation of TLS, where there was one."""
        begin = next((at for status, at in self.seen if status == pq.ConnStatus.SSL_STARTUP), None)
        after = next((at for status, at in self.seen if begin and at > begin), None)
        return (after - begin) * 1000 if begin and after else None


@dataclass(frozen=True)
class Dialed:
    """A connection that came about, where, and how long its parts took."""

    connection: Connection
    place: Place
    stages: Stages
    login_ms: float


class Refused(Exception):
    """No address let us in: the exception of the one that tells most, its configuration, and the stage it came to."""

    def __init__(self, cause: BaseException, config: DatabaseConfig, *, opened: bool) -> None:
        super().__init__("no connection")
        self.cause, self.config, self.opened = cause, config, opened


def effective(config: DatabaseConfig) -> DatabaseConfig:
    """The configuration with the host and port that libpq would take from its variables, where it names none itself."""
    if "service" in config.options or config.host or "hostaddr" in config.options:
        return config
    defaults = {option.keyword: option.val for option in pq.Conninfo.get_defaults() if option.val}
    found = {
        name: defaults[name.encode()].decode() for name in ("host", "hostaddr", "port") if name.encode() in defaults
    }
    return DatabaseConfig.from_params(found | config.libpq_params())


def pairs(config: DatabaseConfig) -> list[Place] | None:
    """The hosts in their order, addresses only where they were given; None where only libpq knows (or refuses) them."""
    if "service" in config.options:
        return None
    hosts = config.host.split(",")
    addresses = config.options["hostaddr"].split(",") if config.options.get("hostaddr") else []
    count = len(addresses) if addresses and not config.host else len(hosts)
    hosts = hosts if config.host else [""] * count
    addresses = addresses or [""] * count
    ports = config.port_text.split(",")
    ports = ports * count if len(ports) == 1 else ports
    if not len(hosts) == len(addresses) == len(ports) == count:
        return None
    return [Place(*each) for each in zip(hosts, addresses, [port.strip() or "5432" for port in ports], strict=True)]


def resolve(wanted: list[Place], until: float) -> tuple[list[Place], list[Reached]]:
    """Every address of every host, in order, and the hosts whose names gave none; over at `until` (perf_counter)."""
    found: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    done = threading.Condition()

    def look_up(host: str) -> None:
        try:
            rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(row[4][0]) for row in rows))
        except (OSError, UnicodeError) as error:
            with done:
                failed[host] = getattr(error, "strerror", None) or "no such name"
                done.notify()
            return
        with done:
            found[host] = addresses
            done.notify()

    names = {place.host for place in wanted if not place.address and _is_name(place.host)}
    for name in names:  # the system's resolver knows no deadline: one that hangs is left behind in its thread
        threading.Thread(target=look_up, args=(name,), daemon=True, name="look-up").start()
    with done:
        while len(found) + len(failed) < len(names):
            left = until - time.perf_counter()
            if not done.wait(min(left, SECOND_LOOK_UP_S) if found else left):
                break
        failed |= {name: "the name lookup did not end in time" for name in names if name not in found | failed}
        failed = {name: reason for name, reason in failed.items() if name not in found}
    places = []
    for place in wanted:
        if place.host in names and not place.address:
            places += [Place(place.host, address, place.port) for address in found.get(place.host, [])]
        else:
            literal = _literal(place.host)
            places.append(Place(place.host, place.address or literal, place.port))
    lost = [
        Reached(host=place.host, address="", port=place.port, ok=False, message=failed[place.host])
        for place in wanted
        if place.host in failed and not place.address
    ]
    return places, lost


def _is_name(host: str) -> bool:
    return bool(host) and not host.startswith(("/", "@")) and not _literal(host)


def _literal(host: str) -> str:
    """The host if it is an address itself."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return host
    return ""


def dial(
    config: DatabaseConfig, places: list[Place], until: float, tried: list[Reached], *, password: str | None = None
) -> Dialed:
    """A connection to the first place that lets us in; what each said goes into `tried`. Raises Refused.

    password: another one than the configuration's, which would have every log mask it wherever its letters occur.

    As libpq: an address that cannot be reached, a server that is just starting, and one of another kind than
    target_session_attrs asks for lead on to the next one; a refused login does not.
    """
    passes = [config]
    if config.options.get("target_session_attrs") == "prefer-standby" and len(places) > 1:
        passes = [
            config.replace(options=config.options | {"target_session_attrs": kind}) for kind in ("standby", "any")
        ]
    if config.options.get("load_balance_hosts") == "random":
        places = random.sample(places, len(places))
    worst: Refused | None = None
    for wanted in passes:
        for number, place in enumerate(places):
            left_s = until - time.perf_counter()
            if left_s <= 0:
                break
            share_s = _allowed(config, left_s / (len(places) - number) if number < len(places) - 1 else left_s)
            stages = Stages()
            try:
                found = _attempt(place, place.of(wanted), stages, share_s, password)
            except (psycopg.Error, UnicodeError, TimeoutError) as exc:
                refused = Refused(exc, place.of(wanted), opened=stages.open)
                tried.append(_told(place, stages, str(exc), refused))
                if not _leads_on(exc, stages):
                    raise refused from None
                worst = refused if worst is None or _worth(refused) >= _worth(worst) else worst
                continue
            tried.append(_told(place, stages, "", None))
            return found
    raise worst or Refused(TimeoutError("no answer before the deadline"), config, opened=False)


def _allowed(config: DatabaseConfig, share_s: float) -> float:
    """The share of the deadline, or the configuration's own connect_timeout where that is shorter."""
    own = config.options.get("connect_timeout", "").strip()
    return min(share_s, max(2, int(own))) if own.isdecimal() and int(own) > 0 else share_s


def _worth(refused: Refused) -> int:
    """How much a failure tells: a server that answered, then one that did not answer in time, then the rest."""
    return 2 if refused.opened else 1 if isinstance(refused.cause, TimeoutError) else 0


def _leads_on(exc: BaseException, stages: Stages) -> bool:
    if not stages.open or isinstance(exc, TimeoutError):
        return True
    text = str(exc)
    return any(sign in text for sign in (*NOT_THE_KIND, *PASSING))


def _told(place: Place, stages: Stages, text: str, refused: Refused | None) -> Reached:
    """What one address came to; nothing of the driver's text, which can hold more than it should."""
    if refused is None:
        message = "takes connections"
    elif refused.opened:
        kind = any(sign in text for sign in NOT_THE_KIND)
        passing = any(sign in text for sign in PASSING)
        after = "takes connections; TLS failed" if stages.in_tls else "takes connections; signing in failed"
        message = "not of the wanted kind" if kind else "not ready yet" if passing else after
        message = "takes connections, then silent" if isinstance(refused.cause, TimeoutError) else message
    elif isinstance(refused.cause, TimeoutError):
        message = "no answer in time"
    else:
        message = "refused" if "refused" in text else "no socket there" if place.host[:1] in "/@" else "not reachable"
    ms = stages.tcp_ms if stages.open else (time.perf_counter() - stages.begin) * 1000
    return Reached(
        host=place.host,
        address=place.address,
        port=place.port,
        ok=refused is None,
        ms=round(ms, 3),
        message=message,
    )


def _attempt(
    place: Place, config: DatabaseConfig, stages: Stages, seconds: float, password: str | None = None
) -> Dialed:
    parameters = connect_parameters(config, Limits()) | ({} if password is None else {"password": password})
    parameters.pop("connect_timeout", None)  # libpq heeds it only where it waits itself
    deadline = stages.begin + seconds
    conninfo = make_conninfo("", **parameters).encode()
    # libpq looks names up here where we could not do it before, and that alone knows no deadline.
    looks_up = "service" in config.options or (not place.address and _is_name(place.host))
    pgconn = _in_time(conninfo, deadline) if looks_up else pq.PGconn.connect_start(conninfo)
    _poll(pgconn, deadline, stages)
    connection = Connection(pgconn)
    connection.autocommit = True
    connection.prepare_threshold = None
    spent_ms = (time.perf_counter() - stages.begin) * 1000
    return Dialed(connection, place, stages, spent_ms - stages.tcp_ms - (stages.tls_ms or 0))


def _in_time(conninfo: bytes, deadline: float) -> Any:
    """PGconn.connect_start, given up at the deadline."""
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(pq.PGconn.connect_start(conninfo)), daemon=True)
    thread.start()
    thread.join(max(0.05, deadline - time.perf_counter()))
    if not made:
        raise TimeoutError("no answer before the deadline")
    return made[0]


def _poll(pgconn: pq.abc.PGconn, deadline: float, stages: Stages) -> None:
    """Drive libpq's own connecting to its end, noting its stages. Raises psycopg's error, or TimeoutError."""
    with selectors.DefaultSelector() as selector:  # not select.select: it refuses file numbers from 1024 on
        while True:
            if pgconn.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError(pgconn.get_error_message(), pgconn=pgconn)
            stages.note(pgconn.status)
            wanted = pgconn.connect_poll()
            stages.note(pgconn.status)
            if wanted == pq.PollingStatus.OK:
                return
            if wanted == pq.PollingStatus.FAILED:
                raise psycopg.OperationalError(pgconn.get_error_message(), pgconn=pgconn)
            with _registered(selector, pgconn, wanted):
                left = deadline - time.perf_counter()
                if left <= 0 or not selector.select(left):
                    pgconn.finish()
                    raise TimeoutError("no answer before the deadline")


@contextlib.contextmanager
def _registered(selector: selectors.BaseSelector, pgconn: pq.abc.PGconn, wanted: int) -> Iterator[None]:
    """The socket, which may be another one after each poll, in the selector."""
    number = pgconn.socket
    reading = wanted == pq.PollingStatus.READING
    selector.register(number, selectors.EVENT_READ if reading else selectors.EVENT_WRITE)
    try:
        yield
    finally:
        selector.unregister(number)
