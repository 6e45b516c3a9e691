"""Sessions of the administrator: with the server itself, safe from a database's own functions, one setup at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from core.database import Connection, session
from core.errors import TradekeepError
from core.settings import DatabaseConfig
from core.setup.pooler import check_direct

LOCK = 7_220_318_450_011  # of provisioning, on the whole server
LOCK_DATABASE = "postgres"  # advisory locks hold within one database, so everybody takes it in the same one


@contextmanager
def administering(login: DatabaseConfig) -> Iterator[Connection]:
    """A session with the server itself, in which every name is PostgreSQL's. Raises config.pooler.

    The owner of a database may give it a search path in which own functions and operators come first: they would
    run with the administrator's rights.
    """
    with session(login) as connection:
        check_direct(connection)
        connection.execute("SELECT pg_catalog.set_config('search_path', 'pg_catalog', false)")
        yield connection


@contextmanager
def alone(admin: DatabaseConfig) -> Iterator[None]:
    """Hold the server's lock of provisioning. Raises schema.provisioning_busy after 30 s."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(administering(admin.replace(database=LOCK_DATABASE)))
        except TradekeepError as error:
            if error.error_type not in ("schema", "permission", "config"):
                raise
            # There is no such database, or it is closed to this login.
            connection = stack.enter_context(administering(admin))
        _lock(connection)
        yield


@contextmanager
def alone_inside(login: DatabaseConfig) -> Iterator[None]:
    """Hold the same lock within one database: an owner, who may not enter the other one, can take it there.

    Where the database does not exist, or the login may not do that, the block runs without it.
    Raises schema.provisioning_busy after 30 s.
    """
    with ExitStack() as stack:
        try:
            _lock(stack.enter_context(administering(login)))
        except psycopg.errors.InsufficientPrivilege:
            pass
        except TradekeepError as error:
            if error.error_type not in ("auth", "schema", "permission") or error.kind == "schema.provisioning_busy":
                raise
        yield


def _lock(connection: Connection) -> None:
    connection.execute("SELECT set_config('lock_timeout', '30s', false)")
    connection.deadline_s = 40.0
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    except psycopg.errors.LockNotAvailable:
        raise TradekeepError("schema.provisioning_busy") from None
