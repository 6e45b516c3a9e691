"""What a table or view is made of, by reflection: columns, key, indexes; kept for a moment."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError

KEPT_S = 30.0
ENTRIES = 256
KINDS = {
    "r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table",
}  # fmt: skip
# Their values have no order; they are compared and sorted as text.
UNORDERED = frozenset({
    "json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "xid", "cid", "aclitem",
})  # fmt: skip
# Whose Python values, written as text, mean the same to the server again.
PLAIN = frozenset({
    "smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean", "uuid", "date", "text",
    "character varying", "character", "name", "timestamp with time zone", "timestamp without time zone", "oid",
})  # fmt: skip
TEXTUAL = frozenset({
    "text", "character varying", "character", "name", "citext", "uuid", "jsonb", "json", "inet", "cidr",
})  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column. type: its name without length; readable: this role may select it."""

    name: str
    type: str
    nullable: bool = True
    readable: bool = True
    enum: bool = False
    wide: bool = False  # whether a value may be of any length
    digits: tuple[int, int] | None = None  # precision and scale of a numeric that has them

    @property
    def ordered(self) -> bool:
        """Whether its values have an order of their own."""
        return self.type.removesuffix("[]") not in UNORDERED

    @property
    def plain(self) -> bool:
        """Whether a value from Python can be written back as text, exactly."""
        return self.type in PLAIN

    @property
    def textual(self) -> bool:
        """Whether a search looks into it."""
        return self.enum or self.type in TEXTUAL


@dataclass(frozen=True)
class Index:
    """A usable index over plain columns: (column, descending), in its order."""

    parts: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Relation:
    """A table or view. key: columns that tell each row apart and are never NULL; () where there are none.

    place: what tells rows apart where there is no key: ctid, rowid, or "" for a view.
    """

    schema: str
    name: str
    kind: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    place: str = ""
    indexes: tuple[Index, ...] = ()
    rows_estimate: int | None = None
    toasted: bool = False
    by_name: dict[str, Column] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.by_name.update({column.name: column for column in self.columns})

    def column(self, name: str) -> Column:
        """The column of that name. Raises schema.missing_column, or permission.table where it may not be read."""
        found = self.by_name.get(name)
        if found is None:
            shown = ", ".join(column.name for column in self.columns[:12])
            more = f" and {len(self.columns) - 12} more" if len(self.columns) > 12 else ""
            message = f"{self.name} has no column {name!r}; it has {shown}{more}."
            raise TradekeepError("schema.missing_column", message)
        if not found.readable:
            raise TradekeepError("permission.table", f"This role may not read {self.name}.{name}.")
        return found

    @property
    def readable(self) -> tuple[Column, ...]:
        """The columns that this role may read, in their order."""
        return tuple(column for column in self.columns if column.readable)


_kept: dict[tuple[str, str], tuple[float, Relation]] = {}
_lock = threading.Lock()


def relation(db: Database, connection: sa.Connection, table: str) -> Relation:
    """The relation of that name ("name" or "schema.name"), as it was at most KEPT_S ago.

    Raises schema.missing_table.
    """
    key = (db.config.fingerprint(), table)
    with _lock:
        known = _kept.get(key)
    if known and time.monotonic() - known[0] < KEPT_S:
        return known[1]
    found = _sqlite(connection, table) if db.backend == "sqlite" else _postgresql(connection, table)
    if found is None:
        raise TradekeepError("schema.missing_table", f"There is no table {table!r} here that this role may read.")
    with _lock:
        if len(_kept) >= ENTRIES:
            _kept.clear()
        _kept[key] = (time.monotonic(), found)
    return found


def forget(db: Database) -> None:
    """Read this database's relations afresh: one of them was not as it was thought."""
    with _lock:
        for key in [key for key in _kept if key[0] == db.config.fingerprint()]:
            del _kept[key]


_POSTGRESQL = """
SELECT n.nspname, c.relname, c.relkind::text,
       CASE WHEN c.relkind = 'p' THEN (
           SELECT sum(greatest(leaf.reltuples, 0))::bigint FROM pg_partition_tree(c.oid) t JOIN pg_class leaf
           ON leaf.oid = t.relid WHERE t.isleaf)
       WHEN c.reltuples >= 0 AND c.relkind IN ('r', 'm') THEN c.reltuples::bigint END,
       coalesce(c.reltoastrelid <> 0 AND pg_relation_size(c.reltoastrelid) > 0, false),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(
               a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL), NOT a.attnotnull,
               has_column_privilege(c.oid, a.attnum, 'SELECT'), t.typtype = 'e', t.typlen = -1,
               CASE WHEN a.atttypid = 'numeric'::regtype AND a.atttypmod > 4
               THEN jsonb_build_array((a.atttypmod - 4) >> 16, (a.atttypmod - 4) & 1023) END)
               ORDER BY a.attnum), '[]')
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(i.indisunique AND i.indisvalid, i.indisprimary,
               (SELECT jsonb_agg(jsonb_build_array(a.attname, (i.indoption[k.n - 1] & 3)) ORDER BY k.n)
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
                LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum AND k.attnum > 0
                WHERE k.n <= i.indnkeyatts))
               ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid), '[]')
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am am ON am.oid = x.relam
        WHERE i.indrelid = c.oid AND i.indisvalid AND am.amname = 'btree' AND i.indpred IS NULL AND i.indimmediate)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relname = %(table)s OR n.nspname || '.' || c.relname = %(table)s)
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_(toast|temp)'
  AND has_any_column_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
ORDER BY c.relname = %(table)s AND n.nspname = 'public' DESC, c.relname <> %(table)s DESC,
         n.nspname IN ('pg_catalog', 'information_schema'), n.nspname
LIMIT 1
"""


def _postgresql(connection: sa.Connection, table: str) -> Relation | None:
    if "\0" in table:
        return None
    row = connection.exec_driver_sql(_POSTGRESQL, {"table": table}).one_or_none()
    if row is None:
        return None
    schema, name, kind, rows, toasted, columns, indexes = row
    made = tuple(_column(*values) for values in columns)
    strict = {column.name for column in made if not column.nullable}
    keys, usable = [], []
    for unique, _primary, parts in indexes:
        if any(part[0] is None for part in parts):
            continue  # an expression
        names = tuple(part[0] for part in parts)
        if unique and set(names) <= strict:
            keys.append(names)
        # Only the usual places of NULLs: first when descending, else last.
        if all(option in (0, 3) for _name, option in parts):
            usable.append(Index(tuple((part, option == 3) for part, option in parts)))
    readable = {column.name for column in made if column.readable}
    key = next((names for names in keys if set(names) <= readable), ())
    place = "" if key or kind not in ("r", "m") or len(readable) < len(made) else "ctid"
    return Relation(schema, name, KINDS[kind], made, key, place, tuple(usable), rows, toasted)


def _column(name: str, type: str, nullable: bool, readable: bool, enum: bool, wide: bool, digits: Any) -> Column:
    return Column(name, type, nullable, readable, enum, wide, (digits[0], digits[1]) if digits else None)


def _sqlite(connection: sa.Connection, table: str) -> Relation | None:
    name = table.removeprefix("main.")
    found = connection.exec_driver_sql(
        "SELECT m.name, m.type, l.wr FROM sqlite_master m JOIN pragma_table_list l ON l.name = m.name"
        " AND l.schema = 'main' WHERE m.name = ? AND m.type IN ('table', 'view')",
        (name,),
    ).one_or_none()
    if found is None:
        return None
    rows = connection.exec_driver_sql(
        'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid', (name,)
    ).all()
    # Any column may hold any type and any length; NULL even in a key, unless it is the row's number.
    columns = tuple(Column(row[0], row[1].lower(), nullable=not row[2]) for row in rows)
    key = tuple(row[0] for row in sorted((row for row in rows if row[3]), key=lambda row: row[3]))
    strict = {column.name for column in columns if not column.nullable}
    if len(key) == 1 and next(row[1] for row in rows if row[0] == key[0]).upper() == "INTEGER":
        strict.add(key[0])
        columns = tuple(Column(c.name, c.type, c.nullable and c.name != key[0]) for c in columns)
    if not set(key) <= strict:
        key = ()
    view = found[1] == "view"
    place = "" if view or key else "rowid"
    indexes = tuple(_sqlite_indexes(connection, name))
    if key:
        indexes = (Index(tuple((part, False) for part in key)), *indexes)
    return Relation("main", name, "view" if view else "table", columns, key, place, indexes)


def _sqlite_indexes(connection: sa.Connection, table: str) -> list[Index]:
    rows = connection.exec_driver_sql(
        'SELECT l.name, x.name, x."desc" FROM pragma_index_list(?) l JOIN pragma_index_xinfo(l.name) x'
        " WHERE x.key AND NOT l.partial ORDER BY l.seq, x.seqno",
        (table,),
    )
    found: dict[str, list[Any]] = {}
    for index, column, descending in rows:
        found.setdefault(index, []).append((column, bool(descending)))
    return [Index(tuple(parts)) for parts in found.values() if all(name for name, _ in parts)]
