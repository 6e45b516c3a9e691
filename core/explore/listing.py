"""The tables and views of a database, with what they hold and how large they are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from core.database import Database
from core.explore.relation import KINDS
from core.models import AREAS

_AREA_OF = {table: area for area, tables in AREAS.items() for table in tables}


@dataclass(frozen=True)
class TableInfo:
    """One table or view. area: of Tradekeep's own tables, else ""; rows_estimate, bytes: None where unknown."""

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


_POSTGRESQL = """
SELECT n.nspname, c.relname, c.relkind::text, size.rows, size.bytes, coalesce(obj_description(c.oid, 'pg_class'), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT sum(coalesce(nullif(leaf.reltuples, -1), pg_stat_get_live_tuples(leaf.oid)))::bigint AS rows,
           sum(pg_total_relation_size(leaf.oid))::bigint AS bytes
    FROM pg_class leaf
    WHERE leaf.oid = c.oid AND c.relkind IN ('r', 'm')
       OR c.relkind = 'p' AND leaf.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)
) size
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND has_any_column_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
"""


def _postgresql(connection: Connection) -> list[TableInfo]:
    """Source: pg_class, pg_partition_tree; rows before the first ANALYZE are what the statistics counted."""
    return [
        TableInfo(
            schema=schema,
            name=name,
            kind=KINDS[kind],
            area=_AREA_OF.get(name, "") if schema == "public" else "",
            rows_estimate=rows,
            bytes=size,
            comment=comment,
        )
        for schema, name, kind, rows, size, comment in connection.exec_driver_sql(_POSTGRESQL)
    ]


def _sqlite(connection: Connection) -> list[TableInfo]:
    """A SQLite file keeps neither sizes nor numbers of rows; the highest row number is close where few were deleted."""
    found = connection.exec_driver_sql(
        "SELECT m.name, m.type, l.wr FROM sqlite_master m JOIN pragma_table_list l ON l.name = m.name"
        " AND l.schema = 'main' WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite^_%' ESCAPE '^'"
    ).all()
    quote = connection.dialect.identifier_preparer.quote_identifier
    infos = []
    for name, kind, without_rowid in found:
        rows = None
        if kind == "table" and not without_rowid:
            rows = connection.exec_driver_sql(f"SELECT max(rowid) FROM {quote(name)}").scalar() or 0  # noqa: S608  # quoted
        infos.append(TableInfo("main", name, kind, _AREA_OF.get(name, ""), rows))
    return infos
