"""What a page selects: columns, cut where they may be long, and what makes tokens of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.explore.filters import Dialect
from core.explore.order import Order, Part
from core.explore.relation import BEGUN, Column, Relation

ENOUGH = 2000  # characters of a term of the order, if its beginning can stand for it
MOST = 25_000  # of one that must be whole
LONG_IN_ALL = 30_000
# Python's numbers would round theirs, and its dictionaries know a name once only.
JSON = frozenset({"json", "jsonb", "json[]", "jsonb[]"})


@dataclass(frozen=True)
class Source:
    """Where a row has the value of a term of the order. cut_at: it may be cut if it is as long; None: it is whole."""

    index: int
    cut_at: int | None = None


def cell(of: Relation, column: Column, longest: int, dialect: Dialect) -> str:
    """The SQL of a shown column: itself, or its first characters where the table may hold values of any length."""
    name = dialect.column(column.name)
    whole = column.name in of.key  # so that it leads to its row
    if dialect.sqlite:
        return name if whole else _cut_sqlite(name, longest)
    cut = of.toasted and column.wide and not whole
    if column.type in JSON:
        return _left(dialect.as_text(column), longest if cut else None)
    if column.type == "interval":
        return dialect.as_text(column)  # Python would make 30 days of a month
    if not cut:
        return name
    if column.type in BEGUN:
        return f"CASE WHEN octet_length({name}) > {longest} THEN left({name}, {longest}) ELSE {name} END"
    if column.type == "bytea":
        return f"CASE WHEN octet_length({name}) > {longest} THEN substring({name} from 1 for {longest}) ELSE {name} END"
    return _left(dialect.as_text(column), longest)


def sources(
    of: Relation, shown: Sequence[Column], order: Order, longest: int, dialect: Dialect
) -> tuple[list[str], list[Source]]:
    """The SQL of what is selected besides what is shown, and where the terms of the order are found in a row."""
    besides: list[str] = []
    found = []
    for part in order.parts:
        here = _shown(of, shown, part, longest, dialect)
        if here is None:
            cut_at = (ENOUGH if part.beginning else MOST) if of.toasted and part.column.wide else None
            here = Source(len(shown) + len(besides), None if dialect.sqlite else cut_at)
            besides.append(_own(part, here.cut_at, dialect))
        found.append(here)
    return besides, found


def _shown(of: Relation, shown: Sequence[Column], part: Part, longest: int, dialect: Dialect) -> Source | None:
    """Where a term is among what is shown; None where it is not, or not so that it can be told to the server again."""
    if part.column not in shown or part.sql != dialect.column(part.column.name):
        return None
    if not (dialect.sqlite or part.column.plain):
        return None
    index = shown.index(part.column)
    if cell(of, part.column, longest, dialect) == part.sql:
        return Source(index)
    return Source(index, longest) if part.beginning and part.column.type in BEGUN else None


def _own(part: Part, cut_at: int | None, dialect: Dialect) -> str:
    if dialect.sqlite:
        return part.sql
    sql = part.sql if part.column.plain else f"CAST({part.sql} AS text)"
    return _left(sql, cut_at)


def _left(sql: str, longest: int | None) -> str:
    return sql if longest is None else f"left({sql}, {longest})"


def _cut_sqlite(name: str, longest: int) -> str:
    """By bytes first: length() counts the characters of a text up to a NUL alone, and such a text is cut as bytes."""
    as_bytes = f"CAST({name} AS BLOB)"
    return (
        f"CASE WHEN length({as_bytes}) <= {longest} THEN {name}"
        f" WHEN length({name}) > {longest} THEN substr({name}, 1, {longest})"
        f" WHEN instr({as_bytes}, x'00') THEN substr({as_bytes}, 1, {longest}) ELSE {name} END"
    )
