"""What a column can be asked, in words; and what a person typed, as a value of the column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from core.explore.cells import is_time, moment, one_line, shortened
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
    shown = joint.join(_shown(value, column, zone) for value in values)
    return f"{said} {shortened(shown, LONGEST_SHOWN)}"


def _shown(value: Any, column: Column | None, zone: tzinfo) -> str:
    found = _moment(value) if column is not None and is_time(column) else None
    return moment(found, zone) if found is not None else one_line(str(value))


def value_of(text: str, column: Column, zone: tzinfo) -> str:
    """What somebody typed, as a link keeps it: a time without a zone is meant in `zone`."""
    text = text.strip() if ops_of(column) is not TEXTS else text
    if not is_time(column):
        return text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text  # the server may understand more: 'today', 'infinity'
    return found.isoformat() if found.tzinfo is not None else found.replace(tzinfo=zone).isoformat()


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
