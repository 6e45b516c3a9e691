"""Who may do what in the database that is being set up: PUBLIC's defaults taken away, each role given its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

# What PUBLIC may do by default and a trading role should not. Source: PostgreSQL manual, "Privileges", and
# measurements of what a fresh role could do. Only a superuser can take these away; elsewhere they stay.
_FUNCTIONS = (
    "lo_creat", "lo_create", "lo_from_bytea", "lo_open", "lo_put", "lo_unlink", "lowrite", "lo_truncate",
    "lo_truncate64", "pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared",
)  # fmt: skip
_VIEWS = ("pg_roles", "pg_user", "pg_group", "pg_stat_activity", "pg_auth_members")


def _run(connection: psycopg.Connection[Any], statement: str, **names: str | Sequence[str]) -> None:
    parts = {
        key: sql.Identifier(value) if isinstance(value, str) else sql.SQL(", ").join(map(sql.Identifier, value))
        for key, value in names.items()
    }
    connection.execute(sql.SQL(statement).format(**parts))


def close_public(connection: psycopg.Connection[Any], database: str, roles: Sequence[str]) -> list[str]:
    """Take from PUBLIC what the database's own three roles are then given one by one; what stays, in words.

    connection: to that database. As a superuser also large objects, advisory locks, DO blocks and the views that
    show other roles and sessions; owner and viewer keep what their work needs.
    """
    owner, viewer = roles[0], roles[2]
    superuser = connection.info.parameter_status("is_superuser") == "on"
    with connection.transaction():
        if not superuser:
            _run(connection, "SET LOCAL ROLE {owner}", owner=owner)
        _run(connection, "REVOKE ALL ON DATABASE {database} FROM PUBLIC", database=database)
        if superuser:
            _run(connection, "ALTER SCHEMA public OWNER TO pg_database_owner")
        _run(connection, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    if not superuser:
        return _what_stays(connection)
    with connection.transaction():
        rows = connection.execute(
            "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace"
            " AND p.proname = ANY(%s)",
            (list(_FUNCTIONS),),
        ).fetchall()
        for (signature,) in rows:
            function = sql.SQL(signature)
            connection.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(function))
            connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(function, sql.Identifier(owner)))
        _run(connection, "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
        _run(connection, "GRANT USAGE ON LANGUAGE plpgsql TO {owner}", owner=owner)
        for view in _VIEWS:
            _run(connection, "REVOKE SELECT ON pg_catalog.{view} FROM PUBLIC", view=view)
            _run(connection, "GRANT SELECT ON pg_catalog.{view} TO {roles}", view=view, roles=[owner, viewer])
    return _what_stays(connection)


def _what_stays(connection: psycopg.Connection[Any]) -> list[str]:
    """What PUBLIC may still do in schema public, because its owner is somebody else."""
    row = connection.execute(
        "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public' AND EXISTS"
        " (SELECT FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a"
        "  WHERE a.grantee = 0 AND a.privilege_type = 'CREATE')"
    ).fetchone()
    if row is None:
        return []
    return [f"Everybody may still create tables in schema public, which belongs to {row[0]}. As {row[0]} or a"
            " superuser: REVOKE ALL ON SCHEMA public FROM PUBLIC;"]  # fmt: skip


def leave_roles(connection: psycopg.Connection[Any], roles: Sequence[str]) -> list[str]:
    """Take the three roles out of every role that they are members of, pg_monitor for the viewer left; what stays."""
    rows = connection.execute(
        "SELECT pg_get_userbyid(roleid), pg_get_userbyid(member), pg_get_userbyid(grantor) FROM pg_auth_members"
        " WHERE pg_get_userbyid(member) = ANY(%s)",
        (list(roles),),
    ).fetchall()
    by = " GRANTED BY {grantor}" if connection.info.server_version >= 160000 else ""
    stays = []
    for group, member, grantor in rows:
        if (group, member) == ("pg_monitor", roles[2]):
            continue
        names = {"group": group, "member": member} | ({"grantor": grantor} if by else {})
        try:
            with connection.transaction():
                _run(connection, "REVOKE {group} FROM {member}" + by, **names)
        except psycopg.errors.InsufficientPrivilege:
            stays.append(f'{member} is a member of {group}. As a superuser: REVOKE "{group}" FROM "{member}";')
    return stays


def grant_rights(connection: psycopg.Connection[Any], database: str, owner: str, runtime: str, viewer: str) -> None:
    """Give each role what TABLES.md, "Roles", says; default privileges make later tables follow."""
    superuser = connection.info.parameter_status("is_superuser") == "on"
    with connection.transaction():
        if not superuser:
            _run(connection, "SET LOCAL ROLE {owner}", owner=owner)
        names = {"owner": owner, "runtime": runtime, "viewer": viewer}
        for taken in ("DATABASE {db}", "SCHEMA public"):
            place = {"db": database} if "{db}" in taken else {}
            _run(connection, f"REVOKE ALL ON {taken} FROM {{runtime}}, {{viewer}}", **place, **_only(names, 1, 2))
        _run(connection, "GRANT CONNECT ON DATABASE {db} TO {runtime}, {viewer}", db=database, **_only(names, 1, 2))
        _run(connection, "GRANT ALL ON SCHEMA public TO {owner}", owner=owner)
        _run(connection, "GRANT USAGE ON SCHEMA public TO {runtime}, {viewer}", **_only(names, 1, 2))
        default = "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public "
        _run(connection, default + "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {runtime}", **_only(names, 0, 1))
        _run(connection, default + "GRANT USAGE ON SEQUENCES TO {runtime}", **_only(names, 0, 1))
        _run(connection, default + "GRANT SELECT ON TABLES TO {viewer}", **_only(names, 0, 2))
        _run(connection, default + "GRANT SELECT ON SEQUENCES TO {viewer}", **_only(names, 0, 2))
        _run(
            connection, "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC", owner=owner
        )


def _only(names: dict[str, str], *wanted: int) -> dict[str, str]:
    keys = list(names)
    return {keys[number]: names[keys[number]] for number in wanted}


def monitor(connection: psycopg.Connection[Any], viewer: str) -> list[str]:
    """Make the viewer a member of pg_monitor where that may be granted; else one warning in words."""
    try:
        with connection.transaction():
            _run(connection, "GRANT pg_monitor TO {viewer}", viewer=viewer)
    except psycopg.errors.InsufficientPrivilege:
        return [
            f"{viewer} is not a member of pg_monitor: health pages see less. As a superuser: "
            f'GRANT pg_monitor TO "{viewer}";'
        ]
    return []
