"""What belongs to a row: along foreign keys in both directions, and by what Tradekeep's tables share."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from core.database import Database
from core.database.naming import table_label
from core.errors import TradekeepError
from core.explore.asking import ask
from core.explore.filters import Dialect, Filter, conditions, joined
from core.explore.relation import Relation, relation
from core.format import identifier
from core.models import AREAS

COUNTED = 1000
OURS = frozenset(table for tables in AREAS.values() for table in tables)
# Columns that mean the same in several of our tables, without a foreign key: bots write them independently.
SHARED = {
    "order_id": ("trades", "agent_actions"),
    "symbol": ("positions", "trades", "trading_trades", "signals", "agent_decisions"),
}


@dataclass(frozen=True)
class Link:
    """How a table is linked to another: pairs of (own column, column there).

    kind: refers (this table's foreign key), referred (the other's), shared (no foreign key, the same meaning).
    """

    kind: str
    table: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Related:
    """The rows of another table that belong to a row. rows: COUNTED for that many or more; None: not counted in time.

    filters: those that find them.
    """

    link: Link
    filters: tuple[Filter, ...]
    rows: int | None


def described(db: Database, table: str) -> Relation:
    """What the table is made of: columns with their types, key, indexes. Raises schema.missing_table."""
    return ask(db, lambda connection: relation(db, connection, table))


def table_name(schema: str, name: str) -> str:
    """The name under which a table is asked for: short where it cannot mean another one."""
    return table_label(schema, name)


def links(db: Database, table: str) -> list[Link]:
    """The table's links: what it refers to, what refers to it, what shares a column. Raises schema.missing_table."""

    def question(connection: sa.Connection) -> list[Link]:
        of = relation(db, connection, table)
        found = _sqlite(connection, of) if db.backend == "sqlite" else _postgresql(connection, of)
        readable = {column.name for column in of.readable}
        order = {"refers": 0, "referred": 1}
        keys = [link for link in found if {own for own, _ in link.pairs} <= readable]
        keys.sort(key=lambda link: (order[link.kind], link.table, link.pairs))
        return keys + _shared(db, connection, of, keys)

    return ask(db, question)


def related(db: Database, found: Sequence[Link], row: Mapping[str, Any], *, timeout_s: float = 2.0) -> list[Related]:
    """The rows behind each link of a row (column -> value), counted up to COUNTED; links through NULL are left out.

    timeout_s: for all of them; each may take its share of what those before it left.
    """
    ends = time.monotonic() + timeout_s
    asked = [(link, filters) for link in found if (filters := _filters(link, row))]
    made = []
    for number, (link, filters) in enumerate(asked):
        share_s = max(0.01, (ends - time.monotonic()) / (len(asked) - number))
        made.append(Related(link, filters, _counted(db, link.table, filters, share_s)))
    return made


def _filters(link: Link, row: Mapping[str, Any]) -> tuple[Filter, ...]:
    if any(row.get(own) is None for own, _ in link.pairs):
        return ()
    return tuple(Filter(other, "=", row[own]) for own, other in link.pairs)


def _counted(db: Database, table: str, filters: Sequence[Filter], timeout_s: float) -> int | None:
    def question(connection: sa.Connection) -> int:
        dialect = Dialect(db.backend)
        of = relation(db, connection, table)
        where = joined(conditions(of, filters, None, dialect))
        inner = f"SELECT 1 FROM {dialect.table(of)} WHERE {where.sql} LIMIT {COUNTED}"  # noqa: S608  # quoted names
        sql = f"SELECT count(*) FROM ({inner}) AS found"  # noqa: S608  # made above
        driver = connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection):
            row = driver.execute(sql, where.parameters).fetchone()
            return int(row[0]) if row else 0
        return int(connection.exec_driver_sql(sql, where.parameters).scalar_one())

    try:
        return ask(db, question, statement_timeout_s=timeout_s)
    except TradekeepError as error:
        if error.kind in ("transient.statement_timeout", "schema.missing_table", "schema.missing_column"):
            return None
        raise


_NAMES = """(SELECT array_agg(a.attname::text ORDER BY u.n) FROM unnest(k.{keys}) WITH ORDINALITY u (attnum, n)
JOIN pg_attribute a ON a.attrelid = k.{table} AND a.attnum = u.attnum)"""
_HERE, _THERE = _NAMES.format(keys="conkey", table="conrelid"), _NAMES.format(keys="confkey", table="confrelid")
_LINKS = f"""
SELECT side.kind, n.nspname, c.relname, side.own, side.other
FROM (
    SELECT 'refers' AS kind, k.confrelid AS table, {_HERE} AS own, {_THERE} AS other FROM pg_constraint k
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = %(oid)s::regclass
    UNION ALL
    SELECT 'referred', k.conrelid, {_THERE}, {_HERE} FROM pg_constraint k
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = %(oid)s::regclass
) side
JOIN pg_class c ON c.oid = side.table JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE has_any_column_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
"""  # noqa: S608  # constants


def _postgresql(connection: sa.Connection, of: Relation) -> list[Link]:
    """Source: pg_constraint; the copies of a key that partitions carry have a parent."""
    oid = f"{identifier(of.schema)}.{identifier(of.name)}"
    return [
        Link(kind, table_name(schema, name), tuple(zip(own, other, strict=True)))
        for kind, schema, name, own, other in connection.exec_driver_sql(_LINKS, {"oid": oid})
    ]


def _sqlite(connection: sa.Connection, of: Relation) -> list[Link]:
    """Source: pragma foreign_key_list; without a column there, the key's is meant."""
    found = connection.exec_driver_sql(
        'SELECT m.name, f.id, f."table", f."from", f."to", f.seq FROM sqlite_master m'
        " JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' AND (m.name = ? OR f.\"table\" = ?)"
        " ORDER BY m.name, f.id, f.seq",
        (of.name, of.name),
    ).all()
    keys: dict[tuple[str, int, str], list[tuple[str, str]]] = defaultdict(list)
    for table, number, other, own, there, seq in found:
        keys[table, number, other].append((own, there or _key_column(connection, other, seq)))
    made = []
    for (table, _, other), pairs in keys.items():
        if table == of.name:
            made.append(Link("refers", table_name("main", other), tuple(pairs)))
        if other == of.name:
            made.append(Link("referred", table_name("main", table), tuple((there, own) for own, there in pairs)))
    return made


def _key_column(connection: sa.Connection, table: str, seq: int) -> str:
    sql = "SELECT name FROM pragma_table_info(?) WHERE pk = ?"
    return connection.exec_driver_sql(sql, (table, seq + 1)).scalar() or "rowid"


def _shared(db: Database, connection: sa.Connection, of: Relation, keys: Sequence[Link]) -> list[Link]:
    """Links between our own tables by columns that mean the same; not where a foreign key says it better."""
    if of.schema not in ("public", "main"):
        return []
    known = {(link.table, pair) for link in keys for pair in link.pairs}
    made = []
    for column, names in SHARED.items():
        if column not in of.by_name or of.name not in OURS:
            continue
        for name in names:
            if name != of.name and (name, (column, column)) not in known and _has(db, connection, name, column):
                made.append(Link("shared", name, ((column, column),)))
    return made


def _has(db: Database, connection: sa.Connection, table: str, column: str) -> bool:
    try:
        of = relation(db, connection, table)
    except TradekeepError:
        return False
    return column in of.by_name and of.by_name[column].readable
