"""Whether a pooler stands between us and the server, which one, in which mode, and why we think so."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

import psycopg

from core.database import Connection
from core.errors import TradekeepError
from core.probe import reach
from core.settings import DatabaseConfig

ASK_S = 0.5
# Names of hosts that only a provider's pooler has. Sources: the providers' manuals.
HOSTS = {
    ".pooler.supabase.com": "Supavisor (Supabase)",
    "-pooler.": "PgBouncer (Neon)",
    ".proxy-": "RDS Proxy (Amazon)",
    "-pooler": "the provider's pooler",
}


@dataclass(frozen=True)
class Pooler:
    """A pooler: its name, its mode (session, transaction, or "" where it is not known), and the signs."""

    name: str
    mode: str
    why: str


def pooler(connection: Connection, server_pid: int, config: DatabaseConfig, *, seconds: float) -> Pooler | None:
    """The pooler behind this connection, None where the server itself answers.

    The number of the server process that the other side named when we signed in is made up by a pooler: another
    one than the server says itself means that somebody stands between. Costs nothing where nobody does.
    """
    named = connection.pgconn.backend_pid
    host = config.host.split(",")[0]
    by_name = next((name for sign, name in HOSTS.items() if sign in host), "")
    if named == server_pid and not by_name:
        return None
    why = f"it calls our server process {named}, the server calls it {server_pid}"
    if named == server_pid:
        why = f"the host's name is one of {by_name}"
    name = by_name
    if _refuses_unknown_parameters(config, min(ASK_S, seconds)):
        name, why = name or "PgBouncer", f"{why}; it refuses unknown parameters in PgBouncer's words"
    mode, sign = _mode(connection, config, min(1.0, seconds))
    return Pooler(name or "a pooler", mode, f"{why}; {sign}" if sign else why)


def check_direct(connection: Connection) -> None:
    """Raise config.pooler where not the server itself is on the other side.

    A lock or a setting of the session would stay behind on a connection that others get, and the pooler may not
    know the passwords that are made.
    """
    if connection.pgconn.backend_pid != _first(connection, "SELECT pg_catalog.pg_backend_pid()"):
        raise TradekeepError("config.pooler", port=connection.info.port, host=connection.info.host)


def _mode(connection: Connection, config: DatabaseConfig, seconds: float) -> tuple[str, str]:
    """Two clients at once that share one server process: the mode is transaction (or statement). Else most likely not.

    The second client keeps a transaction open while the first asks again, so that an idle process is not taken for
    another one.
    """
    question = "SELECT pg_catalog.pg_backend_pid()"
    try:
        parameters: dict[str, Any] = config.libpq_params() | {"connect_timeout": "2"}
        with Connection.connect(**parameters, autocommit=True, prepare_threshold=None) as second:
            second.deadline_s = seconds
            connection.deadline_s = seconds
            before = _first(connection, question)
            with second.transaction():
                other = _first(second, question)
                if other == before:
                    return "transaction", "two clients at once were given the same server process"
                after = _first(connection, question)
    except (psycopg.Error, UnicodeError) as exc:
        if getattr(exc, "sqlstate", None) == "08P01":
            return "statement", "it allows no transaction"
        return "", "its mode could not be found out"
    if after != before:
        return "transaction", "one client was given two server processes"
    return "session", "each client keeps its own server process"


def _first(connection: Connection, question: str) -> Any:
    row = connection.execute(question).fetchone()
    return row[0] if row else None


def _refuses_unknown_parameters(config: DatabaseConfig, seconds: float) -> bool:
    """Whether an unknown start-up parameter is refused before anybody signs in, as only PgBouncer does.

    Source: PgBouncer manual, "ignore_startup_parameters": its error is "unsupported startup parameter".
    """
    host = config.options.get("hostaddr") or config.host or "localhost"
    port = config.port or 5432
    pairs = ("user", config.user or "x", "database", config.database or "x", "tradekeep_asks", "1")
    body = b"".join(text.encode("utf-8", "replace") + b"\0" for text in pairs) + b"\0"
    message = struct.pack(">II", len(body) + 8, 196608) + body
    if not reach(host, port, seconds).ok:
        return False
    try:
        with _connected(host, port, seconds) as sock:
            sock.sendall(message)
            return b"unsupported startup parameter" in sock.recv(4096)
    except OSError:
        return False


def _connected(host: str, port: int, seconds: float) -> socket.socket:
    if host.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(seconds)
        sock.connect(f"{host}/.s.PGSQL.{port}")
        return sock
    return socket.create_connection((host, port), seconds)
