"""What a column can be asked, in words; and what a person typed, as a value of the column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

from core.errors import TradekeepError
from core.explore.cells import full, is_time, moment, one_line, shortened
from core.explore.filters import Filter
from core.explore.order import Sort
from core.explore.relation import Column, Relation

NUMBERS = frozenset({
    "smallint", "integer", "bigint", "numeric", "real", "double precision", "money", "oid", "int", "float", "decimal",
})  # fmt: skip
COMPARED = ("=", "!=", ">", ">=", "<", "<=", "between", "in", "is null", "is not null")
TIMED = ("last", ">=", "<", "between", "=", "is null", "is not null")
TEXTS = ("=", "contains", "starts with", "in", "!=", "is null", "is not null")
YES_NO = ("=", "is null", "is not null")
OTHERS = ("contains", "=", "is null", "is not null")
WORDS = {
    "=": "is", "!=": "is not", ">": "more than", ">=": "at least", "<": "less than", "<=": "at most",
    "between": "between", "in": "one of", "contains": "contains", "starts with": "starts with",
    "is null": "is empty (NULL)", "is not null": "is not empty", "last": "in the last",
}  # fmt: skip
TIME_WORDS = {">=": "since", "<": "before"}
INTERVALS = ("1 hour", "24 hours", "7 days", "30 days", "90 days", "1 year")
LONGEST_SHOWN = 60
# How people write a day that can mean one day only, with a clock or without.
WRITTEN = [
    f"{day}{clock}"
    for day in ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%b %d, %Y", "%B %d, %Y", "%Y/%m/%d")
    for clock in ("", " %H:%M", " %H:%M:%S")
]
UNENDING = ("infinity", "-infinity")
GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
# A table of few rows, without an index by time.
_ORDERS = {"positions": (Sort("status", descending=True), Sort("opened_at", descending=True))}


def is_number(column: Column) -> bool:
    """Whether the column holds numbers, by its type's name."""
    return column.type.partition("(")[0].strip() in NUMBERS


def is_boolean(column: Column) -> bool:
    """Whether the column holds yes and no."""
    return column.type in ("boolean", "bool")


def ops_of(column: Column) -> tuple[str, ...]:
    """The comparisons that make sense for a column, the likeliest first."""
    if is_boolean(column):
        return YES_NO
    if is_time(column) or column.type.startswith(("timestamp", "date")):
        return TIMED
    if is_number(column):
        return COMPARED
    return TEXTS if column.enum or column.ordered else OTHERS


def word(op: str, column: Column | None) -> str:
    """A comparison in words."""
    timed = column is not None and ops_of(column) is TIMED
    return TIME_WORDS.get(op, WORDS[op]) if timed else WORDS[op]


def sentence(asked: Filter, of: Relation, zone: tzinfo) -> str:
    """A filter in words: `price at least 100`."""
    column = of.by_name.get(asked.column)
    said = f"{one_line(asked.column)} {word(asked.op, column)}"
    if asked.op in ("is null", "is not null"):
        return said
    values = list(asked.value) if asked.op in ("between", "in") else [asked.value]
    joint = " and " if asked.op == "between" else ", "
    shown = joint.join(value_text(value, column, zone) for value in values)
    return f"{said} {shortened(shown, LONGEST_SHOWN)}"


def value_text(value: Any, column: Column | None, zone: tzinfo) -> str:
    """A value of a filter as people read it: a time in the zone."""
    found = _moment(value) if column is not None and is_time(column) else None
    return moment(found, zone) if found is not None else one_line(full(value, column or Column("", ""), zone))


def value_of(text: str, column: Column, zone: tzinfo) -> str:
    """What somebody typed, as a link keeps it: a time without a zone is meant in `zone`, a number as grids show it.

    Raises data.filter for what is no number or time; 01/02/2026 is none, it means two days.
    """
    text = text.strip() if ops_of(column) is not TEXTS else text
    if is_number(column) and column.type != "money":
        return _number(text, column)
    if not column.type.startswith(("timestamp", "date")) or text.lower() in UNENDING:
        return text
    found = _typed_time(text, zone)
    if found is None:
        raise TradekeepError(
            "data.filter",
            f"{one_line(column.name)}: {shortened(text, 40)!r} is not read as a time. Write 2026-01-31 14:00, "
            "31 Jan 2026, today or yesterday.",
        )
    if column.type == "date":
        return found.date().isoformat()
    if not is_time(column):
        return found.replace(tzinfo=None).isoformat()
    return found.isoformat() if found.tzinfo is not None else found.replace(tzinfo=zone).isoformat()


def filter_of_text(column: Column, op: str, text: str, zone: tzinfo) -> Filter:
    """The filter for a value that somebody typed; a moment that is just a day means all of that day. As value_of."""
    value = value_of(text, column, zone)
    if op == "=" and is_time(column) and value.lower() not in UNENDING:
        begin = datetime.fromisoformat(value).astimezone(zone)
        if ":" not in text and begin == begin.replace(hour=0, minute=0, second=0, microsecond=0):
            end = begin + timedelta(days=1, microseconds=-1)
            return Filter(column.name, "between", (value, end.isoformat()))
    return Filter(column.name, op, value)


def _number(text: str, column: Column) -> str:
    plain = text.replace(",", "") if GROUPED.fullmatch(text) else text
    try:
        Decimal(plain)
    except InvalidOperation:
        raise TradekeepError(
            "data.filter", f"{one_line(column.name)}: {shortened(text, 40)!r} is not a number. Write 1234.5."
        ) from None
    return plain


def _typed_time(text: str, zone: tzinfo) -> datetime | None:
    now = datetime.now(zone)
    days = {"today": 0, "yesterday": -1, "tomorrow": 1}
    if (lower := text.lower()) == "now":
        return now
    if lower in days:
        return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days[lower])
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    for way in WRITTEN:
        with suppress(ValueError):
            return datetime.strptime(text, way)  # the zone is the viewer's
    return None


def ready(filters: Sequence[Filter], of: Relation) -> tuple[Filter, ...]:
    """Filters of a link with values as the columns have them: times, which SQLite cannot read from any text."""
    found = []
    for one in filters:
        column = of.by_name.get(one.column)
        timed = column is not None and is_time(column) and one.op not in ("last", "contains", "starts with")
        found.append(replace(one, value=_ready(one.value)) if timed else one)
    return tuple(found)


def _ready(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_ready(each) for each in value)
    return _moment(value) or value


def _moment(value: Any) -> datetime | None:
    """The time that a text with a zone means."""
    if isinstance(value, datetime):
        return value
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def usual_order(of: Relation) -> tuple[Sort, ...]:
    """Open positions first; the newest first where an index has the rows by time; else () for the key's order."""
    if (
        of.schema in ("public", "main")
        and {one.column for one in _ORDERS.get(of.name, (Sort(""),))} <= of.by_name.keys()
    ):
        return _ORDERS[of.name]
    for index in of.indexes:
        name, descending = index.parts[0]
        column = of.by_name.get(name)
        if column is not None and ops_of(column) is TIMED and (descending or not column.nullable):
            return (Sort(name, descending=True),)
    return ()
