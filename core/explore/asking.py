"""A question to a database in a transaction that can write nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore.relation import forget

T = TypeVar("T")
# The relation changed since it was looked at.
CHANGED = frozenset({"schema.missing_table", "schema.missing_column", "schema.missing_schema", "permission.table"})


def ask(db: Database, question: Callable[[sa.Connection], T], **options: Any) -> T:
    """question(connection) in a transaction that can write nothing; once more if the relation was not as thought."""

    def reading(connection: sa.Connection) -> T:
        with read_only(db, connection):
            return question(connection)

    def once() -> T:
        if not options:
            return db.ask(reading)
        with db.connect(**options) as connection:
            return reading(connection)

    try:
        return once()
    except TradekeepError as error:
        if error.kind not in CHANGED:
            raise
    forget(db)
    return once()


@contextmanager
def read_only(db: Database, connection: sa.Connection) -> Iterator[None]:
    """Take the right to write from this transaction, where the role has it."""
    if db.read_only:
        yield
    elif db.backend == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        try:
            yield
        finally:
            connection.exec_driver_sql("PRAGMA query_only = OFF")
    else:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        yield
