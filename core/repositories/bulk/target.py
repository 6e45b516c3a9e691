"""What rows are written into: columns, keys and rules of a table, as the database describes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from core.database.naming import MEANT, MEANT_SQLITE, meant, meant_sqlite
from core.errors import TradekeepError
from core.format import identifier

_PG = f"""
SELECT n.nspname, c.relname, c.relkind::text,
  (SELECT jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod),
      format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL), NOT a.attnotnull,
      pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '' OR a.attidentity = 'a', a.attidentity = 'd',
      CASE WHEN a.atttypid = 'numeric'::regtype AND a.atttypmod > 4
      THEN jsonb_build_array((a.atttypmod - 4) >> 16, (a.atttypmod - 4) & 1023) END,
      CASE WHEN t.typtype = 'e' THEN (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e
      WHERE e.enumtypid = t.oid) END,
      CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END) ORDER BY a.attnum)
   FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
   LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT jsonb_agg(jsonb_build_array(x.relname, i.indisprimary, coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool,
      false), (SELECT jsonb_agg(a.attname ORDER BY k.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (num, n)
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num AND k.num > 0 WHERE k.n <= i.indnkeyatts))
      ORDER BY i.indisprimary DESC, i.indnkeyatts, x.relname)
   FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
   WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL),
  (SELECT jsonb_agg(jsonb_build_array(o.conname, pg_get_expr(o.conbin, o.conrelid),
      (SELECT jsonb_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
       WHERE a.attrelid = o.conrelid AND a.attnum = ANY (o.conkey))) ORDER BY o.conname)
   FROM pg_constraint o WHERE o.conrelid = c.oid AND o.contype = 'c'),
  (SELECT jsonb_agg(jsonb_build_array(o.conname, o.confrelid::regclass::text,
      (SELECT jsonb_agg(a.attname ORDER BY k.n) FROM unnest(o.conkey) WITH ORDINALITY k (num, n)
       JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.num),
      (SELECT jsonb_agg(a.attname ORDER BY k.n) FROM unnest(o.confkey) WITH ORDINALITY k (num, n)
       JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.num)) ORDER BY o.conname)
   FROM pg_constraint o WHERE o.conrelid = c.oid AND o.contype = 'f'),
  has_database_privilege(current_database(), 'TEMPORARY')
FROM {MEANT} WHERE c.relkind IN ('r', 'p')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY meant.place, n.nspname LIMIT 1
"""  # noqa: S608  # a constant
_CHOICES = re.compile(r"""^\(?"?(?P<column>\w+)"? (?:= ANY \(ARRAY\[(?P<array>.+)\]\)|IN \((?P<list>.+)\))\)?$""", re.S)
_WORD = re.compile(r"'((?:[^']|'')*)'(?:::[\w ]+)?")
_LONGEST = re.compile(r"""^\(?length\("?(?P<column>\w+)"?\) <= (?P<longest>\d+)\)?$""")


@dataclass(frozen=True)
class Column:
    """One column that rows may be written to. type: in full; kind: its name alone.

    given: the database computes it, nothing can be written. numbered: a sequence numbers it. digits: precision and
    scale of a numeric. choices, longest: what a CHECK allows.
    """

    name: str
    type: str
    kind: str
    nullable: bool = True
    default: str | None = None
    given: bool = False
    numbered: bool = False
    digits: tuple[int, int] | None = None
    choices: tuple[str, ...] = ()
    longest: int | None = None

    @property
    def needed(self) -> bool:
        """Whether a row without it is refused."""
        return not self.nullable and self.default is None and not self.given and not self.numbered


@dataclass(frozen=True)
class Rule:
    """A CHECK: its name, its SQL over the bare columns, and those columns. worded: a column's choices or longest
    say the same."""

    name: str
    sql: str
    columns: tuple[str, ...]
    worded: bool = False


@dataclass(frozen=True)
class Key:
    """Columns by which the database keeps rows apart. nulls_equal: also where one of them is NULL."""

    columns: tuple[str, ...]
    primary: bool = False
    nulls_equal: bool = False


@dataclass(frozen=True)
class Foreign:
    """A foreign key: its columns, and the table and columns that they name (the table as SQL)."""

    name: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """A table that rows can be written into. may_stage: this role may make temporary tables."""

    backend: str
    schema: str
    name: str
    partitioned: bool
    columns: tuple[Column, ...]
    keys: tuple[Key, ...] = ()
    rules: tuple[Rule, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    may_stage: bool = True
    by_name: dict[str, Column] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.by_name.update({column.name: column for column in self.columns})

    @property
    def sql(self) -> str:
        """The table as SQL takes it."""
        return quoted(self.name) if self.backend == "sqlite" else f"{quoted(self.schema)}.{quoted(self.name)}"

    def key_for(self, columns: Sequence[str]) -> Key | None:
        """The key that tells rows with these columns apart: one that says something of the row before one with a
        number that the database gave it; the primary one first, then the shortest."""
        held = [key for key in self.keys if set(key.columns) <= set(columns)]
        spoken = [key for key in held if not any(self.by_name[name].numbered for name in key.columns)]
        return next(iter(spoken or held), None)


def quoted(name: str) -> str:
    """The name as SQL takes it, whatever is in it; for a statement that has parameters."""
    return identifier(name).replace("%", "%%")


def execute(connection: sa.Connection, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
    """Run a statement that marks its parameters with %s, on either backend."""
    if connection.dialect.name == "sqlite":
        sql = sql.replace("%s", "?").replace("%%", "%")
    return connection.exec_driver_sql(sql, parameters)


def target(connection: sa.Connection, table: str) -> Target:
    """What `table` ("name" or "schema.name") is made of. Raises schema.missing_table."""
    found = None
    if "\0" not in table:
        found = _sqlite(connection, table) if connection.dialect.name == "sqlite" else _postgresql(connection, table)
    if found is None:
        raise TradekeepError("schema.missing_table", f"There is no table {table!r} here to write into.")
    return found


def _postgresql(connection: sa.Connection, table: str) -> Target | None:
    row = connection.exec_driver_sql(_PG, meant(table)).one_or_none()
    if row is None:
        return None
    schema, name, kind, columns, keys, rules, foreign, may_stage = row
    made = []
    for column, type, base, nullable, default, given, identity, digits, labels, longest in columns or ():
        numbered = identity or (default or "").startswith("nextval(")
        made.append(
            Column(
                column, type, base, nullable, default, given, numbered, tuple(digits) if digits else None,
                tuple(labels or ()), longest,
            )
        )  # fmt: skip
    found_rules = tuple(Rule(rule, sql, tuple(of or ())) for rule, sql, of in rules or ())
    return Target(
        "postgresql", schema, name, kind == "p",
        *_worded(tuple(made), found_rules, keys=tuple(
            Key(tuple(names), primary, nulls) for _, primary, nulls, names in keys or () if None not in names
        )),
        foreign=tuple(Foreign(of, tuple(own), parent, tuple(their)) for of, parent, own, their in foreign or ()),
        may_stage=may_stage,
    )  # fmt: skip


def _worded(
    columns: tuple[Column, ...], rules: tuple[Rule, ...], keys: tuple[Key, ...]
) -> tuple[tuple[Column, ...], tuple[Key, ...], tuple[Rule, ...]]:
    """Rules that say "one of these" or "so long at most" become the columns' own as well."""
    by_name = {column.name: column for column in columns}
    told = []
    for rule in rules:
        if (found := _CHOICES.match(rule.sql)) and found["column"] in by_name:
            text = found["array"] or found["list"]
            words = tuple(word.replace("''", "'") for word in _WORD.findall(text))
            if not _WORD.sub("", text).strip(", "):
                by_name[found["column"]] = replace(by_name[found["column"]], choices=words)
                rule = replace(rule, worded=True)
        if (found := _LONGEST.match(rule.sql)) and found["column"] in by_name:
            by_name[found["column"]] = replace(by_name[found["column"]], longest=int(found["longest"]))
            rule = replace(rule, worded=True)
        told.append(rule)
    return tuple(by_name.values()), keys, tuple(told)


def _sqlite(connection: sa.Connection, table: str) -> Target | None:
    row = connection.exec_driver_sql(MEANT_SQLITE, meant_sqlite(table)).one_or_none()
    if row is None or row[1] != "table":
        return None
    name, _, found = row
    rows = connection.exec_driver_sql(
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid', (name,)
    ).all()
    primary = tuple(row[0] for row in sorted((row for row in rows if row[4]), key=lambda row: row[4]))
    columns = []
    for column, type, strict, default, pk, hidden in rows:
        kind = type.split("(")[0].strip().lower()
        digits = re.search(r"\((\d+),\s*(\d+)\)", type) if kind in ("numeric", "decimal") else None
        numbered = (pk and len(primary) == 1 and kind == "integer") or "random()" in (default or "")
        pair = (int(digits[1]), int(digits[2])) if digits else None
        columns.append(Column(column, type, kind, not strict, default, hidden > 1, bool(numbered), pair))
    keys = [Key(primary, True)] if primary else []
    for index, _ in connection.exec_driver_sql(
        "SELECT name, seq FROM pragma_index_list(?) WHERE \"unique\" AND NOT partial AND origin <> 'pk' ORDER BY name",
        (name,),
    ).all():
        parts = connection.exec_driver_sql("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,)).all()
        if all(part[0] for part in parts):
            keys.append(Key(tuple(part[0] for part in parts)))
    names = [column.name for column in columns]
    rules = tuple(_sqlite_rules(found, names))
    foreign: dict[int, list[Any]] = {}
    for row in connection.exec_driver_sql(
        'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq', (name,)
    ):
        foreign.setdefault(row[0], []).append(row[1:])
    return Target(
        "sqlite", "main", name, False, *_worded(tuple(columns), rules, tuple(keys)),
        foreign=tuple(
            Foreign("", tuple(part[1] for part in parts), quoted(parts[0][0]), tuple(part[2] or "id" for part in parts))
            for parts in foreign.values()
        ),
    )  # fmt: skip


def _sqlite_rules(sql: str, names: list[str]) -> list[Rule]:
    """The CHECKs in a CREATE TABLE, which SQLite keeps as text alone."""
    found = []
    for match in re.finditer(r"(?:CONSTRAINT\s+(\"[^\"]+\"|\w+)\s+)?CHECK\s*\(", sql, re.I):
        depth, end, text = 1, match.end(), False
        while end < len(sql) and depth:
            text ^= sql[end] == "'"
            depth += 0 if text else {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        body = sql[match.end() : end - 1].strip()
        of = tuple(name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", body))
        found.append(Rule((match[1] or "").strip('"'), body, of))
    return found
