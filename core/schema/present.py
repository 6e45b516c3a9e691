"""The tables that should be there against those that are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, inspect, text

from core.database import Database
from core.models import AREAS, Base

VERSION_TABLE = "alembic_version"


class TableState(BaseModel):
    """One table: expected and there (present), expected only (missing), or there only (extra, area "").

    rows_estimate, bytes (indexes included): None where the server does not know; of a missing table always.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    area: str
    state: Literal["present", "missing", "extra"]
    missing_columns: list[str] = []
    extra_columns: list[str] = []
    rows_estimate: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class _Live:
    columns: list[str]
    rows: int | None
    bytes: int | None


def tables(db: Database) -> list[TableState]:
    """Expected tables in the order of their areas, then extra ones by name. Alembic's own table is left out."""
    live = db.ask(_sqlite if db.backend == "sqlite" else _postgresql)
    live.pop(VERSION_TABLE, None)
    expected = [(area, name) for area, names in AREAS.items() for name in names]
    extra = sorted(live.keys() - {name for _, name in expected})
    return [_state(area, name, live.get(name)) for area, name in expected] + [
        TableState(name=name, area="", state="extra", rows_estimate=live[name].rows, bytes=live[name].bytes)
        for name in extra
    ]


def lacking(connection: Connection) -> dict[str, list[str]]:
    """Expected table -> its columns that are not there, for the tables that are there and lack some."""
    found = inspect(connection).get_multi_columns()
    live = {table: {column["name"] for column in columns} for (_schema, table), columns in found.items()}
    gaps = {
        table.name: [column.name for column in table.columns if column.name not in live[table.name]]
        for table in Base.metadata.sorted_tables
        if table.name in live
    }
    return {table: columns for table, columns in gaps.items() if columns}


def _state(area: str, name: str, live: _Live | None) -> TableState:
    if live is None:
        return TableState(name=name, area=area, state="missing")
    wanted = [column.name for column in Base.metadata.tables[name].columns]
    return TableState(
        name=name,
        area=area,
        state="present",
        missing_columns=[column for column in wanted if column not in live.columns],
        extra_columns=[column for column in live.columns if column not in wanted],
        rows_estimate=live.rows,
        bytes=live.bytes,
    )


def _postgresql(connection: Connection) -> dict[str, _Live]:
    """Tables of the current schema, partitions counted with their parent.

    Rows: reltuples, before the first ANALYZE what the statistics collector counted.
    Source: pg_class, pg_attribute, pg_partition_tree.
    """
    rows = connection.execute(
        text("""
            SELECT c.relname, columns.names, size.rows, size.bytes
            FROM pg_class c
            CROSS JOIN LATERAL (
                SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}') AS names FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            ) columns
            CROSS JOIN LATERAL (
                SELECT sum(coalesce(nullif(leaf.reltuples, -1), pg_stat_get_live_tuples(leaf.oid)))::bigint AS rows,
                       sum(pg_total_relation_size(leaf.oid))::bigint AS bytes
                FROM pg_class leaf
                WHERE leaf.oid = c.oid AND c.relkind = 'r'
                   OR leaf.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf) AND c.relkind = 'p'
            ) size
            WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
              AND NOT c.relispartition""")
    )
    return {name: _Live(list(columns), count, size) for name, columns, count, size in rows}


def _sqlite(connection: Connection) -> dict[str, _Live]:
    """Tables of the file; rows are counted (such files are small), bytes only where SQLite has dbstat."""
    columns: dict[str, list[str]] = {}
    for table, column in connection.exec_driver_sql(
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY m.name, c.cid"
    ):
        columns.setdefault(table, []).append(column)
    quote = connection.dialect.identifier_preparer.quote
    counts = {
        name: connection.exec_driver_sql(f"SELECT count(*) FROM {quote(name)}").scalar_one()  # noqa: S608  # quoted
        for name in columns
    }
    sizes: dict[str, int] = {}
    if connection.exec_driver_sql("SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'").first():
        rows = connection.exec_driver_sql(
            "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
        )
        sizes = {name: size for name, size in rows}
    return {name: _Live(columns[name], counts[name], sizes.get(name)) for name in columns}
