"""What a server is, and what a role may do there."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True)
class Capabilities:
    """What the server is and what this role may do there; on SQLite the role is the file's user."""

    backend: str
    version: str
    version_number: int
    role: str = ""
    superuser: bool = False
    create_role: bool = False
    create_database: bool = False
    in_recovery: bool = False
    monitor: bool = False


def capabilities(connection: sa.Connection, backend: str) -> Capabilities:
    """Ask the connection's server: one statement, two where roles may be read."""
    if backend == "sqlite":
        version = sqlite3.sqlite_version
        return Capabilities("sqlite", version, sqlite3.sqlite_version_info[0] * 10000, superuser=True)
    row = connection.exec_driver_sql(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_user::text,"
        " current_setting('is_superuser') = 'on', pg_is_in_recovery(), pg_has_role('pg_monitor', 'USAGE'),"
        " has_table_privilege('pg_catalog.pg_roles', 'SELECT')"
    ).one()
    create_role, create_database = False, False
    if row[6]:  # provisioning takes the right to read pg_roles from the roles that have neither
        create_role, create_database = connection.exec_driver_sql(
            "SELECT rolcreaterole, rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user"
        ).one()
    return Capabilities(
        "postgresql",
        version=str(row[0]).split(" ")[0],
        version_number=row[1],
        role=row[2],
        superuser=row[3],
        create_role=create_role,
        create_database=create_database,
        in_recovery=row[4],
        monitor=row[5],
    )
