"""Typed filters: what a person asks of a column, as SQL with parameters only."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from core.errors import TradekeepError
from core.explore.relation import Column, Relation
from core.format import identifier

COMPARISONS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
OPS = (*COMPARISONS, "between", "in", "contains", "starts with", "is null", "is not null", "last")
MOST_VALUES = 1000
LONGEST, LONGEST_INTERVAL = 10_000, 200
_UNITS = "second|sec|s|minute|min|hour|h|day|d|week|month|year"
_INTERVAL = re.compile(rf"\s*(\d{{1,6}}(?:\.\d{{1,6}})?)\s*({_UNITS})s?\b\s*", re.I)
_SECONDS = {
    "s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86_400, "day": 86_400,
    "week": 604_800, "month": 2_629_800, "year": 31_557_600,
}  # fmt: skip
_TIMES = ("timestamp", "date", "time")


@dataclass(frozen=True)
class Filter:
    """column op value. value: one; two for between; several for in, None for NULL; an interval ("7 days") for last."""

    column: str
    op: str
    value: Any = None


@dataclass(frozen=True)
class Condition:
    """A piece of SQL with the parameters for its placeholders, in their order."""

    sql: str
    parameters: tuple[Any, ...] = ()


class Dialect:
    """How names, placeholders and patterns are written for one backend."""

    def __init__(self, backend: str) -> None:
        self.sqlite = backend == "sqlite"
        self.mark = "?" if self.sqlite else "%s"

    def name(self, text: str) -> str:
        """A quoted identifier. Raises data.filter for one with NUL."""
        if "\0" in text:
            raise TradekeepError("data.filter", "A name holds a NUL character.")
        quoted = identifier(text)
        return quoted if self.sqlite else quoted.replace("%", "%%")

    def table(self, of: Relation) -> str:
        """The relation's full name, with the name under which its columns are meant."""
        return f"{self.name(of.schema)}.{self.name(of.name)} AS t"

    def column(self, name: str) -> str:
        """A column of the relation; never a column of the result that has the same name."""
        return f"t.{self.name(name)}"

    def comparable(self, column: Column) -> str:
        """The column, as text where its type has no order."""
        return self.column(column.name) if self.sqlite or column.ordered else self.as_text(column)

    def as_text(self, column: Column) -> str:
        """The column as text."""
        return f"CAST({self.column(column.name)} AS text)"

    def like(self, column: Column, pattern: str) -> Condition:
        """Whether the column's text has this pattern, whatever its case."""
        operator = "LIKE" if self.sqlite else 'COLLATE "default" ILIKE' if column.loose else "ILIKE"
        return Condition(f"{self.as_text(column)} {operator} {self.mark} ESCAPE '!'", (pattern,))

    def value(self, value: Any, column: Column) -> Any:
        """A value as the driver gets it: text to PostgreSQL, so that the column's type decides what it means."""
        if self.sqlite:
            return _for_sqlite(value, column)
        return text_of(value)


def conditions(of: Relation, filters: Sequence[Filter], search: str | None, dialect: Dialect) -> list[Condition]:
    """One condition a filter, and one for the search. Raises data.filter, schema.missing_column, permission.table."""
    found = [_condition(of.column(one.column), one, dialect) for one in filters]
    if search and search.strip():
        found.append(_search(of, search.strip(), dialect))
    return found


def joined(parts: Iterable[Condition], *, by: str = " AND ") -> Condition:
    """All conditions as one."""
    listed = list(parts)
    return Condition(by.join(part.sql for part in listed), tuple(value for part in listed for value in part.parameters))


def _condition(column: Column, asked: Filter, dialect: Dialect) -> Condition:
    build = _BUILDERS.get(asked.op)
    if build is None:
        raise TradekeepError("data.filter", f"There is no filter {asked.op!r}; there are {', '.join(OPS)}.")
    return build(column, asked, dialect)


def _compared(column: Column, asked: Filter, dialect: Dialect) -> Condition:
    value = dialect.value(_given(asked, asked.value), column)
    return Condition(f"{dialect.comparable(column)} {COMPARISONS[asked.op]} {dialect.mark}", (value,))


def _between(column: Column, asked: Filter, dialect: Dialect) -> Condition:
    values = _several(asked)
    if len(values) != 2:
        raise TradekeepError("data.filter", f"between on {column.name} needs two values; there are {len(values)}.")
    low, high = (dialect.value(_given(asked, value), column) for value in values)
    return Condition(f"{dialect.comparable(column)} BETWEEN {dialect.mark} AND {dialect.mark}", (low, high))


def _in(column: Column, asked: Filter, dialect: Dialect) -> Condition:
    values = _several(asked)
    if len(values) > MOST_VALUES:
        raise TradekeepError("data.filter", f"in on {column.name} has {len(values)} values; {MOST_VALUES} are allowed.")
    if not values:
        return Condition("1 = 0")
    given = tuple(dialect.value(_given(asked, value), column) for value in values if value is not None)
    listed = f"{dialect.comparable(column)} IN ({', '.join([dialect.mark] * len(given))})" if given else "1 = 0"
    if len(given) < len(values):
        return Condition(f"({dialect.column(column.name)} IS NULL OR {listed})", given)
    return Condition(listed, given)


def _contains(column: Column, asked: Filter, dialect: Dialect) -> Condition:
    text = text_of(_given(asked, asked.value))
    return dialect.like(column, f"{'%' if asked.op == 'contains' else ''}{_escaped(text)}%")


def _null(column: Column, asked: Filter, dialect: Dialect) -> Condition:
    return Condition(f"{dialect.column(column.name)} {asked.op.upper()}")


def _last(column: Column, asked: Filter, dialect: Dialect) -> Condition:
    seconds = interval_s(_given(asked, asked.value))
    if not column.type.startswith(_TIMES) and not dialect.sqlite:
        raise TradekeepError("data.filter", f"last needs a time; {column.name} is {column.type}.")
    now = datetime.now(UTC)
    try:
        since = now - timedelta(seconds=seconds)
    except OverflowError:
        since = datetime.min.replace(tzinfo=UTC)
    low, high = dialect.value(since, column), dialect.value(now, column)
    return Condition(f"{dialect.comparable(column)} BETWEEN {dialect.mark} AND {dialect.mark}", (low, high))


def _search(of: Relation, text: str, dialect: Dialect) -> Condition:
    if len(text) > LONGEST:
        raise TradekeepError("data.filter", f"A search has at most {LONGEST} characters.")
    text_of(text)
    columns = [column for column in of.readable if dialect.sqlite or column.textual] or list(of.readable)
    pattern = f"%{_escaped(text)}%"
    found = _any([dialect.like(column, pattern) for column in columns], at_once=100 if dialect.sqlite else len(columns))
    return Condition(f"({found.sql})", found.parameters)


def _any(parts: Sequence[Condition], at_once: int) -> Condition:
    """Whether one of the conditions holds; in pieces of pieces: to SQLite each OR is a level, and 1,000 are allowed."""
    while len(parts) > at_once:
        pieces = [joined(parts[start : start + at_once], by=" OR ") for start in range(0, len(parts), at_once)]
        parts = [Condition(f"({one.sql})", one.parameters) for one in pieces]
    return joined(parts, by=" OR ")


def _escaped(text: str) -> str:
    return re.sub(r"[!%_]", r"!\g<0>", text)


def _given(asked: Filter, value: Any) -> Any:
    """The value. Raises data.filter for none: comparing with NULL is never true."""
    if value is None:
        raise TradekeepError("data.filter", f"{asked.op} on {asked.column} needs a value; to find NULL use is null.")
    if isinstance(value, str | bytes) and len(value) > LONGEST:
        raise TradekeepError("data.filter", f"The value for {asked.column} is longer than {LONGEST} characters.")
    return value


def _several(asked: Filter) -> list[Any]:
    if isinstance(asked.value, str | bytes | Mapping) or not isinstance(asked.value, Iterable):
        raise TradekeepError("data.filter", f"{asked.op} on {asked.column} needs a list of values.")
    return list(asked.value)


def interval_s(text: Any) -> float:
    """The seconds of "7 days", "12 hours 30 min" ... Raises data.filter."""
    if isinstance(text, timedelta):
        return text.total_seconds()
    pieces = list(_INTERVAL.finditer(text)) if isinstance(text, str) and len(text) <= LONGEST_INTERVAL else []
    if not pieces or "".join(piece[0] for piece in pieces) != text:
        raise TradekeepError("data.filter", f"{text!r} is no length of time; write for instance 7 days or 12 hours.")
    return sum(float(piece[1]) * _SECONDS[piece[2].lower()] for piece in pieces)


def text_of(value: Any) -> str:
    """A value as PostgreSQL reads it. Raises data.filter for what cannot be written so."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Range | Multirange):
        return range_text(value, _element)
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    if isinstance(value, list | tuple | set | frozenset):
        return "{" + ",".join(_element(one) for one in value) + "}"
    try:
        text = str(value)
    except ValueError:  # Python refuses to write an int of thousands of digits
        raise TradekeepError("data.filter", "The number has too many digits.") from None
    if "\0" in text:
        raise TradekeepError("data.filter", "A value holds a NUL character, which no text in a database can.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TradekeepError("data.filter", "A value holds half of a character pair, which is no text.") from None
    return text


def range_text(value: Range[Any] | Multirange[Any], bound: Callable[[Any], str]) -> str:
    """A range as the server writes it: `[1,)`. bound: how an end of it is written."""
    if isinstance(value, Multirange):
        return "{" + ",".join(range_text(one, bound) for one in value) + "}"
    if value.isempty:
        return "empty"
    low, high = ("" if end is None else bound(end) for end in (value.lower, value.upper))
    return f"{value.bounds[0]}{low},{high}{value.bounds[1]}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return text_of(value)
    return '"' + text_of(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _for_sqlite(value: Any, column: Column) -> Any:
    """A value as SQLite compares it: it keeps types by value, and times as text in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return value.isoformat(" ", "microseconds")
    text_of(value)
    if isinstance(value, int) and abs(value) >= 2**63:  # greater than every number that SQLite keeps as such
        return math.inf if value > 0 else -math.inf
    if isinstance(value, bool | int | float | bytes):
        return value
    return value if isinstance(value, str) else text_of(value)


_BUILDERS: dict[str, Callable[[Column, Filter, Dialect], Condition]] = {
    **dict.fromkeys(COMPARISONS, _compared),
    "between": _between,
    "in": _in,
    "contains": _contains,
    "starts with": _contains,
    "is null": _null,
    "is not null": _null,
    "last": _last,
}
