"""What a server says of itself and of the rights of the role that asks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from pydantic import BaseModel, ConfigDict

from core.setup.rights import ON_TABLES, Privilege, matrix, of_superuser, own_names, secret_names, shown_columns

__all__ = ["CertificateInfo", "Extension", "Facts", "Privilege", "ServerInfo", "server_facts"]

# What Tradekeep uses where it is there. Sources: their manuals.
EXTENSIONS = {
    "pg_stat_statements": "slow queries",
    "pg_trgm": "search in long texts",
    "pgcrypto": "encryption in the database",
    "timescaledb": "time-series storage",
    "pg_cron": "jobs in the server",
    "citus": "several machines",
}

KEPT_S = 60.0
_kept: dict[tuple[str, int, str], tuple[float, dict[str, str]]] = {}


class CertificateInfo(BaseModel):
    """The certificate that the server shows. trusted: it holds against the given (or the system's) authorities."""

    model_config = ConfigDict(frozen=True)
    subject: str
    issuer: str
    names: list[str] = []
    not_after: datetime | None = None
    trusted: bool = False


class Extension(BaseModel):
    """An extension that Tradekeep can use: state is installed, available or missing."""

    model_config = ConfigDict(frozen=True)
    name: str
    use: str
    state: str
    version: str = ""


class ServerInfo(BaseModel):
    """A server seen through one connection; clock_skew_s: server minus this machine, within the round trip.

    connections_left: how many more this role may open now, as far as the server tells. pooler: what stands
    between, its mode and why we think so, each "" or None where nothing does.
    """

    model_config = ConfigDict(frozen=True)
    version: str
    version_number: int
    database: str
    role: str
    superuser: bool
    encoding: str
    time_zone: str
    clock_skew_s: float
    in_recovery: bool
    tls: str | None
    address: str
    max_connections: int
    pooler: str | None = None
    pooler_mode: str = ""
    pooler_why: str = ""
    cipher: str | None = None
    certificate: CertificateInfo | None = None
    connections_left: int | None = None
    extensions: list[Extension] = []


@dataclass(frozen=True)
class Facts:
    """Server and privileges, as one question gave them; first_query_ms: the question's own time."""

    server: ServerInfo
    privileges: list[Privilege]
    server_pid: int = 0
    first_query_ms: float = 0.0


# One message, and as few functions and catalogs as can be: each one that a new session meets first costs it a look
# into the catalogs, and the whole must cost little beside signing in. What the server reports by itself while
# somebody signs in (version, encoding, time zone, superuser, standby) is not asked again.
_QUESTION = """
SELECT current_database()::text, current_user::text, extract(epoch FROM clock_timestamp()),
  host(inet_server_addr()), inet_server_port(),
  current_setting('max_connections'), current_setting('superuser_reserved_connections'),
  current_setting('reserved_connections', true), pg_backend_pid(),
  (SELECT string_agg(concat_ws(',', datname = current_database(), datconnlimit, pg_stat_get_db_numbackends(oid)), ';')
     FROM pg_catalog.pg_database),
  has_database_privilege(current_database(), 'TEMPORARY'), has_database_privilege(current_database(), 'CREATE'),
  has_schema_privilege(to_regnamespace('public')::oid, 'USAGE'),
  has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'),
  pg_has_role('pg_monitor', 'USAGE'), has_table_privilege('pg_catalog.pg_roles', 'SELECT'),
  (SELECT array_agg(extname || ' ' || extversion) FROM pg_catalog.pg_extension),
  CASE WHEN has_schema_privilege(to_regnamespace('public')::oid, 'USAGE')  -- else to_regclass refuses
    THEN to_regclass('public.trades') IS NOT NULL OR to_regclass('public.trading_bots') IS NOT NULL ELSE true END
"""
_MAY_MAKE = "SELECT rolcreaterole, rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user"
_NAMES = (
    "database", "role", "now", "address", "port", "max_connections", "kept_for_superusers", "kept", "pid", "databases",
    "temporary", "database_create", "schema_usage", "schema_create", "monitor", "roles_readable", "extensions",
    "with_tables",
)  # fmt: skip


# The owner of a database may give it a search path in which own functions and operators stand before PostgreSQL's:
# they would run with the rights of whoever asks. It is pinned in the same message, so that it costs no round trip.
_PINNED = "SET LOCAL search_path = pg_catalog;\n"


def _asked(connection: psycopg.Connection[Any], question: LiteralString, *values: object) -> psycopg.Cursor[Any]:
    """The answer to a question, in a transaction of its own, in which every name is PostgreSQL's."""
    connection.cursor_factory = psycopg.ClientCursor  # the others send no two statements in a message
    cursor = connection.execute(_PINNED + question, values or None)
    cursor.nextset()
    return cursor


def server_facts(connection: psycopg.Connection[Any]) -> Facts:
    """Ask server and role for everything the connection test shows: one message, two where the role is no superuser."""
    begin, sent = time.perf_counter(), time.time()
    values = _asked(connection, _QUESTION).fetchone()
    took_s = time.perf_counter() - begin
    assert values is not None  # a SELECT without FROM has one row
    row: dict[str, Any] = dict(zip(_NAMES, values, strict=True))
    superuser = _reported(connection, "is_superuser") == "on"
    row |= _rights(connection, superuser, with_tables=row["with_tables"], roles_readable=row["roles_readable"])
    tls, cipher = _tls(connection)
    server = ServerInfo(
        version=_reported(connection, "server_version").split(" ")[0],
        version_number=connection.info.server_version,
        database=row["database"],
        role=row["role"],
        superuser=superuser,
        encoding=_reported(connection, "server_encoding"),
        time_zone=_reported(connection, "TimeZone"),
        clock_skew_s=round(float(row["now"]) - sent - took_s / 2, 3),
        in_recovery=_standby(connection),
        tls=tls,
        cipher=cipher,
        address=f"{row['address']}:{row['port']}" if row["address"] else "unix socket",
        max_connections=int(row["max_connections"]),
        connections_left=_left(row, superuser),
        extensions=_extensions(row["extensions"] or [], _available(connection)),
    )
    return Facts(server, matrix(row), row["pid"], took_s * 1000)


def _rights(
    connection: psycopg.Connection[Any], superuser: bool, *, with_tables: bool, roles_readable: bool
) -> dict[str, Any]:
    """What the role may do with the tables there are, and whether it may make roles and databases."""
    found: dict[str, Any] = {"tables": [], "create_role": superuser, "create_database": superuser}
    if superuser:
        return found | {"tables": of_superuser() if with_tables else []}
    if with_tables:
        question = f"{ON_TABLES};\n{_MAY_MAKE}" if roles_readable else ON_TABLES
        answer = _asked(connection, question, secret_names(), shown_columns(), own_names())
        found["tables"] = answer.fetchall()
        answer.nextset()
    elif roles_readable:
        answer = _asked(connection, _MAY_MAKE)
    if roles_readable:
        found["create_role"], found["create_database"] = answer.fetchone() or (False, False)
    return found


def _reported(connection: psycopg.Connection[Any], name: str) -> str:
    """What the server said of itself while we signed in."""
    return connection.info.parameter_status(name) or ""


def _standby(connection: psycopg.Connection[Any]) -> bool:
    reported = _reported(connection, "in_hot_standby")  # from version 14 on
    if reported:
        return reported == "on"
    row = _asked(connection, "SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])


def _left(row: dict[str, Any], superuser: bool) -> int:
    """How many more connections the role may open: what the server has left for it, or the database's own limit."""
    databases = [text.split(",") for text in row["databases"].split(";")]  # is it ours, its limit, its sessions
    kept = 0 if superuser else int(row["kept_for_superusers"]) + int(row["kept"] or 0)
    left = int(row["max_connections"]) - kept - sum(int(sessions) for _, _, sessions in databases)
    for ours, limit, sessions in databases:
        if ours == "t" and int(limit) >= 0 and not superuser:
            left = min(left, int(limit) - int(sessions))
    return max(0, left)


def _available(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The extensions that the server could install, with their versions. It reads a folder for that: kept a minute."""
    info = connection.info
    key = (info.hostaddr or info.host, info.port, _reported(connection, "server_version"))
    at, known = _kept.get(key, (0.0, {}))
    if not at or time.monotonic() - at > KEPT_S:
        names = list(EXTENSIONS)
        known = dict(
            _asked(
                connection,
                "SELECT name::text, default_version FROM pg_available_extensions() WHERE name = ANY(%s)",
                names,
            ).fetchall()
        )
        _kept[key] = (time.monotonic(), known)
    return known


def _extensions(present: list[str], available: dict[str, str]) -> list[Extension]:
    installed = dict(text.split(" ", 1) for text in present)

    def state(name: str) -> str:
        return "installed" if name in installed else "available" if name in available else "missing"

    return [
        Extension(name=name, use=use, state=state(name), version=installed.get(name) or available.get(name, ""))
        for name, use in EXTENSIONS.items()
    ]


def _tls(connection: psycopg.Connection[Any]) -> tuple[str | None, str | None]:
    """Protocol and cipher of an encrypted connection; None where it is not.

    The server tells them of its own side: behind a pooler that is another connection, of which it says nothing.
    """
    if not connection.pgconn.ssl_in_use:
        return None, None
    row = _asked(
        connection, "SELECT version, cipher FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()"
    ).fetchone()
    return (str(row[0]), str(row[1])) if row and row[0] else ("TLS", None)
