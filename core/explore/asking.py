"""A question to a database in a transaction that can write nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore.relation import forget

T = TypeVar("T")
# The relation changed since it was looked at.
CHANGED = frozenset({"schema.missing_table", "schema.missing_column", "schema.missing_schema", "permission.table"})


def ask(db: Database, question: Callable[[sa.Connection], T], **options: Any) -> T:
    """question(connection) in a transaction that leaves nothing; once more if the relation was not as thought.

    It is rolled back: a view's functions may have set another role for the pooled connection, or told listeners.
    """

    def undone(connection: sa.Connection) -> T:
        found = question(connection)
        connection.rollback()
        return found

    def once() -> T:
        if not options:
            return db.ask_exactly(undone)
        with db.connect(read_only=True, **options) as connection:
            return undone(connection)

    try:
        return once()
    except TradekeepError as error:
        if error.kind not in CHANGED:
            raise
    forget(db)
    return once()
