"""What a server says of itself and of the rights of the role that asks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from pydantic import BaseModel, ConfigDict


class Privilege(BaseModel):
    """A right: whether the role has it, whether pages need it, and the statement that would grant it."""

    model_config = ConfigDict(frozen=True)
    name: str
    granted: bool
    needed: bool
    grant: str


class ServerInfo(BaseModel):
    """A server seen through one connection; clock_skew_s: server minus this machine, within the round trip."""

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


@dataclass(frozen=True)
class Facts:
    """Server and privileges, as one question gave them."""

    server: ServerInfo
    privileges: list[Privilege]


_SQL = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
       current_database()::text, current_user::text, current_setting('is_superuser') = 'on',
       pg_encoding_to_char(d.encoding)::text, current_setting('TimeZone'), clock_timestamp(), pg_is_in_recovery(),
       coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'unix socket'),
       current_setting('max_connections')::int,
       has_database_privilege(current_database(), 'TEMPORARY'),
       has_database_privilege(current_database(), 'CREATE'),
       coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'USAGE'), false),
       coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'), false),
       pg_has_role('pg_monitor', 'USAGE'),
       has_table_privilege('pg_catalog.pg_roles', 'SELECT')
FROM pg_catalog.pg_database d WHERE d.datname = current_database()
"""


def server_facts(connection: psycopg.Connection[Any]) -> Facts:
    """Ask server and role for everything the connection test shows: one statement, two where roles may be read."""
    begin, sent = time.perf_counter(), datetime.now(UTC)
    row = connection.execute(_SQL).fetchone()
    half_s = (time.perf_counter() - begin) / 2
    assert row is not None  # current_database() always stands in pg_database
    create_role = create_database = row[4]
    if row[16] and not row[4]:
        create_role, create_database = connection.execute(
            "SELECT rolcreaterole, rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user"
        ).fetchone() or (False, False)
    server = ServerInfo(
        version=str(row[0]).split(" ")[0],
        version_number=row[1],
        database=row[2],
        role=row[3],
        superuser=row[4],
        encoding=row[5],
        time_zone=row[6],
        clock_skew_s=round((row[7] - sent).total_seconds() - half_s, 3),
        in_recovery=row[8],
        tls=_tls(connection),
        address=row[9],
        max_connections=row[10],
    )
    database, role = _quoted(row[2]), _quoted(row[3])
    privileges = [
        Privilege(name="USAGE on schema public", granted=row[13], needed=True,
                  grant=f"GRANT USAGE ON SCHEMA public TO {role};"),
        Privilege(name="CREATE on schema public", granted=row[14], needed=False,
                  grant=f"GRANT CREATE ON SCHEMA public TO {role};"),
        Privilege(name="CREATE on database", granted=row[12], needed=False,
                  grant=f"GRANT CREATE ON DATABASE {database} TO {role};"),
        Privilege(name="TEMPORARY on database", granted=row[11], needed=False,
                  grant=f"GRANT TEMPORARY ON DATABASE {database} TO {role};"),
        Privilege(name="CREATEDB", granted=create_database, needed=False, grant=f"ALTER ROLE {role} CREATEDB;"),
        Privilege(name="CREATEROLE", granted=create_role, needed=False, grant=f"ALTER ROLE {role} CREATEROLE;"),
        Privilege(name="pg_monitor", granted=row[15], needed=False, grant=f"GRANT pg_monitor TO {role};"),
    ]  # fmt: skip
    return Facts(server, privileges)


def _tls(connection: psycopg.Connection[Any]) -> str | None:
    """The protocol of an encrypted connection; None where it is not."""
    if not connection.pgconn.ssl_in_use:
        return None
    row = connection.execute("SELECT version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    return str(row[0]) if row and row[0] else "TLS"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
