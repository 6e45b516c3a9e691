"""Database and roles from an admin connection: owner, runtime (the bots) and viewer, each with the least rights."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from psycopg import sql
from pydantic import SecretStr

from core import embedded
from core.database import Connection, Database, session
from core.errors import TradekeepError
from core.log import remember_secret
from core.probe import probe
from core.progress import Report, silent
from core.schema import alone as alone_in_schema
from core.schema import grants, migrate
from core.settings import DatabaseConfig
from core.settings.config import loopback, this_machine
from core.setup.administration import administering, alone, alone_inside
from core.setup.privileges import close_public, grant_rights, leave_roles, monitor

LONGEST_NAME = 63 - len("_viewer")
SYSTEM_DATABASES = frozenset({"postgres", "template0", "template1"})
RESERVED_NAMES = frozenset({"public", "none", "current_user", "session_user", "current_role", "user"})
LOOPBACK = frozenset({"*", "localhost", "127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104  # compared, binds none
# What says of a password that it is not the role's; other refusals (a rule of the server) say nothing about it.
WRONG = frozenset({"auth.password", "auth.no_password", "auth.role_missing", "auth.role_no_login"})
ATTRIBUTES = ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS")
# How to reach the server; what else an administrator's login carries (client keys, names) is not the bots'.
CARRIED = frozenset({
    "hostaddr", "sslmode", "sslrootcert", "sslcrl", "sslcrldir", "sslnegotiation", "channel_binding", "require_auth",
    "gssencmode", "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs", "load_balance_hosts",
})  # fmt: skip
_FOREIGN_TABLES = """
    SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND pg_get_userbyid(c.relowner) <> %s
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""


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


@dataclass(frozen=True)
class _Login:
    """One of the three roles: how it signs in from now on, and what is to be done for that."""

    config: DatabaseConfig
    exists: bool
    works: bool
    loses: tuple[str, ...] = ()
    may_sign_in: bool = True

    @property
    def name(self) -> str:
        return self.config.user


def role_names(database: str) -> tuple[str, str, str]:
    """The names of owner, runtime and viewer for a database. Raises config.database_name with the rule it breaks."""
    rule = _broken_rule(database)
    if rule:
        raise TradekeepError("config.database_name", rule, database=database)
    return f"{database}_owner", database, f"{database}_viewer"


def _broken_rule(database: str) -> str:
    if not database.strip():
        return "The database needs a name."
    if database != database.strip():
        return "The name begins or ends with a blank."
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in database):
        return "The name holds a control character."
    if len(database.encode()) > LONGEST_NAME:
        return f"The name is longer than {LONGEST_NAME} bytes; the roles' names are made from it."
    if database in SYSTEM_DATABASES:
        return f"{database} is one of PostgreSQL's own databases."
    if database.startswith("pg_") or database in RESERVED_NAMES:
        return f"PostgreSQL reserves the name {database}."
    return ""


def plan(admin: DatabaseConfig, *, database: str = "trading", known: Sequence[DatabaseConfig] = ()) -> list[Action]:
    """What provision would do, without doing it. Raises what provision raises before it changes anything."""
    names = role_names(database)
    with administering(admin) as connection:
        _check_rights(connection, names)
        _check_database(connection, admin, database, names)
        reached = _reached(connection, admin, database, names)
        logins = [_login(connection, reached, name, database, known) for name in names]
        exists = _database_owner(connection, database) is not None
    actions = [action for login in logins for action in _actions(login)]
    if not exists:
        actions.append(Action(f"Create database {database}, owned by {names[0]}"))
    actions.append(Action(f"Take PUBLIC's rights on {database} away, and give each role its own"))
    return actions


def _actions(login: _Login) -> list[Action]:
    if not login.exists:
        return [Action(f"Create role {login.name} with a generated password")]
    found = []
    if not login.works:
        harm = f"Programs that log in as {login.name} with its present password stop working."
        found.append(Action(f"Give the existing role {login.name} a new password", harm))
    if login.loses:
        harm = f"Whoever uses {login.name} for that cannot any more."
        found.append(Action(f"Take {', '.join(login.loses)} from role {login.name}", harm))
    if not login.may_sign_in:
        found.append(Action(f"Let role {login.name} sign in"))
    return found


def provision(
    admin: DatabaseConfig,
    *,
    database: str = "trading",
    progress: Report = silent,
    known: Sequence[DatabaseConfig] = (),
    prepare: Callable[[Provisioned], None] | None = None,
    bundled: bool | None = None,
) -> Provisioned:
    """Make the database and its three roles, or bring them to what they should be; may be run again at any time.

    admin: a login that may create roles and databases; it is not stored. known: logins from the env files; one
    whose password still works keeps it. Passwords are generated and reach the server as SCRAM verifiers.
    prepare: called with what the logins will be before anything is changed, so that the files that will hold them
    can be written beside the old ones first; what it raises ends the call with nothing changed. bundled: whether
    this is Tradekeep's own server (None: found out), where nobody has any business in the other databases.
    Raises permission.provision, config.database_name, config.pooler, config.own_login, schema.foreign_database,
    schema.provisioning_busy.
    """
    names = role_names(database)
    with alone(admin), alone_inside(admin.replace(database=database)), administering(admin) as connection:
        _check_rights(connection, names)
        _check_database(connection, admin, database, names)
        reached = _reached(connection, admin, database, names)
        logins = [_login(connection, reached, name, database, known) for name in names]
        owner, runtime, viewer = (login.config for login in logins)
        made = Provisioned(owner, runtime, viewer)
        if prepare is not None:
            prepare(made)
        for number, login in enumerate(logins):
            progress(number, 6, f"Role {login.name}")
            _role(connection, made, login)
        progress(3, 6, f"Database {database}")
        _database(connection, made, database, names[0])
        progress(4, 6, "Rights")
        with administering(admin.replace(database=database)) as inside:
            made.warnings.extend(close_public(inside, database, names))
            made.warnings.extend(leave_roles(inside, names))
            grant_rights(inside, database, *names)
            made.warnings.extend(monitor(inside, names[2]))
        _rights_on_tables(made)
        if _is_bundled(admin) if bundled is None else bundled:
            _close_elsewhere(connection, database)
        progress(5, 6, "Logging in as each role")  # under the lock: the next one may set new passwords
        for config in (owner, runtime, viewer):
            with session(config):
                pass
    progress(6, 6, "Roles and database are ready")
    return made


def adopt(login: DatabaseConfig) -> Provisioned:
    """One login for everything, where a hosted database gives no other.

    Some providers give just the database postgres, to a login that is no superuser; a superuser has the choice.
    Raises what the login raises; config.database_name for a superuser in one of PostgreSQL's own databases;
    schema.unmanaged where tables with our names match no revision: they are somebody else's.
    """
    name = login.database or login.user
    with Database(login) as database:
        own = database.backend == "postgresql" and name in SYSTEM_DATABASES
        if own and database.capabilities.superuser:
            raise TradekeepError("config.database_name", f"{name} is one of PostgreSQL's own databases.", database=name)
        found = migrate.status(database)
    if found.unmanaged and not found.matching:
        raise TradekeepError("schema.unmanaged", database=login.database)
    return Provisioned(login, login, login, kept=[f"login {login.user}"])


def _check_rights(connection: Connection, names: Sequence[str]) -> None:
    row = connection.execute(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, current_user, session_user FROM pg_roles"
        " WHERE rolname = current_user"
    ).fetchone()
    superuser, create_role, create_database, user, signed_in = row or (False, False, False, "", "")
    if {user, signed_in} & set(names):
        raise TradekeepError("config.own_login", user=signed_in, database=names[1])
    missing = [
        word for word, may in (("CREATEROLE", create_role), ("CREATEDB", create_database)) if not (superuser or may)
    ]
    if missing:
        raise TradekeepError(
            "permission.provision", f"{user} may not create roles and databases", user=user, missing=" ".join(missing)
        )


def _database_owner(connection: Connection, database: str) -> str | None:
    row = connection.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (database,)
    ).fetchone()
    return row[0] if row else None


def _check_database(connection: Connection, admin: DatabaseConfig, database: str, names: Sequence[str]) -> None:
    """Refuse a database that holds somebody else's tables: taking it over could lock them out."""
    if _database_owner(connection, database) in (None, names[0]):
        return
    with administering(admin.replace(database=database)) as inside:
        row = inside.execute(_FOREIGN_TABLES, (names[0],)).fetchone()
    if row and row[0]:
        raise TradekeepError("schema.foreign_database", database=database, owner=names[0], tables=row[0])


def _reached(connection: Connection, admin: DatabaseConfig, database: str, names: Sequence[str]) -> DatabaseConfig:
    """The way to the server that the three roles take: the administrator's, unless no password lets in there.

    Through a socket many servers ask the system who somebody is (peer): the roles' passwords count over TCP only.
    Raises auth.peer where the server does not listen there.
    """
    folder, port = connection.info.host, connection.info.port
    if not folder.startswith(("/", "@")) or probe(folder, port, user=names[1], database=database).auth_method:
        return admin
    (listening,) = connection.execute("SELECT current_setting('listen_addresses')").fetchone() or ("",)
    if {one.strip() for one in listening.split(",")} & LOOPBACK:
        return admin.replace(host="localhost", port=port)
    message = (
        f"Through the socket in {folder} the server asks the system who somebody is, so that the passwords of the "
        "three roles would count for nothing, and it does not listen at localhost."
    )
    raise TradekeepError("auth.peer", message, user=names[1], host=folder, port=port)


def _login(
    connection: Connection, admin: DatabaseConfig, name: str, database: str, known: Sequence[DatabaseConfig]
) -> _Login:
    """What is to be done for one role: its known password is kept if it still works, else one is generated."""
    row = connection.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin FROM pg_roles"
        " WHERE rolname = %s",
        (name,),
    ).fetchone()
    options = {key: value for key, value in admin.options.items() if key in CARRIED}
    config = admin.replace(user=name, database=database, options=options)
    _check_admitted(config)
    if row is None:
        return _Login(_generated(config), exists=False, works=False)
    loses = tuple(word for word, has in zip(ATTRIBUTES, row[:5], strict=True) if has)
    for password in _known_passwords(known, admin, name):
        if works(config.replace(password=password)):
            return _Login(config.replace(password=password), True, True, loses, row[5])
    return _Login(_generated(config), True, False, loses, row[5])


def _check_admitted(config: DatabaseConfig) -> None:
    """Raise auth.pg_hba where a rule of the server keeps the role out: a new password would be changed for nothing."""
    if "," in config.host or "service" in config.options:
        return
    place, port = config.options.get("hostaddr") or config.host or "localhost", config.port or 5432
    mode = config.options.get("sslmode", "prefer")
    for tls in (True, False) if mode in ("prefer", "allow") else (mode != "disable",):
        answer = probe(place, port, user=config.user, database=config.database, tls=tls)
        if answer.routine != "ClientAuthentication":
            return
    raise TradekeepError("auth.pg_hba", answer.message, user=config.user, database=config.database, host=place)


def _generated(config: DatabaseConfig) -> DatabaseConfig:
    password = secrets.token_urlsafe(24)
    remember_secret(password)
    return config.replace(password=SecretStr(password))


def _known_passwords(known: Sequence[DatabaseConfig], admin: DatabaseConfig, name: str) -> list[SecretStr]:
    """Passwords that the files hold for this role on this very server, however they write its address."""

    def place(config: DatabaseConfig) -> tuple[str, int]:
        return ("here" if this_machine(config.host) else config.host), config.port or 5432

    found = [c.password for c in known if c.user == name and place(c) == place(admin) and c.password is not None]
    return list({password.get_secret_value(): password for password in found}.values())


def works(config: DatabaseConfig) -> bool:
    """Whether the server takes this password; an error that says nothing about it is raised."""
    try:
        with session(config):
            return True
    except TradekeepError as error:
        if error.kind in WRONG:
            return False
        if error.error_type in ("schema", "permission"):  # signed in, only the database is missing or closed
            return True
        raise


def _role(connection: Connection, made: Provisioned, login: _Login) -> None:
    """Create the role, or bring it into line; a password that works is left alone."""
    identifier = sql.Identifier(login.name)
    if not login.works:
        password = login.config.password.get_secret_value() if login.config.password else ""
        verifier = connection.pgconn.encrypt_password(password.encode(), login.name.encode(), b"scram-sha-256").decode()
        remember_secret(verifier)
        verb = sql.SQL("ALTER" if login.exists else "CREATE")
        statement = sql.SQL("{} ROLE {} WITH LOGIN PASSWORD {} VALID UNTIL 'infinity'").format(
            verb, identifier, sql.Literal(verifier)
        )
        connection.execute(statement)
        made.created.append(f"password of role {login.name}" if login.exists else f"role {login.name}")
    else:
        made.kept.append(f"role {login.name}")
    for word in login.loses:
        connection.execute(sql.SQL("ALTER ROLE {} NO{}").format(identifier, sql.SQL(word)))
        made.created.append(f"role {login.name} without {word}")
    if not login.may_sign_in:
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(identifier))


def _database(connection: Connection, made: Provisioned, database: str, owner: str) -> None:
    identifier, owner_identifier = sql.Identifier(database), sql.Identifier(owner)
    present = _database_owner(connection, database)
    if present == owner:
        made.kept.append(f"database {database}")
        return
    superuser = connection.info.parameter_status("is_superuser") == "on"
    if not superuser:  # since PostgreSQL 16 the maker of a role may use it only after this
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner_identifier))
    if present is None:
        encoding = connection.execute(
            "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template1'"
        ).fetchone()
        template = (
            sql.SQL("")
            if encoding and encoding[0] == "UTF8"
            else sql.SQL(" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        )
        connection.deadline_s = None  # copying a template may take its time
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, owner_identifier) + template)
        made.created.append(f"database {database}")
    else:
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(identifier, owner_identifier))
        made.created.append(f"owner of database {database}")


def _is_bundled(admin: DatabaseConfig) -> bool:
    found = embedded.status()
    return found.state == "running" and found.port == admin.port and (not admin.host or loopback(admin.host))


def _rights_on_tables(made: Provisioned) -> None:
    """On a database that has its tables already: default privileges say nothing about those.

    Not while somebody migrates: two sessions that grant on one table at once fail.
    """
    runtime, viewer = made.runtime.user, made.viewer.user
    with Database(made.owner) as owner:
        alone_in_schema.run(owner, lambda connection: grants.again(connection, runtime=runtime, viewer=viewer))


def _close_elsewhere(connection: Connection, database: str) -> None:
    """Nobody but its admin and the roles of a database have any business in another one of the bundled server."""
    rows = connection.execute("SELECT datname FROM pg_database WHERE datname <> %s", (database,)).fetchall()
    for (name,) in rows:
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
