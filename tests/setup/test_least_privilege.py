"""What the runtime and the viewer role must not do, each tried for real, on the newest and the oldest PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from core.database import Database
from core.schema import migrate
from core.setup import provision
from core.setup.provision import Provisioned
from tests.servers import Cluster, system_binaries

OLDEST = 15
DENIED = "42501"
# What runtime must not do; each refused with insufficient_privilege, unless another SQLSTATE says why it cannot.
PROBES: dict[str, str | tuple[str, str]] = {
    # objects
    "create a table": "CREATE TABLE mine (a int)",
    "create a table by select": "CREATE TABLE mine AS SELECT 1",
    "select into a table": "SELECT 1 AS a INTO mine",
    "create a temporary table": "CREATE TEMP TABLE mine (a int)",
    "create an unlogged table": "CREATE UNLOGGED TABLE mine (a int)",
    "create a schema": "CREATE SCHEMA mine",
    "create a view": "CREATE VIEW mine AS SELECT * FROM trades",
    "create a materialized view": "CREATE MATERIALIZED VIEW mine AS SELECT 1",
    "create a sequence": "CREATE SEQUENCE mine",
    "create a function": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "create a procedure": "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'",
    "create an aggregate": "CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)",
    "create a type": "CREATE TYPE mine AS (a int)",
    "create a domain": "CREATE DOMAIN mine AS int",
    "create a collation": 'CREATE COLLATION mine FROM "C"',
    "create an extension": "CREATE EXTENSION pg_trgm",
    "create an event trigger": "CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()",
    "create a publication": "CREATE PUBLICATION p FOR TABLE trades",
    "create a foreign server": "CREATE FOREIGN DATA WRAPPER w",
    "create a language": "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
    "create a cast": "CREATE CAST (text AS trades) WITH INOUT",
    "create a tablespace": "CREATE TABLESPACE t LOCATION '/tmp'",
    "create a database": "CREATE DATABASE d",
    "create an index": "CREATE INDEX mine ON trades (price)",
    "create a trigger": "CREATE TRIGGER t BEFORE INSERT ON trades EXECUTE FUNCTION tsvector_update_trigger()",
    "create a rule": "CREATE RULE r AS ON DELETE TO trades DO INSTEAD NOTHING",
    "create a policy": "CREATE POLICY p ON trades USING (true)",
    "create statistics": "CREATE STATISTICS s ON symbol, price FROM trades",
    # changing what is there
    "add a column": "ALTER TABLE trades ADD COLUMN a int",
    "drop a constraint": "ALTER TABLE trades DROP CONSTRAINT ck_trades_price",
    "disable triggers": "ALTER TABLE trades DISABLE TRIGGER ALL",
    "take a table": "ALTER TABLE trades OWNER TO CURRENT_USER",
    "rename a table": "ALTER TABLE trades RENAME TO mine",
    "drop a table": "DROP TABLE trades",
    "drop a schema": "DROP SCHEMA public CASCADE",
    "drop the database": ("DROP DATABASE postgres", DENIED),
    "rename the database": "ALTER DATABASE leased RENAME TO mine",
    "set for the database": "ALTER DATABASE leased SET work_mem = '1GB'",
    "truncate": "TRUNCATE trades",
    "reset a sequence": "SELECT setval('trades_id_seq', 1)",
    "comment": "COMMENT ON TABLE trades IS 'mine'",
    "vacuum full": ("VACUUM (FULL) trades", "warning"),
    "grant": ("GRANT ALL ON trades TO PUBLIC", "denied or nothing"),
    "change the owner's defaults": "ALTER DEFAULT PRIVILEGES FOR ROLE leased_owner GRANT ALL ON TABLES TO PUBLIC",
    "security label": ("SECURITY LABEL ON TABLE trades IS 'x'", "22023"),
    # audit rows and the migrations' table
    "change an audit row": "UPDATE webui_audit_logs SET action = 'x'",
    "delete an audit row": "DELETE FROM webui_audit_logs",
    "truncate the audit log": "TRUNCATE webui_audit_logs",
    "merge into the audit log": "MERGE INTO webui_audit_logs a USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "change a command's audit row": "UPDATE telegram_command_audits SET success = true",
    "delete a command's audit row": "DELETE FROM telegram_command_audits",
    "lock the audit log": "BEGIN; LOCK TABLE webui_audit_logs IN ACCESS EXCLUSIVE MODE",
    "write the revision": "UPDATE alembic_version SET version_num = 'x'",
    "delete the revision": "DELETE FROM alembic_version",
    "add a revision": "INSERT INTO alembic_version VALUES ('x')",
    "lock the revision": "BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE",
    # code and locks that would block migrations
    "a DO block": "DO $$ BEGIN END $$",
    "a function in plpgsql": "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
    "the migrations' lock": "SELECT pg_advisory_lock(7245001)",
    "the migrations' lock in two halves": "SELECT pg_advisory_lock(0, 7245001)",
    "the lock of a transaction": "SELECT pg_advisory_xact_lock(7245001)",
    "a shared lock": "SELECT pg_advisory_lock_shared(7245001)",
    "a shared lock of a transaction": "SELECT pg_advisory_xact_lock_shared(7245001)",
    "a lock without waiting": "SELECT pg_try_advisory_lock(7245001)",
    "a shared lock without waiting": "SELECT pg_try_advisory_xact_lock_shared(7245001)",
    # large objects, files, programs
    "create a large object": "SELECT lo_create(0)",
    "create a large object the old way": "SELECT lo_creat(-1)",
    "fill a large object": "SELECT lo_from_bytea(0, 'x')",
    "import a file": "SELECT lo_import('/etc/hostname')",
    "export to a file": "SELECT lo_export(1, '/tmp/x')",
    "read a file": "SELECT pg_read_file('/etc/hostname')",
    "read a binary file": "SELECT pg_read_binary_file('/etc/hostname')",
    "list a folder": "SELECT pg_ls_dir('.')",
    "list the logs": "SELECT pg_ls_logdir()",
    "look at a file": "SELECT pg_stat_file('PG_VERSION')",
    "copy to a file": "COPY trades TO '/tmp/x'",
    "copy from a file": "COPY trades FROM '/etc/hostname'",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "read from a program": "COPY trades FROM PROGRAM 'true'",
    "load a library": "LOAD '/tmp/x.so'",
    "read the rules of pg_hba.conf": "SELECT * FROM pg_hba_file_rules",
    "read the settings' files": "SELECT * FROM pg_file_settings",
    # roles and other sessions
    "create a role": "CREATE ROLE r",
    "make itself a superuser": "ALTER ROLE leased SUPERUSER",
    "let itself create databases": "ALTER ROLE leased CREATEDB",
    "change the owner's password": "ALTER ROLE leased_owner PASSWORD 'x'",
    "drop a role": "DROP ROLE leased_viewer",
    "join the owner": "GRANT leased_owner TO leased",
    "join the monitors": "GRANT pg_monitor TO leased",
    "become the owner": "SET ROLE leased_owner",
    "become the viewer": "SET ROLE leased_viewer",
    "become the superuser": "SET SESSION AUTHORIZATION postgres",
    "read password hashes": "SELECT * FROM pg_authid",
    "read the old password view": "SELECT * FROM pg_shadow",
    "read roles": "SELECT * FROM pg_roles",
    "read memberships": "SELECT * FROM pg_auth_members",
    "read other sessions": "SELECT query FROM pg_stat_activity",
    "end another session": "SELECT pg_terminate_backend(:admin)",
    "cancel another session": "SELECT pg_cancel_backend(:admin)",
    "log another session's memory": "SELECT pg_log_backend_memory_contexts(:admin)",
    # the server
    "alter the system": "ALTER SYSTEM SET work_mem = '1GB'",
    "reload": "SELECT pg_reload_conf()",
    "rotate the log": "SELECT pg_rotate_logfile()",
    "checkpoint": "CHECKPOINT",
    "switch the log of changes": "SELECT pg_switch_wal()",
    "a restore point": "SELECT pg_create_restore_point('x')",
    "begin a backup": "SELECT pg_backup_start('x')",
    "promote": "SELECT pg_promote()",
    "a replication slot": "SELECT pg_create_physical_replication_slot('x')",
    "a logical slot": "SELECT pg_create_logical_replication_slot('x', 'pgoutput')",
    "reset statistics": "SELECT pg_stat_reset()",
    "log all statements": "SET log_statement = 'all'",
    "switch triggers off": "SET session_replication_role = 'replica'",
    "hide from the log": "SET log_min_messages = 'panic'",
    "preload a library": "SET session_preload_libraries = 'x'",
}
VIEWER_PROBES = {
    "insert": "INSERT INTO telegram_settings (key) VALUES ('x')",
    "update": "UPDATE trades SET price = 0",
    "delete": "DELETE FROM trades",
    "merge": "MERGE INTO trades t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "truncate": "TRUNCATE trades",
    "copy in": "COPY trades FROM STDIN",
    "lock for writing": "BEGIN; LOCK TABLE trades IN ACCESS EXCLUSIVE MODE",
    "lock a row": "SELECT * FROM trades FOR UPDATE",
    "draw from a sequence": "SELECT nextval('trades_id_seq')",
    "create a table": "CREATE TABLE mine (a int)",
    "create a temporary table": "CREATE TEMP TABLE mine (a int)",
    "drop a table": "DROP TABLE trades",
    "become the runtime": "SET ROLE leased",
    "end the owner's session": "SELECT pg_terminate_backend(:admin)",
    "read password hashes of people": "SELECT password_hash FROM usr_users",
    "read codes of people": "SELECT code FROM usr_verification_codes",
    "read whole rows with hashes": "SELECT u FROM usr_users u",
    "read hashes of the roles": "SELECT rolpassword FROM pg_authid",
    "a large object": "SELECT lo_create(0)",
    "the migrations' lock": "SELECT pg_advisory_lock(7245001)",
    "a DO block": "DO $$ BEGIN END $$",
}


def connect(config: Any, **arguments: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(**config.libpq_params(), autocommit=True, connect_timeout=5, **arguments)


@pytest.fixture(scope="module", params=["newest", "oldest"])
def leased(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, Provisioned]]:
    """A database as the bundled server gets it, provisioned and migrated, on each version."""
    binaries = system_binaries().get(OLDEST)
    if request.param == "oldest" and binaries is None:
        if os.environ.get("REQUIRE_POSTGRES"):
            pytest.fail(f"REQUIRE_POSTGRES is set and PostgreSQL {OLDEST} is not installed")
        pytest.skip(f"no PostgreSQL {OLDEST} here")
    with Cluster(binaries=binaries if request.param == "oldest" else None) as server:
        made = provision.provision(server.admin, database="leased", bundled=True)
        owner = Database(made.owner)
        migrate.upgrade(owner)
        owner.dispose()
        provision.provision(server.admin, database="other", bundled=True)
        yield server, made


@pytest.fixture(scope="module")
def admin(leased: tuple[Cluster, Provisioned]) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's session, which the probes must not reach."""
    with leased[0].connect("leased") as connection:
        yield connection


def refused(connection: psycopg.Connection[Any], statement: str, pid: int) -> str:
    """The SQLSTATE with which it is refused, or the warnings with which nothing happens; "" where it works."""
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(notice.sqlstate or ""))
    try:
        if statement.startswith("COPY trades FROM STDIN"):
            with connection.cursor().copy(statement.encode()) as copy:
                copy.write(b"")
        else:
            connection.execute(statement.replace(":admin", str(pid)).encode())
    except psycopg.Error as error:
        return error.sqlstate or str(error)
    return f"warning {','.join(said)}" if said else ""


@pytest.mark.parametrize("probe", PROBES)
def test_runtime_may_not(leased: tuple[Cluster, Provisioned], admin: psycopg.Connection[Any], probe: str) -> None:
    wanted = PROBES[probe]
    statement, how = wanted if isinstance(wanted, tuple) else (wanted, DENIED)
    with connect(leased[1].runtime) as connection:
        found = refused(connection, statement, admin.info.backend_pid)
    if how == "warning":  # PostgreSQL leaves the table out and says so
        assert found == "warning 01000" or found.startswith("warning 42501")
    elif how == "denied or nothing":
        assert found in (DENIED, "warning 01007")
    else:
        assert found == how
    assert admin.execute("SELECT count(*) FROM pg_class WHERE relname = 'mine'").fetchone() == (0,)
    assert admin.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


@pytest.mark.parametrize("probe", VIEWER_PROBES)
def test_viewer_may_not_even_when_it_asks_to_write(
    leased: tuple[Cluster, Provisioned], admin: psycopg.Connection[Any], probe: str
) -> None:
    with connect(leased[1].viewer) as connection:
        connection.execute("SET default_transaction_read_only = off")
        assert refused(connection, VIEWER_PROBES[probe], admin.info.backend_pid) == DENIED


@pytest.mark.parametrize("database", ["postgres", "template1", "other"])
@pytest.mark.parametrize("role", ["owner", "runtime", "viewer"])
def test_other_databases_of_the_bundled_server_are_closed(
    leased: tuple[Cluster, Provisioned], role: str, database: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(getattr(leased[1], role).replace(database=database))


@pytest.mark.parametrize("role", ["owner", "runtime", "viewer"])
def test_no_role_has_an_attribute_that_reaches_beyond_its_database(
    leased: tuple[Cluster, Provisioned], admin: psycopg.Connection[Any], role: str
) -> None:
    name = getattr(leased[1], role).user
    found = admin.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s",
        (name,),
    ).fetchone()
    assert found == (False,) * 5
    with pytest.raises(psycopg.OperationalError, match=r"WAL sender|walsender"):
        connect(getattr(leased[1], role), replication="database")
