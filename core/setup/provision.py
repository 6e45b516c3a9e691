"""Database and roles from an admin connection: owner, runtime (the bots) and viewer, each with the least rights."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from pydantic import SecretStr

from core import embedded
from core.database import Connection, Database, session
from core.errors import TradekeepError
from core.log import remember_secret
from core.progress import Report, silent
from core.schema import grants
from core.settings import DatabaseConfig
from core.setup.privileges import close_public, grant_rights, monitor

LOCK = 7_220_318_450_011  # of provisioning, in the admin's own database
SYSTEM_DATABASES = frozenset({"postgres", "template0", "template1"})
LONGEST_NAME = 63 - len("_viewer")
_PUBLIC_TABLES = (
    "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public' AND pg_get_userbyid(c.relowner) <> ALL(%s)"
)


@dataclass(frozen=True)
class Provisioned:
    """What now exists. created: what this call made or changed, in words; kept: what it found right already."""

    owner: DatabaseConfig
    runtime: DatabaseConfig
    viewer: DatabaseConfig
    created: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Action:
    """One thing that provisioning will do; harm says what may stop working, if anything."""

    title: str
    harm: str = ""


def role_names(database: str) -> tuple[str, str, str]:
    """The names of owner, runtime and viewer for a database. Raises config.database_name."""
    if not database or "\0" in database or len(database.encode()) > LONGEST_NAME or database in SYSTEM_DATABASES:
        raise TradekeepError("config.database_name", database=database)
    return f"{database}_owner", database, f"{database}_viewer"


def plan(admin: DatabaseConfig, *, database: str = "trading", known: Sequence[DatabaseConfig] = ()) -> list[Action]:
    """What provision would do, without doing it. Raises permission.provision where the login may not."""
    names = role_names(database)
    with session(admin) as connection:
        _check_rights(connection)
        _check_database(connection, admin, database, names)
        roles = _existing_roles(connection, names)
        exists = _database_owner(connection, database) is not None
    actions = []
    for name in names:
        if name not in roles:
            actions.append(Action(f"Create role {name} with a generated password"))
        elif _working(known, admin, name, database) is None:
            actions.append(
                Action(
                    f"Give the existing role {name} a new password",
                    f"Programs that log in as {name} with its present password stop working.",
                )
            )
    if not exists:
        actions.append(Action(f"Create database {database}, owned by {names[0]}"))
    actions.append(Action(f"Take PUBLIC's rights on {database} away, and give each role its own"))
    return actions


def provision(
    admin: DatabaseConfig,
    *,
    database: str = "trading",
    progress: Report = silent,
    known: Sequence[DatabaseConfig] = (),
) -> Provisioned:
    """Make the database and its three roles, or bring them to what they should be; may be run again at any time.

    admin: a login that may create roles and databases; it is not stored. known: logins from the env files; one
    whose password still works keeps it. Passwords are generated and reach the server as SCRAM verifiers.
    Raises permission.provision, config.database_name, schema.foreign_database, schema.provisioning_busy.
    """
    names = role_names(database)
    bundled = _is_bundled(admin)
    with session(admin) as connection:
        _check_rights(connection)
        _lock(connection)
        _check_database(connection, admin, database, names)
        made = _Made(admin, database)
        for number, name in enumerate(names):
            progress(number, 6, f"Role {name}")
            made.configs.append(_role(connection, made, name, _working(known, admin, name, database)))
        progress(3, 6, f"Database {database}")
        _database(connection, made, names[0])
        progress(4, 6, "Rights")
        with session(admin.replace(database=database)) as inside:
            close_public(inside, database, names)
            grant_rights(inside, database, *names)
            made.warnings += monitor(inside, names[2])
        _rights_on_tables(made, names)
        if bundled:
            _close_elsewhere(connection, database)
        progress(5, 6, "Logging in as each role")  # under the lock: the next one may set new passwords
        for config in made.configs:
            with session(config):
                pass
    progress(6, 6, "Roles and database are ready")
    owner, runtime, viewer = made.configs
    return Provisioned(owner, runtime, viewer, made.created, made.kept, made.warnings)


def adopt(login: DatabaseConfig) -> Provisioned:
    """One login for everything, where a hosted database gives no other. Raises what the login raises."""
    with session(login):
        pass
    return Provisioned(login, login, login, kept=[f"login {login.user}"])


@dataclass
class _Made:
    """What one run of provision has found and done so far."""

    admin: DatabaseConfig
    database: str
    configs: list[DatabaseConfig] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _check_rights(connection: Connection) -> None:
    row = connection.execute(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, current_user FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    superuser, create_role, create_database, user = row or (False, False, False, "")
    missing = [
        word for word, may in (("CREATEROLE", create_role), ("CREATEDB", create_database)) if not (superuser or may)
    ]
    if missing:
        raise TradekeepError(
            "permission.provision", f"{user} may not create roles and databases", user=user, missing=" ".join(missing)
        )


def _lock(connection: Connection) -> None:
    connection.execute("SELECT set_config('lock_timeout', '30s', false)")
    try:
        connection.deadline_s = 40.0
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    except psycopg.errors.LockNotAvailable:
        raise TradekeepError("schema.provisioning_busy") from None


def _existing_roles(connection: Connection, names: Sequence[str]) -> set[str]:
    rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (list(names),)).fetchall()
    return {row[0] for row in rows}


def _database_owner(connection: Connection, database: str) -> str | None:
    row = connection.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (database,)
    ).fetchone()
    return row[0] if row else None


def _check_database(connection: Connection, admin: DatabaseConfig, database: str, names: Sequence[str]) -> None:
    """Refuse a database that holds somebody else's tables: taking it over could lock them out."""
    if _database_owner(connection, database) is None:
        return
    with session(admin.replace(database=database)) as inside:
        row = inside.execute(_PUBLIC_TABLES, ([names[0]],)).fetchone()
    if row and row[0]:
        raise TradekeepError("schema.foreign_database", database=database, owner=names[0], tables=row[0])


def _working(known: Sequence[DatabaseConfig], admin: DatabaseConfig, name: str, database: str) -> DatabaseConfig | None:
    """The known login of that role on this very server whose password still works."""
    for config in known:
        if (config.user, config.host, config.port) == (name, admin.host, admin.port) and config.password is not None:
            try:
                with session(config):
                    return config
            except TradekeepError as error:
                if error.kind == "schema.no_database":  # the login was right, the database is still to be made
                    return config
    return None


def _role(connection: Connection, made: _Made, name: str, working: DatabaseConfig | None) -> DatabaseConfig:
    """The role, created or brought into line; a working password is kept, else a new one is set."""
    exists = bool(_existing_roles(connection, [name]))
    if exists and working is not None:
        _demote(connection, made, name)
        made.kept.append(f"role {name}")
        return working.replace(database=made.database)
    password = secrets.token_urlsafe(24)
    remember_secret(password)
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    remember_secret(verifier)
    verb = "ALTER" if exists else "CREATE"
    connection.execute(
        sql.SQL("{} ROLE {} WITH LOGIN PASSWORD {}").format(sql.SQL(verb), sql.Identifier(name), sql.Literal(verifier))
    )
    if exists:
        _demote(connection, made, name)
    made.created.append(f"password of role {name}" if exists else f"role {name}")
    return made.admin.replace(user=name, password=SecretStr(password), database=made.database)


def _demote(connection: Connection, made: _Made, name: str) -> None:
    """Take from an existing role what no trading role should have."""
    row = connection.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s",
        (name,),
    ).fetchone()
    words = ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS")
    for word, has in zip(words, row or (), strict=False):
        if has:
            connection.execute(sql.SQL("ALTER ROLE {} NO{}").format(sql.Identifier(name), sql.SQL(word)))
            made.created.append(f"role {name} without {word}")


def _database(connection: Connection, made: _Made, owner: str) -> None:
    identifier, owner_identifier = sql.Identifier(made.database), sql.Identifier(owner)
    present = _database_owner(connection, made.database)
    if present == owner:
        made.kept.append(f"database {made.database}")
        return
    superuser = connection.info.parameter_status("is_superuser") == "on"
    if not superuser:  # since PostgreSQL 16 the maker of a role may use it only after this
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner_identifier))
    if present is None:
        encoding = connection.execute(
            "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template1'"
        )
        template = (
            sql.SQL("")
            if (encoding.fetchone() or ("",))[0] == "UTF8"
            else sql.SQL(" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        )
        connection.deadline_s = None  # copying a template may take its time
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, owner_identifier) + template)
        made.created.append(f"database {made.database}")
    else:
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(identifier, owner_identifier))
        made.created.append(f"owner of database {made.database}")


def _is_bundled(admin: DatabaseConfig) -> bool:
    found = embedded.status()
    return found.state == "running" and found.port == admin.port and admin.host in ("127.0.0.1", "localhost")


def _rights_on_tables(made: _Made, names: Sequence[str]) -> None:
    """On a database that has its tables already: default privileges say nothing about those."""
    owner = Database(made.configs[0])
    try:
        with owner.connect() as connection:
            grants.again(connection, runtime=names[1], viewer=names[2])
    finally:
        owner.dispose()


def _close_elsewhere(connection: Connection, database: str) -> None:
    """On the bundled server nobody but its admin and the roles of a database have any business in it."""
    rows = connection.execute("SELECT datname FROM pg_database WHERE datname <> %s", (database,)).fetchall()
    for (name,) in rows:
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
