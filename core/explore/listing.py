"""The tables and views of a database, with what they hold and how large they are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from core.database import Database
from core.explore.relation import KINDS
from core.format import identifier
from core.models import AREAS, Base

MOST_MEASURED, WAIT_MS = 5000, 100
_AREA_OF = {table: area for area, tables in AREAS.items() for table in tables}


def wanted(table: str, column: str | None = None) -> bool:
    """Whether Tradekeep's own schema has this table, and this column in it: where it is missing, the schema is."""
    own = Base.metadata.tables.get(table.removeprefix("public."))
    return own is not None and (column is None or column in own.columns)


@dataclass(frozen=True)
class TableInfo:
    """One table or view. area: of Tradekeep's own tables, else "". rows_estimate, bytes (with indexes): the server's
    estimates, None where unknown.
    """

    schema: str
    name: str
    kind: str
    area: str = ""
    rows_estimate: int | None = None
    bytes: int | None = None
    comment: str = ""


def tables(db: Database) -> list[TableInfo]:
    """Everything with rows that this role may read: Tradekeep's areas first, then by schema and name.

    Partitions are counted with their parent.
    """
    found = db.ask(_sqlite if db.backend == "sqlite" else _postgresql)
    order = {table: number for number, table in enumerate(_AREA_OF)}
    last = len(order)
    return sorted(found, key=lambda one: (order[one.name] if one.area else last, one.schema, one.name))


# Nothing here waits for the lock of a table: pg_total_relation_size and pg_partition_tree would.
_POSTGRESQL = """
WITH indexes AS (
    SELECT i.indrelid AS heap, sum(x.relpages) AS pages
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid GROUP BY 1
), sizes AS (
    SELECT CASE WHEN leaf.relispartition THEN pg_partition_root(leaf.oid) ELSE leaf.oid END AS heap,
           sum(CASE WHEN leaf.reltuples > 0 THEN leaf.reltuples ELSE pg_stat_get_live_tuples(leaf.oid) END)::bigint
               AS rows,
           sum(leaf.relpages + coalesce(toast.relpages, 0) + coalesce(own.pages, 0) + coalesce(long.pages, 0))
               FILTER (WHERE leaf.reltuples > 0)::bigint * current_setting('block_size')::bigint AS bytes,
           array_agg(leaf.oid) FILTER (WHERE leaf.reltuples <= 0) AS unknown
    FROM pg_class leaf LEFT JOIN pg_class toast ON toast.oid = leaf.reltoastrelid
    LEFT JOIN indexes own ON own.heap = leaf.oid LEFT JOIN indexes long ON long.heap = leaf.reltoastrelid
    WHERE leaf.relkind IN ('r', 'm') GROUP BY 1
)
SELECT n.nspname, c.relname, c.relkind::text, sizes.rows, sizes.bytes, sizes.unknown,
       coalesce(obj_description(c.oid, 'pg_class'), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN sizes ON sizes.heap = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND has_any_column_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
"""
# What is locked is left out; where a lock was taken between, the question ends instead of waiting.
_MEASURED = f"""
WITH closed AS MATERIALIZED (
    SELECT relation FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
)
SELECT c.oid, pg_total_relation_size(c.oid)
FROM pg_class c WHERE c.oid = ANY (%s::oid[]) AND NOT EXISTS (
    SELECT FROM closed WHERE relation IN (c.oid, c.reltoastrelid)
    OR relation IN (SELECT indexrelid FROM pg_index WHERE indrelid IN (c.oid, c.reltoastrelid)))
LIMIT {MOST_MEASURED}
"""  # noqa: S608  # a constant


def _postgresql(connection: Connection) -> list[TableInfo]:
    """Source: pg_class as of the last VACUUM or ANALYZE; before it rows are what the statistics counted.

    What was never analysed, or had no rows then, is measured.
    """
    found = connection.exec_driver_sql(_POSTGRESQL).all()
    measured = _measured(connection, [oid for row in found for oid in row.unknown or ()])
    return [
        TableInfo(
            schema=schema,
            name=name,
            kind=KINDS[kind],
            area=_AREA_OF.get(name, "") if schema == "public" else "",
            rows_estimate=rows,
            bytes=_in_all(size, [measured.get(oid) for oid in unknown or ()]),
            comment=comment,
        )
        for schema, name, kind, rows, size, unknown, comment in found
    ]


def _measured(connection: Connection, oids: list[int]) -> dict[int, int]:
    """oid -> bytes with indexes; without those that somebody holds locked."""
    if not oids:
        return {}
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {WAIT_MS}")
            return {oid: size for oid, size in connection.exec_driver_sql(_MEASURED, (oids,)) if size is not None}
    except DBAPIError:
        return {}


def _in_all(known: int | None, measured: list[int | None]) -> int | None:
    """The bytes of all parts of a table; of those that are known where some are not; None where none is."""
    parts = [part for part in (known, *measured) if part is not None]
    return sum(parts) if parts else None


def _sqlite(connection: Connection) -> list[TableInfo]:
    """A SQLite file keeps neither sizes nor numbers of rows; the highest row number is close where few were deleted."""
    found = connection.exec_driver_sql(
        "SELECT m.name, m.type, l.wr FROM sqlite_master m JOIN pragma_table_list l ON l.name = m.name"
        " AND l.schema = 'main' WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite^_%' ESCAPE '^'"
    ).all()
    infos = []
    for name, kind, without_rowid in found:
        rows = _highest(connection, name) if kind == "table" and not without_rowid else None
        infos.append(TableInfo("main", name, kind, _AREA_OF.get(name, ""), rows))
    return infos


def _highest(connection: Connection, table: str) -> int | None:
    """The highest row number; None where a column has that name, or the table's module is not here."""
    try:
        found = connection.exec_driver_sql(f"SELECT max(_rowid_) FROM {identifier(table)}").scalar()  # noqa: S608
    except DBAPIError:
        return None
    return found or 0 if found is None or isinstance(found, int) else None
