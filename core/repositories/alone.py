"""Being the only one at something until a transaction's end, by PostgreSQL's advisory locks."""

from __future__ import annotations

import sqlalchemy as sa


def alone(connection: sa.Connection, what: str, of: str) -> bool:
    """Whether no other transaction is at it now, nor will be until this one's end.

    True on SQLite, which has one writer, and where this role may take no such lock.
    """
    if connection.dialect.name == "sqlite":
        return True
    may = sa.func.has_function_privilege("pg_try_advisory_xact_lock(int, int)", "EXECUTE")
    if not connection.scalar(sa.select(may)):
        return True
    lock = sa.func.pg_try_advisory_xact_lock(sa.func.hashtext(f"tradekeep.{what}"), sa.func.hashtext(of))
    return bool(connection.scalar(sa.select(lock)))
