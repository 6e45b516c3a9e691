"""The frequent values of a column as the server's statistics know them: at once, on a table of any size."""

from __future__ import annotations

import sqlalchemy as sa

from core.database import Database
from core.explore.asking import ask
from core.explore.relation import relation

_VALUES = """
SELECT most_common_vals::text::text[], most_common_freqs FROM pg_stats
WHERE schemaname = %s AND tablename = %s AND attname = %s ORDER BY inherited DESC LIMIT 1
"""


def frequent(db: Database, table: str, column: str, *, limit: int = 20) -> list[tuple[str, int]]:
    """(value as text, about how many rows) of the whole table, most first; [] where nothing is known.

    Source: pg_stats, as of the last ANALYZE; SQLite keeps no such figures.
    """

    def question(connection: sa.Connection) -> list[tuple[str, int]]:
        of = relation(db, connection, table)
        rows = of.rows_estimate
        if rows is None:
            return []
        found = connection.exec_driver_sql(_VALUES, (of.schema, of.name, of.column(column).name)).one_or_none()
        if found is None or found[0] is None:
            return []
        counts = [(value, round(share * rows)) for value, share in zip(*found, strict=True)]
        return counts[:limit]

    return [] if db.backend == "sqlite" else ask(db, question)
