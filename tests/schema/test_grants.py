"""What runtime and viewer may do after an upgrade by the owner."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.models import Base
from core.schema import grants, migrate, present
from tests.servers import Cluster

AUDIT = {"webui_audit_logs", "telegram_command_audits"}
SECRET = {"usr_users": {"password_hash"}, "usr_verification_codes": {"code"}}
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@dataclass(frozen=True)
class Provisioned:
    """A database with three roles and default privileges, the schema made by its owner."""

    owner: Database
    runtime: Database
    viewer: Database


@pytest.fixture
def roles(cluster: Cluster) -> Iterator[Provisioned]:
    name = f't "{secrets.token_hex(4)}%s'  # names that need quotes
    quoted = {role: f'"{(name + role).replace(chr(34), chr(34) * 2)}"' for role in ("", "_owner", "_viewer")}
    database, owner, viewer = quoted[""], quoted["_owner"], quoted["_viewer"]
    default = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT"
    cluster.sql(
        *(f"CREATE ROLE {role} LOGIN PASSWORD 'for-the-tests-only'" for role in quoted.values()),
        f"CREATE DATABASE {database} OWNER {owner}",
    )
    cluster.sql(
        f"GRANT USAGE ON SCHEMA public TO {database}, {viewer}",
        f"{default} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {database}",
        f"{default} USAGE ON SEQUENCES TO {database}",
        f"{default} SELECT ON TABLES TO {viewer}",
        database=name,
    )
    made = Provisioned(
        *(Database(cluster.config(name, user=name + role, password="for-the-tests-only"))
          for role in ("_owner", "", "_viewer"))
    )  # fmt: skip
    migrate.upgrade(made.owner)
    yield made
    for one in (made.owner, made.runtime, made.viewer):
        one.dispose()
    cluster.sql(f"DROP DATABASE {database} WITH (FORCE)", *(f"DROP ROLE {role}" for role in quoted.values()))


def rights(db: Database) -> dict[str, set[str]]:
    """Table -> what the role may do with the whole table."""
    with db.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT relname, p FROM pg_class, unnest(%s::text[]) p WHERE relnamespace = 'public'::regnamespace"
            " AND relkind = 'r' AND has_table_privilege(oid, p)",
            (list(RIGHTS),),
        ).all()
    found: dict[str, set[str]] = {}
    for table, right in rows:
        found.setdefault(table, set()).add(right)
    return found


def unreadable_columns(db: Database) -> dict[str, set[str]]:
    with db.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT relname, attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND NOT has_column_privilege(c.oid, attnum, 'SELECT')"
        ).all()
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    return found


def test_rights_of_runtime(roles: Provisioned) -> None:
    expected = {table: {"SELECT", "INSERT", "UPDATE", "DELETE"} for table in Base.metadata.tables}
    expected |= {table: {"SELECT", "INSERT"} for table in AUDIT}
    assert rights(roles.runtime) == expected | {present.VERSION_TABLE: {"SELECT"}}
    assert unreadable_columns(roles.runtime) == {}


def test_rights_of_viewer(roles: Provisioned) -> None:
    tables = {*Base.metadata.tables, present.VERSION_TABLE} - SECRET.keys()
    assert rights(roles.viewer) == {table: {"SELECT"} for table in tables}
    assert unreadable_columns(roles.viewer) == SECRET


def test_audit_rows_are_added_and_never_changed(roles: Provisioned) -> None:
    with roles.runtime.connect() as connection:
        connection.exec_driver_sql("INSERT INTO webui_audit_logs (action, details) VALUES ('sign in', '{}')")
    for statement in ("UPDATE webui_audit_logs SET action = 'x'", "DELETE FROM webui_audit_logs"):
        with pytest.raises(TradekeepError), roles.runtime.connect() as connection:
            connection.exec_driver_sql(statement)


def test_deleting_a_person_keeps_their_audit_rows(roles: Provisioned) -> None:
    with roles.runtime.connect() as connection:
        user = connection.exec_driver_sql("INSERT INTO usr_users (email) VALUES ('a@b') RETURNING id").scalar()
        connection.exec_driver_sql(
            "INSERT INTO webui_audit_logs (action, details, user_id) VALUES ('x', '{}', %s)", (user,)
        )
        connection.exec_driver_sql("DELETE FROM usr_users")
        assert connection.exec_driver_sql("SELECT user_id FROM webui_audit_logs").all() == [(None,)]


def test_applying_again_changes_nothing(roles: Provisioned) -> None:
    acl = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    with roles.owner.connect() as connection:
        before = connection.exec_driver_sql(acl).all()
        grants.apply_derived(connection)
        assert connection.exec_driver_sql(acl).all() == before
    migrate.upgrade(roles.owner)
    with roles.owner.connect() as connection:
        assert connection.exec_driver_sql(acl).all() == before


def test_viewer_reads_a_column_that_came_later(roles: Provisioned) -> None:
    with roles.owner.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE usr_users ADD COLUMN nickname text")
    migrate.upgrade(roles.owner)
    assert unreadable_columns(roles.viewer) == SECRET


def test_status_can_be_read_by_every_role(roles: Provisioned) -> None:
    for db in (roles.runtime, roles.viewer):
        assert migrate.status(db).pending == []


def test_nobody_is_guessed_among_several(roles: Provisioned, cluster: Cluster) -> None:
    other = f"t_{secrets.token_hex(4)}"
    cluster.sql(f"CREATE ROLE {other}")
    try:
        with roles.owner.connect() as connection:
            for right in ("SELECT, INSERT", "SELECT"):
                connection.exec_driver_sql(f"ALTER DEFAULT PRIVILEGES GRANT {right} ON TABLES TO {other}")
                assert grants.roles(connection)[0] == roles.runtime.config.user
                connection.exec_driver_sql(f"ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM {other}")
            connection.rollback()
    finally:
        cluster.sql(f"DROP ROLE {other}")


def test_single_role_has_nobody_to_limit(db: Database) -> None:
    if db.backend == "postgresql":
        with db.connect() as connection:
            assert grants.roles(connection) == (None, None)
    assert migrate.upgrade(db).success
