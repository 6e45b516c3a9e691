"""What a table or view is made of, by reflection: columns, key, indexes; kept for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from core.database import Database
from core.database.naming import MEANT, MEANT_SQLITE, meant, meant_sqlite
from core.errors import TradekeepError
from core.explore import likely
from core.format import identifier

KEPT_S = 30.0
ENTRIES = 256
KINDS = {
    "r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table",
}  # fmt: skip
# Their values have no order; they are compared and sorted as text.
UNORDERED = frozenset({
    "json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "xid", "cid", "aclitem",
})  # fmt: skip
# Equal values have equal text; not so 1.0 and 1.00, 0 and -0, 1 mon and 30 days, or a blank-padded text.
EXACT = frozenset({
    "smallint", "integer", "bigint", "boolean", "uuid", "date", "text", "character varying", "name", "bytea", "oid",
    "timestamp with time zone", "timestamp without time zone", "time with time zone", "time without time zone", "inet",
    "cidr", "macaddr", "money", "pg_lsn",
})  # fmt: skip
# Of which left() gives the beginning.
BEGUN = frozenset({"text", "character varying", "character"})
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
    """One column. type: its name without length, a domain's base; readable: this role may select it.

    unordered: the server has no order for the type. loose: its collation takes different texts for equal.
    """

    name: str
    type: str
    nullable: bool = True
    readable: bool = True
    enum: bool = False
    wide: bool = False  # whether a value may be of any length
    digits: tuple[int, int] | None = None  # precision and scale of a numeric that has them
    unordered: bool = False
    loose: bool = False

    @property
    def ordered(self) -> bool:
        """Whether its values have an order of their own."""
        return not self.unordered and self.type.removesuffix("[]") not in UNORDERED

    @property
    def exact(self) -> bool:
        """Whether values that the server takes for equal are the same text."""
        return not self.loose and (self.enum or self.type in EXACT or self.digits is not None)

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

    place: what tells rows apart where there is no key: ctid, rowid, "tableoid, ctid" where other tables inherit from
    this one, or "" for a view. toasted: its values may be of any length.
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
        message = f"There is no table {table!r} here that this role may read.{likely.meant(connection, table)}"
        raise TradekeepError("schema.missing_table", message)
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


_POSTGRESQL = f"""
SELECT n.nspname, c.relname, c.relkind::text, heirs.some,
       CASE WHEN c.relkind = 'p' THEN (
           SELECT sum(greatest(leaf.reltuples, 0))::bigint FROM pg_partition_tree(c.oid) t JOIN pg_class leaf
           ON leaf.oid = t.relid WHERE t.isleaf)
       WHEN c.reltuples >= 0 AND c.relkind IN ('r', 'm') AND NOT heirs.some THEN c.reltuples::bigint END,
       heirs.some OR c.relkind IN ('p', 'v', 'f')
       OR coalesce(c.reltoastrelid <> 0 AND pg_relation_size(c.reltoastrelid) > 0, false),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(
               a.attname, format_type(t.oid, NULL), NOT a.attnotnull,
               has_column_privilege(c.oid, a.attnum, 'SELECT'), t.typtype = 'e',
               t.typlen = -1 AND t.typname NOT IN ('numeric', 'inet', 'cidr', 'daterange', 'tsrange', 'tstzrange')
               AND NOT (t.typname IN ('varchar', 'bpchar') AND a.atttypmod BETWEEN 5 AND 1004),
               CASE WHEN a.atttypid = 'numeric'::regtype AND a.atttypmod > 4
               THEN jsonb_build_array((a.atttypmod - 4) >> 16, (((a.atttypmod - 4) & 2047) # 1024) - 1024) END,
               CASE WHEN t.typtype = 'b' THEN coalesce(element.typtype, 'b') NOT IN ('e', 'r', 'm')
               AND coalesce(element.oid, t.oid) <> ALL (ARRAY(SELECT opcintype FROM pg_opclass
                   WHERE opcmethod = 403 AND opcdefault) || '{{varchar,cidr}}'::regtype[]::oid[])
               ELSE t.typtype NOT IN ('e', 'r', 'm') END,
               a.attcollation NOT IN (0, 100, 950) AND EXISTS (
                   SELECT FROM pg_collation WHERE oid = a.attcollation AND NOT collisdeterministic))
               ORDER BY a.attnum), '[]')
        FROM pg_attribute a JOIN pg_type own ON own.oid = a.atttypid
        LEFT JOIN pg_type base ON base.oid = own.typbasetype LEFT JOIN pg_type below ON below.oid = base.typbasetype
        JOIN pg_type t ON t.oid = coalesce(below.oid, base.oid, own.oid)
        LEFT JOIN pg_type element ON element.oid = t.typelem AND t.typcategory = 'A' AND t.typlen = -1
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(i.indisunique AND i.indisvalid, i.indisprimary,
               (SELECT jsonb_agg(jsonb_build_array(CASE WHEN a.attcollation = i.indcollation[k.n - 1] AND NOT EXISTS (
                    SELECT FROM pg_opclass usual JOIN pg_opclass own ON own.oid = i.indclass[k.n - 1]
                    WHERE usual.opcmethod = 403 AND usual.opcdefault AND usual.opcintype = a.atttypid
                    AND usual.opcfamily <> own.opcfamily) THEN a.attname END, (i.indoption[k.n - 1] & 3)) ORDER BY k.n)
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
                LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum AND k.attnum > 0
                WHERE k.n <= i.indnkeyatts))
               ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid), '[]')
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am am ON am.oid = x.relam
        WHERE i.indrelid = c.oid AND i.indisvalid AND am.amname = 'btree' AND i.indpred IS NULL AND i.indimmediate)
FROM {MEANT}
CROSS JOIN LATERAL (SELECT c.relkind = 'r' AND c.relhassubclass AND EXISTS (
    SELECT FROM pg_inherits WHERE inhparent = c.oid) AS some OFFSET 0) heirs
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_(toast|temp)'
  AND has_any_column_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
ORDER BY meant.place, n.nspname IN ('pg_catalog', 'information_schema'), n.nspname
LIMIT 1
"""  # noqa: S608  # a constant


def _postgresql(connection: sa.Connection, table: str) -> Relation | None:
    if "\0" in table:
        return None
    row = connection.exec_driver_sql(_POSTGRESQL, meant(table)).one_or_none()
    if row is None:
        return None
    schema, name, kind, inherited, rows, toasted, columns, indexes = row
    made = tuple(_column(*values) for values in columns)
    strict = {column.name for column in made if not column.nullable}
    keys, usable = [], []
    for unique, _primary, parts in indexes:
        if any(part[0] is None for part in parts):
            continue  # an expression, or values are told apart in another way than the column does
        of = tuple(part[0] for part in parts)
        if unique and set(of) <= strict and not inherited:  # no key holds across the tables that inherit
            keys.append(of)
        # Only the usual places of NULLs: first when descending, else last.
        if all(option in (0, 3) for _name, option in parts):
            usable.append(Index(tuple((part, option == 3) for part, option in parts)))
    readable = {column.name for column in made if column.readable}
    key = next((of for of in keys if set(of) <= readable), ())
    place = "tableoid, ctid" if inherited else "ctid"
    place = "" if key or kind not in ("r", "m") or len(readable) < len(made) else place
    return Relation(schema, name, KINDS[kind], made, key, place, tuple(usable), rows, toasted)


def _column(
    name: str, type: str, nullable: bool, readable: bool, enum: bool, wide: bool, digits: Any, *more: bool
) -> Column:
    return Column(name, type, nullable, readable, enum, wide, (digits[0], digits[1]) if digits else None, *more)


def _sqlite(connection: sa.Connection, table: str) -> Relation | None:
    found = connection.exec_driver_sql(MEANT_SQLITE, meant_sqlite(table)).one_or_none()
    if found is None:
        return None
    name, kind, _ = found
    rows = connection.exec_driver_sql(
        'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid', (name,)
    ).all()
    parts, collations = _sqlite_indexes(connection, name)
    key = tuple(row[0] for row in sorted((row for row in rows if row[3]), key=lambda row: row[3]))
    # Any column may hold any type and any length; NULL even in a key, unless it is the row's number: it has no index.
    numbered = len(key) == 1 and not collations and {row[0]: row[1].lower() for row in rows}[key[0]] == "integer"
    columns = tuple(
        Column(of, type.lower(), nullable=not (strict or (numbered and pk))) for of, type, strict, pk in rows
    )
    told = not any(column.nullable for column in columns if column.name in key)
    if not told or (collations and _sqlite_collations(connection, name, key) != collations):
        key = ()
    place = "" if kind == "view" or key or _sqlite_without_rowid(connection, name) else "rowid"
    indexes = (Index(tuple((part, False) for part in key)),) if key else ()
    return Relation("main", name, kind, columns, key, place, (*indexes, *parts))


def _sqlite_without_rowid(connection: sa.Connection, table: str) -> bool:
    sql = "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?"
    return bool(connection.exec_driver_sql(sql, (table,)).scalar())


def _sqlite_indexes(connection: sa.Connection, table: str) -> tuple[list[Index], list[str]]:
    """The indexes, and the collations by which the key's own one tells rows apart; [] for the row's number."""
    rows = connection.exec_driver_sql(
        'SELECT l.name, l.origin, x.name, x."desc", x.coll FROM pragma_index_list(?) l'
        " JOIN pragma_index_xinfo(l.name) x WHERE x.key AND NOT l.partial ORDER BY l.seq, x.seqno",
        (table,),
    )
    found: dict[str, list[Any]] = {}
    collations = []
    for index, origin, column, descending, collation in rows:
        found.setdefault(index, []).append((column, bool(descending)))
        if origin == "pk":
            collations.append(collation.upper())
    return [Index(tuple(parts)) for parts in found.values() if all(name for name, _ in parts)], collations


def _sqlite_collations(connection: sa.Connection, table: str, columns: Sequence[str]) -> list[str]:
    """The collations by which columns are compared, which no pragma tells; the program of a comparison does."""
    compared = ", ".join(f"{identifier(column)} = 'x'" for column in columns)
    program = connection.exec_driver_sql(f"EXPLAIN SELECT {compared} FROM {identifier(table)}").all()  # noqa: S608
    return [row[5].rpartition("-")[0].upper() for row in program if row[1] == "Eq" and row[5]]
