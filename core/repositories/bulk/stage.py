"""A batch of rows beside its table: what would become of each, and the statements that write them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

from core.repositories.bulk.target import Key, Target, execute, quoted

# The row's number in its source; how often its content came before it. Beside a table's own columns, so long names.
ROW, EARLIER = "__tradekeep_row", "__tradekeep_earlier"
STAGED, _PLACE, _TIMES = '"__staged"', '"__tradekeep_place"', '"__tradekeep_times"'
PIECE_BYTES = 1 << 18
_NUMBER = re.compile(r"\((-?[\d.]+)\)")
TIMED = frozenset({"timestamp with time zone", "timestamp without time zone", "datetime"})
# Types whose values have no equality.
UNEQUAL = frozenset({"json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle"})


@dataclass(frozen=True)
class Counts:
    """What became of rows. skipped: they were there already, just so, a later row of the source has their key, or a
    trigger of the table left them out."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.inserted + other.inserted, self.updated + other.updated, self.skipped + other.skipped)


def copy_in(connection: sa.Connection, table: str, rows: pa.Table) -> int:
    """COPY texts straight into a table of PostgreSQL; NULL is an unquoted nothing. How many the server wrote."""
    names = ", ".join(quoted(name) for name in rows.column_names).replace("%%", "%")
    driver: Any = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    if not rows.num_rows:
        return 0
    sink = pa.BufferOutputStream()
    # In one piece: pyarrow 26 writes rubbish for an empty chunk among others.
    csv.write_csv(rows.combine_chunks(), sink, csv.WriteOptions(include_header=False))
    text = memoryview(sink.getvalue())
    statement = f"COPY {table.replace('%%', '%')} ({names}) FROM STDIN (FORMAT csv)"
    with driver.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for start in range(0, len(text), PIECE_BYTES):
                copy.write(text[start : start + PIECE_BYTES])
        return cursor.rowcount


def append(connection: sa.Connection, target: Target, rows: pa.Table) -> Counts:
    """Write rows straight into their table, without a look at what is there."""
    if target.backend == "postgresql":
        written = copy_in(connection, target.sql, rows)
    else:
        names = ", ".join(quoted(name) for name in rows.column_names)
        marks = ", ".join(["%s"] * rows.num_columns)
        sql = f"INSERT INTO {target.sql} ({names}) VALUES ({marks})"  # noqa: S608  # quoted names
        written = _many(connection, sql, rows)
    return Counts(inserted=written, skipped=rows.num_rows - written)


def _many(connection: sa.Connection, sql: str, rows: pa.Table) -> int:
    """Run a statement of SQLite once for each row; how many it wrote."""
    if not rows.num_rows:
        return 0
    values = list(zip(*(column.to_pylist() for column in rows.columns), strict=True))
    execute_many: Any = connection.exec_driver_sql
    return int(execute_many(sql.replace("%s", "?").replace("%%", "%"), values).rowcount)


class Stage:
    """Rows that wait beside their table: in a temporary table, or as arrays where the role may make none.

    rows: texts (NULL is null), with ROW and EARLIER before them. key: None where content alone tells rows apart.
    """

    def __init__(self, connection: sa.Connection, target: Target, key: Key | None, rows: pa.Table) -> None:
        self.connection, self.target, self.key = connection, target, key
        self.columns = tuple(name for name in rows.column_names if name not in (ROW, EARLIER))
        # A number that the database gives a row says nothing of it: it is written with a new row, never compared.
        said = key.columns if key else ()
        self.compared = tuple(n for n in self.columns if n in said or not target.by_name[n].numbered) or self.columns
        self.sqlite = target.backend == "sqlite"
        self.rows = rows.num_rows
        self._parameters: tuple[Any, ...] = ()
        if self.sqlite or target.may_stage:
            self._from = f"temp.{STAGED}" if self.sqlite else f"pg_temp.{STAGED}"
            self._fill(rows)
        else:
            self._from, self._parameters = self._arrays(rows)

    def _fill(self, rows: pa.Table) -> None:
        names = [quoted(name) for name in self.columns]
        execute(self.connection, f"DROP TABLE IF EXISTS {self._from}")
        if not self.sqlite:
            chosen = ", ".join([f'CAST(0 AS bigint) AS "{ROW}"', f'CAST(0 AS bigint) AS "{EARLIER}"', *names])
            empty = f"SELECT {chosen} FROM {self.target.sql} WITH NO DATA"  # noqa: S608  # quoted names
            execute(self.connection, f"CREATE TEMPORARY TABLE {STAGED} ON COMMIT DROP AS {empty}")
            copy_in(self.connection, self._from, rows)
            return
        typed = [f"{name} {self.target.by_name[own].type}" for name, own in zip(names, self.columns, strict=True)]
        execute(
            self.connection,
            f'CREATE TEMPORARY TABLE {STAGED} ("{ROW}" INTEGER, "{EARLIER}" INTEGER, {", ".join(typed)})',
        )
        marks = ", ".join(["%s"] * rows.num_columns)
        _many(self.connection, f"INSERT INTO {self._from} VALUES ({marks})", rows)  # noqa: S608  # own name

    def _arrays(self, rows: pa.Table) -> tuple[str, tuple[Any, ...]]:
        names = [f'"{ROW}"', f'"{EARLIER}"', *(quoted(name) for name in self.columns)]
        types = ["bigint", "bigint", *(self.target.by_name[name].type.replace("%", "%%") for name in self.columns)]
        texts = [f"c{number}" for number in range(len(names))]
        chosen = ", ".join(f"CAST({t} AS {type}) AS {n}" for t, type, n in zip(texts, types, names, strict=True))
        marks = ", ".join(["%s::text[]"] * len(names))
        arrays = tuple(column.cast(pa.string()).to_pylist() for column in rows.columns)
        # OFFSET 0: the casts are done once, not wherever a column is used.
        return f"(SELECT {chosen} FROM unnest({marks}) AS u({', '.join(texts)}) OFFSET 0)", arrays  # noqa: S608  # quoted names

    # --- what SQL is made of

    def _same(self, one: str, other: str, name: str) -> str:
        """Whether two values of a column are the same, NULL included."""
        if self.sqlite:
            return f"{one} IS {other}"
        if self.target.by_name[name].kind in UNEQUAL:
            one, other = f"CAST({one} AS text)", f"CAST({other} AS text)"
        return f"{one} IS NOT DISTINCT FROM {other}"

    def _value(self, name: str, of: str = "s") -> str:
        """What is written for a column: its default where nothing is given and NULL may not be."""
        column = self.target.by_name[name]
        own = f"{of}.{quoted(name)}"
        if column.nullable or column.default is None:
            return own
        return f"coalesce({own}, {column.default.replace('%', '%%')})"

    @property
    def _keyed(self) -> str:
        """The condition under which a row's key tells it apart."""
        if self.key is None:
            return "false"
        loose = [name for name in self.key.columns if self.target.by_name[name].nullable]
        if self.key.nulls_equal or not loose:
            return "true"
        return " AND ".join(f"{quoted(name)} IS NOT NULL" for name in loose)

    def _names(self, of: str = "") -> str:
        return ", ".join(f"{of}{quoted(name)}" for name in self.columns)

    def _run(self, sql: str) -> Any:
        """Run a statement that reads the rows once."""
        return execute(self.connection, sql, self._parameters)

    # --- what would become of them

    def broken(self, *, all_rules: bool = True) -> Iterator[tuple[int, tuple[str, ...], str]]:
        """Rows that a CHECK or a foreign key refuses: number, columns, why; each row once.

        all_rules: also those that the columns' choices and longest say, which the caller may have looked at.
        """
        own = set(self.columns)
        tests: list[tuple[str, tuple[str, ...], str]] = []
        others: set[str] = set()
        for rule in self.target.rules:
            if own.intersection(rule.columns) and (all_rules or not rule.worded):
                others |= set(rule.columns) - own
                sql = rule.sql.replace("%", "%%")
                tests.append((f"({sql}) IS FALSE", rule.columns, f"the table asks for {worded(rule.sql)}"))
        for foreign in self.target.foreign:
            if own.issuperset(foreign.columns) and foreign.parent not in (self.target.sql, self.target.name):
                parts = list(zip(foreign.columns, foreign.parent_columns, strict=True))
                given = " AND ".join(f"s.{quoted(mine)} IS NOT NULL" for mine, _ in parts)
                equal = " AND ".join(f"p.{quoted(theirs)} = s.{quoted(mine)}" for mine, theirs in parts)
                parent = foreign.parent.replace("%", "%%") if not self.sqlite else foreign.parent
                sql = f"{given} AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE {equal})"  # noqa: S608  # quoted names
                tests.append((sql, foreign.columns, f"no row of {worded(foreign.parent)} has it"))
        if not tests:
            return
        more = "".join(f", {self._default(name)} AS {quoted(name)}" for name in sorted(others))
        cases = " ".join(f"WHEN {sql} THEN {number}" for number, (sql, _, _) in enumerate(tests))
        inner = f"SELECT *{more} FROM {self._from} staged"  # noqa: S608  # quoted names
        found = self._run(
            f'SELECT "{ROW}", test FROM (SELECT "{ROW}", CASE {cases} END AS test FROM ({inner}) s) x'  # noqa: S608
            " WHERE test IS NOT NULL ORDER BY 1"
        )
        for number, test in found:
            yield number, tests[test][1], tests[test][2]

    def _default(self, name: str) -> str:
        column = self.target.by_name[name]
        value = "NULL" if column.default is None or column.numbered else column.default.replace("%", "%%")
        return value if self.sqlite else f"CAST({value} AS {column.type})"

    def forecast(self) -> Counts:
        """What `write` would do; nothing is written."""
        done = self._forecast_by_key() if self.key is not None else Counts()
        if self._keyed != "true":
            new = f"{self._by_content()} SELECT count(*) {self._new}"
            done += Counts(inserted=self._run(new).scalar_one())
        return Counts(done.inserted, done.updated, self.rows - done.inserted - done.updated)

    def _forecast_by_key(self) -> Counts:
        assert self.key is not None
        differs = self._differs("s") or "false"
        known = f"t.{'ctid' if self.key.nulls_equal else quoted(self.key.columns[0])}"
        join = " AND ".join(self._matched(name, "s", by_key=True) for name in self.key.columns)
        fresh, changed = self._run(
            f"SELECT count(*) FILTER (WHERE {known} IS NULL),"  # noqa: S608  # quoted names
            f" count(*) FILTER (WHERE {known} IS NOT NULL AND ({differs}))"
            f" FROM {self._latest()} s LEFT JOIN {self.target.sql} t ON {join}"
        ).one()
        return Counts(int(fresh), int(changed))

    def _matched(self, name: str, staged: str, *, by_key: bool = False) -> str:
        """The condition that a row of the table has the value of a staged one."""
        column, own = self.target.by_name[name], f"t.{quoted(name)}"
        never_null = not (self.key and self.key.nulls_equal) if by_key else not column.nullable
        if never_null and column.kind not in UNEQUAL:  # "=", by which an index finds it and rows are hashed
            return f"{own} = {self._value(name, staged)}"
        return self._same(own, f"{staged}.{quoted(name)}", name)

    def _differs(self, staged: str) -> str:
        """Whether any column but the key's differs from the table's; "" where there is none."""
        assert self.key is not None
        rest = [name for name in self.compared if name not in self.key.columns]
        others = [f"excluded.{quoted(name)}" if staged == "excluded" else self._value(name, staged) for name in rest]
        return " OR ".join(
            f"NOT ({self._same(f't.{quoted(name)}', other, name)})" for name, other in zip(rest, others, strict=True)
        )

    def _latest(self) -> str:
        """The rows whose key tells them apart, of several with one key the last."""
        assert self.key is not None
        by = ", ".join(quoted(name) for name in self.key.columns)
        return (
            f'(SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY {by} ORDER BY "{ROW}" DESC) AS {_PLACE}'  # noqa: S608
            f" FROM {self._from} staged WHERE {self._keyed}) numbered WHERE {_PLACE} = 1)"
        )

    def _by_content(self) -> str:
        """WITH k, the rows that no key tells apart, and e, how often each is in the table."""
        matched = [self._matched(name, "k") for name in self.compared]
        if not any(" = " in one for one in matched):
            # Something that rows can be hashed by; else each is compared with each.
            name = quoted(self.compared[0])
            matched.append(f"coalesce(CAST(t.{name} AS text), '') = coalesce(CAST(k.{name} AS text), '')")
        return (
            f"WITH k AS (SELECT * FROM {self._from} s WHERE NOT ({self._keyed})),"  # noqa: S608  # quoted names
            f' e AS (SELECT k."{ROW}", count(*) AS {_TIMES} FROM k JOIN {self.target.sql} t'
            f' ON {" AND ".join(matched)} GROUP BY k."{ROW}")'
        )

    # Those of k that have come more often than they are in the table.
    _new = f'FROM k LEFT JOIN e ON e."{ROW}" = k."{ROW}" WHERE k."{EARLIER}" >= coalesce({_TIMES}, 0)'

    # --- writing them

    def insert(self) -> Counts:
        """Write all of them, without a look at what is there."""
        values = ", ".join(self._value(name) for name in self.columns)
        into = f"INSERT INTO {self.target.sql} ({self._names()})"
        written = self._run(f"{into} SELECT {values} FROM {self._from} s").rowcount  # noqa: S608  # quoted names
        return Counts(inserted=written, skipped=self.rows - written)

    def write(self) -> Counts:
        """Insert what is new, change what differs, leave what is the same."""
        done = Counts()
        if self.key is not None:
            done += self._by_key()
        if self._keyed != "true":
            done += self._new_content()
        return Counts(done.inserted, done.updated, self.rows - done.inserted - done.updated)

    def _by_key(self) -> Counts:
        if self.sqlite or self.target.partitioned:  # which cannot tell afterwards what was new
            seen = self._forecast_by_key()
            left_out = seen.inserted + seen.updated - self._run(self._upsert(self._latest())).rowcount
            return Counts(max(0, seen.inserted - left_out), seen.updated - max(0, left_out - seen.inserted))
        try:
            with self.connection.begin_nested():
                return self._returning(f"(SELECT * FROM {self._from} staged WHERE {self._keyed})")  # noqa: S608
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") != "21000":  # two rows of the batch have one key
                raise
        return self._returning(self._latest())

    def _returning(self, source: str) -> Counts:
        inserted, updated = self._run(
            f"WITH written AS ({self._upsert(source)} RETURNING xmax = 0 AS fresh)"  # noqa: S608  # quoted names
            " SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh) FROM written"
        ).one()
        return Counts(inserted, updated)

    def _upsert(self, source: str) -> str:
        assert self.key is not None
        rest = [name for name in self.compared if name not in self.key.columns]
        key = ", ".join(quoted(name) for name in self.key.columns)
        values = ", ".join(self._value(name) for name in self.columns)
        sql = (
            f"INSERT INTO {self.target.sql} AS t ({self._names()}) SELECT {values} FROM {source} s WHERE true"  # noqa: S608
            f" ON CONFLICT ({key}) DO "
        )
        if not rest:
            return sql + "NOTHING"
        sets = [f"{quoted(name)} = excluded.{quoted(name)}" for name in rest]
        touched = self.target.by_name.get("updated_at")
        if touched is not None and touched.default and touched.name not in self.columns:
            sets.append(f"{quoted(touched.name)} = {touched.default.replace('%', '%%')}")
        return f"{sql}UPDATE SET {', '.join(sets)} WHERE {self._differs('excluded')}"

    def _new_content(self) -> Counts:
        """Insert rows that no key tells apart as often as they come more often than they are in the table."""
        values = ", ".join(self._value(name, "k") for name in self.columns)
        into = f"INSERT INTO {self.target.sql} ({self._names()})"
        if self._beyond():  # then each of them is new, and the table need not be searched
            rest = f"SELECT {values} FROM {self._from} k WHERE NOT ({self._keyed})"  # noqa: S608  # quoted names
        else:
            rest = f"{self._by_content()} SELECT {values} {self._new}"
        return Counts(inserted=self._run(f"{into} {rest}").rowcount)

    def _beyond(self) -> bool:
        """Whether the table has no row at all in the rows' span of time."""
        times = [name for name in self.compared if self.target.by_name[name].kind in TIMED]
        name = next((quoted(one) for one in times if not self.target.by_name[one].nullable), None)
        if name is None or self._parameters:
            return False
        ends = [f"(SELECT {end}({name}) FROM {self._from} s WHERE NOT ({self._keyed}))" for end in ("min", "max")]  # noqa: S608
        known = f"SELECT 1 FROM {self.target.sql} t WHERE t.{name} BETWEEN {ends[0]} AND {ends[1]} LIMIT 1"  # noqa: S608
        return execute(self.connection, known).first() is None


def worded(sql: str) -> str:
    """A condition as a person reads it: without casts and outer brackets."""
    text = _NUMBER.sub(r"\1", sql.replace("::text", "").replace("::numeric", "").replace('"', ""))
    while text.startswith("(") and text.endswith(")") and _closes_last(text):
        text = text[1:-1]
    return text


def _closes_last(text: str) -> bool:
    depths = list(itertools.accumulate({"(": 1, ")": -1}.get(letter, 0) for letter in text))
    return 0 not in depths[:-1]
