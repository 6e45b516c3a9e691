"""What somebody may have meant by a name that no table or column has."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import sqlalchemy as sa

from core.database.naming import table_label

_NAMES = {
    "sqlite": "SELECT 'main', name FROM sqlite_master WHERE type IN ('table', 'view') LIMIT 5000",
    "postgresql": "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') LIMIT 5000",
}


def likely(name: str, names: Sequence[str]) -> str:
    """The one of the names that somebody may have meant by this one; "" where none is like it."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    return close[0] if close else ""


def meant(connection: sa.Connection, label: str) -> str:
    """A sentence with the table whose name is most like the label, to follow another one; "" where none is."""
    names = [table_label(*row) for row in connection.exec_driver_sql(_NAMES[connection.dialect.name])]
    close = likely(label, names)
    return f" Did you mean {close}?" if close else ""
