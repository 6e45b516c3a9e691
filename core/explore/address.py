"""A view of a table as an address: what a link says, and what it means again when somebody opens it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from core.errors import TradekeepError
from core.explore.filters import OPS, Filter, text_of
from core.explore.order import Sort

T = TypeVar("T", Filter, Sort)
LIMITS = (100, 500, 1000)
LIMIT = 500
MOST_FILTERS = 50
LISTED = ("between", "in")
ALL = "*"
VALUELESS = ("is null", "is not null")


@dataclass(frozen=True)
class View:
    """What is looked at: table, which rows in which order, which page, which row in detail, in which zone.

    columns, sort: () for the table's own; columns (ALL,) for every one. after, before: where the page lies.
    start: the number of its first row. row: the key of the row that is open. utc: times in UTC rather than the
    viewer's zone.
    """

    table: str = ""
    filters: tuple[Filter, ...] = ()
    search: str = ""
    sort: tuple[Sort, ...] = ()
    columns: tuple[str, ...] = ()
    limit: int = LIMIT
    after: str = ""
    before: str = ""
    start: int | None = None
    row: tuple[Any, ...] = ()
    utc: bool = False

    def first(self, **changes: Any) -> View:
        """The view with these changes, at its first page."""
        return replace(self, **{"after": "", "before": "", "start": None, "row": ()} | changes)

    def matching(self) -> View:
        """What decides which rows match, and nothing else of the view."""
        return View(self.table, self.filters, self.search)

    def named(self) -> tuple[str, ...]:
        """The columns that it names, each once."""
        shown = () if self.columns == (ALL,) else self.columns
        filtered, sorted_by = (one.column for one in self.filters), (one.column for one in self.sort)
        return tuple(dict.fromkeys([*filtered, *sorted_by, *shown]))

    def places(self, column: str) -> list[str]:
        """Where it names a column, in words."""
        named = {
            "the filters": [one.column for one in self.filters],
            "the order": [one.column for one in self.sort],
            "the columns": self.columns,
        }
        return [place for place, columns in named.items() if column in columns]

    def naming(self, column: str, other: str | None) -> View:
        """The view at its first page with another column in place of this one; None: without it."""

        def moved(parts: Sequence[T]) -> tuple[T, ...]:
            kept = [part for part in parts if other is not None or part.column != column]
            return tuple(replace(part, column=other) if other and part.column == column else part for part in kept)

        shown = [other if name == column else name for name in self.columns]
        columns = tuple(dict.fromkeys(name for name in shown if name is not None))
        return self.first(filters=moved(self.filters), sort=moved(self.sort), columns=columns)

    def params(self) -> dict[str, str | list[str]]:
        """The parameters of the address, without what goes without saying."""
        listed: dict[str, str | list[str]] = {
            "table": self.table,
            "where": [_written([one.column, one.op, *_values(one)]) for one in self.filters],
            "q": self.search,
            "sort": [f"{one.column} {'desc' if one.descending else 'asc'}" for one in self.sort],
            "show": ALL if self.columns == (ALL,) else _written(list(self.columns)) if self.columns else "",
            "limit": "" if self.limit == LIMIT else str(self.limit),
            "after": self.after,
            "before": self.before,
            "at": "" if self.start is None else str(self.start),
            "row": _written(list(self.row)) if self.row else "",
            "time": "utc" if self.utc else "",
        }
        return {name: value for name, value in listed.items() if value}

    def query(self) -> str:
        """The parameters as the text after the address's question mark."""
        return urlencode(self.params(), doseq=True)


def view_of(params: Mapping[str, Sequence[str]]) -> View:
    """The view that an address's parameters (name -> its values) mean. Raises data.filter for what makes no sense."""

    def one(name: str) -> str:
        return next(iter(params.get(name, ())), "")

    return View(
        table=one("table"),
        filters=tuple(_filter(text) for text in list(params.get("where", ()))[:MOST_FILTERS]),
        search=one("q"),
        sort=tuple(_sort(text) for text in params.get("sort", ())),
        columns=_columns(one("show")),
        limit=_limit(one("limit")),
        after=one("after"),
        before="" if one("after") else one("before"),
        start=_number(one("at")),
        row=tuple(_list(one("row"))) if one("row") else (),
        utc=one("time") == "utc",
    )


def _values(asked: Filter) -> list[Any]:
    if asked.op in VALUELESS:
        return []
    return list(asked.value) if asked.op in LISTED else [asked.value]


def _written(values: list[Any]) -> str:
    return json.dumps([_kept(value) for value in values], ensure_ascii=False, separators=(",", ":"))


def _kept(value: Any) -> Any:
    """A value as an address holds it: what PostgreSQL reads as the column's own, and bytes as SQLite compares them."""
    if value is None or isinstance(value, str | int | float):
        return value
    return {"hex": value.hex()} if isinstance(value, bytes) else text_of(value)


def _list(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    values = [_bytes(value) for value in found] if isinstance(found, list) else None
    if values is None or not all(map(_plain, values)):
        raise TradekeepError("data.filter", f"The address holds something that cannot be read: {text[:80]!r}.")
    return values


def _bytes(value: Any) -> Any:
    """Bytes where an address means some, else the value."""
    try:
        return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
    except (KeyError, ValueError, TypeError):
        return value


def _plain(value: Any) -> bool:
    """Whether a value can stand in an address again: half of a character pair, say, cannot."""
    if isinstance(value, str):
        return value.isprintable() or not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, int | float | bytes)


def _filter(text: str) -> Filter:
    parts = _list(text)
    if len(parts) < 2 or not isinstance(parts[0], str) or parts[1] not in OPS:
        raise TradekeepError("data.filter", f"The address holds a filter that cannot be read: {text[:80]!r}.")
    column, op, values = parts[0], parts[1], parts[2:]
    if op in VALUELESS:
        return Filter(column, op)
    if op in LISTED:
        return Filter(column, op, tuple(values))
    if len(values) != 1:
        raise TradekeepError("data.filter", f"The address holds a filter that needs one value: {text[:80]!r}.")
    return Filter(column, op, values[0])


def _columns(text: str) -> tuple[str, ...]:
    if text in ("", ALL):
        return (ALL,) if text else ()
    return tuple(name for name in _list(text) if isinstance(name, str))


def _sort(text: str) -> Sort:
    column, _, direction = text.rpartition(" ")
    if not column or direction not in ("asc", "desc"):
        raise TradekeepError("data.filter", f"The address holds an order that cannot be read: {text[:80]!r}.")
    return Sort(column, direction == "desc")


def _limit(text: str) -> int:
    return int(text) if text in {str(limit) for limit in LIMITS} else LIMIT


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 15 else None
