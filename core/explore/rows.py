"""One page of any table or view: by keyset, read-only, within the statement timeout."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore.asking import ask
from core.explore.chosen import LONG_IN_ALL, cell, sources
from core.explore.estimates import estimate
from core.explore.fetched import NoText, fetched
from core.explore.filters import Condition, Dialect, Filter, conditions, joined, text_of
from core.explore.order import NO_TEXT as NO_PLACE
from core.explore.order import TOO_LONG, Order, Sort, Token, by_beginnings, filters_binding, opened, order_of, placed
from core.explore.relation import Column, Relation, forget, relation
from core.format import literal

LONGEST_CELL = 65_536
MOST_ROWS = 10_000


@dataclass(frozen=True)
class Page:
    """Rows in the order asked for. first, last: tokens for `before` and `after`, None for an empty page.

    estimate: how many rows match in all, None where nobody knows. sql: what was asked, as text to copy.
    cut_at: longer texts are cut there. warning: what is not certain about the order, or shown otherwise than it is.
    """

    columns: list[str]
    rows: list[tuple[Any, ...]]
    first: str | None
    last: str | None
    has_next: bool
    has_previous: bool
    estimate: int | None
    sql: str
    elapsed_ms: float
    cut_at: int = LONGEST_CELL
    warning: str = ""

    def named(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """One of the rows by the names of the columns."""
        return dict(zip(self.columns, row, strict=True))


@dataclass(frozen=True)
class _Asked:
    """One request, resolved against the relation as it is. sorts: as they were asked for."""

    of: Relation
    sorts: tuple[Sort, ...]
    shown: tuple[Column, ...]
    where: tuple[Condition, ...]
    order: Order
    binding: str
    limit: int
    cut_at: int
    dialect: Dialect


def page_of_rows(
    db: Database,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    filters: Sequence[Filter] = (),
    search: str | None = None,
    sort: Sequence[Sort] | Sort | None = None,
    after: str | None = None,
    before: str | None = None,
    limit: int = 500,
    cut_at: int = LONGEST_CELL,
) -> Page:
    """A page of a table or view ("name" or "schema.name"), the first one without a token.

    columns: names, all that may be read by default. search: text anywhere in the text columns. after, before: the
    `last` of the page before, the `first` of the page after. Raises data.filter, data.token, schema.missing_table,
    schema.missing_column, permission.table, transient.statement_timeout.
    """
    begin = time.perf_counter()
    if after is not None and before is not None:
        raise TradekeepError("data.token", "A page lies either after a place or before one, not both.")
    if not isinstance(limit, int) or not 1 <= limit <= MOST_ROWS:
        raise TradekeepError("data.filter", f"A page has 1 to {MOST_ROWS} rows.")
    sorts = (sort,) if isinstance(sort, Sort) else tuple(sort or ())
    token = after if after is not None else before

    def question(connection: sa.Connection) -> Page:
        def read(*, sure: bool) -> Page:
            asked = _resolved(db, connection, table, columns, filters, search, sorts, limit, cut_at)
            return _read(db, connection, asked, token, backward=before is not None, sure=sure)

        try:
            page = read(sure=False)
        except _NoKeyError:
            forget(db)
            page = read(sure=True)
        return _timed(page, begin)

    return ask(db, question)


class _NoKeyError(Exception):
    """Rows are equal in what was their key when the relation was looked at."""


class _LongError(Exception):
    """A token would have to hold a long value."""


def _read(
    db: Database, connection: sa.Connection, asked: _Asked, token: str | None, *, backward: bool, sure: bool
) -> Page:
    """The page beyond a token; by the beginnings of long values where the token is of such an order, or must be."""
    place, body = None, None
    if token is not None:
        body, place = opened(token)
    if place is not None and place.short:
        asked = _by_beginnings(asked)
    if place is not None and body is not None:
        place = placed(body, place, asked.order, asked.binding)
    try:
        return _Reader(db, connection, asked, sure=sure).page(place, backward=backward)
    except _LongError:
        place = place and by_beginnings(place, asked.order)
    return _Reader(db, connection, _by_beginnings(asked), sure=sure).page(place, backward=backward)


def _by_beginnings(asked: _Asked) -> _Asked:
    return replace(asked, order=order_of(asked.of, asked.sorts, asked.dialect, short=True))


def position_token(db: Database, table: str, sort: Sequence[Sort] | Sort | None, values: Sequence[Any]) -> str:
    """A token for `after` or `before` from the values of the sort's columns (of the key's, without a sort).

    It names a place, not a row: rows equal to the values lie behind it in both directions. Raises data.token.
    """
    sorts = (sort,) if isinstance(sort, Sort) else tuple(sort or ())

    def question(connection: sa.Connection) -> str:
        dialect = Dialect(db.backend)
        order = order_of(relation(db, connection, table), sorts, dialect)
        if not 1 <= len(values) <= len(order.parts):
            raise TradekeepError(
                "data.token", f"The order has {len(order.parts)} terms; {len(values)} values are given."
            )
        given = zip(order.parts, values, strict=False)
        packed = tuple(None if value is None else dialect.value(value, part.column) for part, value in given)
        return Token(packed, of_page=False).write(order, "")

    return ask(db, question)


def _resolved(
    db: Database,
    connection: sa.Connection,
    table: str,
    columns: Sequence[str] | None,
    filters: Sequence[Filter],
    search: str | None,
    sorts: Sequence[Sort],
    limit: int,
    cut_at: int,
) -> _Asked:
    dialect = Dialect(db.backend)
    of = relation(db, connection, table)
    shown = of.readable if columns is None else tuple(of.column(name) for name in dict.fromkeys(columns))
    where = tuple(conditions(of, filters, search, dialect))
    order = order_of(of, sorts, dialect)
    return _Asked(of, tuple(sorts), shown, where, order, filters_binding(filters, search), limit, cut_at, dialect)


class _Reader:
    """Reads one page on one connection."""

    def __init__(self, db: Database, connection: sa.Connection, asked: _Asked, *, sure: bool) -> None:
        self.db, self.connection, self.asked, self.sure = db, connection, asked, sure
        self.dialect, self.order = asked.dialect, asked.order
        self.besides, self.sources = sources(asked.of, asked.shown, self.order, asked.cut_at, self.dialect)
        self.statements: list[str] = []
        self.told: list[str] = []

    def page(self, place: Token | None, *, backward: bool) -> Page:
        """The page beyond a place."""
        asked = self.asked
        if not self.order.parts:
            return self._unordered(place, backward)
        skip = place.skip if place else 0
        rows = self._rows(place, backward, asked.limit + 1, skip)
        more = len(rows) > asked.limit
        if more and self.order.unique and not self.sure and self._values(rows[-1]) == self._values(rows[-2]):
            raise _NoKeyError
        rows = rows[: asked.limit]
        if any(part.beginning for part in self.order.parts) and any(map(self._long, rows[:1] + rows[-1:])):
            raise _LongError
        if backward:
            rows.reverse()
        behind = place is not None and (place.of_page or self._any(place, not backward))
        first = self._token(rows, place if backward else None)
        last = self._token(rows[::-1], place if not backward else None)
        width = len(asked.shown)
        has_next, has_previous = (behind, more) if backward else (more, behind)
        return self._made([row[:width] for row in rows], first, last, has_next, has_previous, whole=place is None)

    def _unordered(self, place: Token | None, backward: bool) -> Page:
        """A view without an order: by counting rows, as the server gives them."""
        limit, skip = self.asked.limit, place.skip if place else 0
        start = max(0, skip - limit) if backward else skip
        size = skip - start if backward else limit
        rows = self._rows(None, False, size + 1, start) if size else []
        more, rows = len(rows) > size, rows[:size]
        first = Token((), start).write(self.order, self.asked.binding) if rows else None
        last = Token((), start + len(rows)).write(self.order, self.asked.binding) if rows else None
        page = self._made(rows, first, last, more, start > 0, whole=place is None)
        return _warned(
            page, f"This {self.asked.of.kind} has no order of its own: sort it, else rows may repeat or be left out."
        )

    def _made(
        self,
        rows: list[tuple[Any, ...]],
        first: str | None,
        last: str | None,
        after: bool,
        before: bool,
        *,
        whole: bool,
    ) -> Page:
        estimate = len(rows) if whole and not after and not before else self._estimate(new=whole)
        warning = " ".join(filter(None, ["" if self.asked.of.key else self._doubt(), *dict.fromkeys(self.told)]))
        columns = [column.name for column in self.asked.shown]
        sql = ";\n".join(self.statements)
        return Page(columns, rows, first, last, after, before, estimate, sql, 0.0, self.asked.cut_at, warning)

    def _doubt(self) -> str:
        of = self.asked.of
        if "ctid" in of.place:
            return "This table has no key: rows are told apart by their place, which an UPDATE or VACUUM FULL changes."
        return "" if of.place else f"Nothing tells the rows of this {of.kind} apart: equal ones may change places."

    def _rows(self, place: Token | None, backward: bool, limit: int, skip: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for number, zone in enumerate(self.order.zones(place.values if place else None, backward=backward)):
            wanted = limit - len(found)
            if wanted <= 0:
                break
            found += self._fetch(zone, backward, wanted, 0 if number else skip)
        return found

    def _fetch(self, zone: Condition | None, backward: bool, limit: int, skip: int) -> list[tuple[Any, ...]]:
        asked = self.asked
        chosen = [cell(asked.of, column, asked.cut_at, self.dialect) for column in asked.shown] + self.besides
        return self._run(*self._statement(", ".join(chosen) or "NULL", zone, backward, limit, skip))

    def _statement(
        self, chosen: str, zone: Condition | None, backward: bool, limit: int, skip: int
    ) -> tuple[str, tuple[Any, ...]]:
        asked, mark = self.asked, self.dialect.mark
        where = joined([*asked.where, *([zone] if zone else [])])
        sql = f"SELECT {chosen} FROM {self.dialect.table(asked.of)}"  # noqa: S608  # quoted names
        sql += f" WHERE {where.sql}" if where.sql else ""
        ordered = self.order.sql(backward=backward)
        sql += f" ORDER BY {ordered}" if ordered else ""
        sql += f" LIMIT {limit}" + (f" OFFSET {mark}" if skip else "")
        return sql, where.parameters + ((skip,) if skip else ())

    def _run(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The rows of a statement that is shown to people."""
        if self.dialect.sqlite:
            self.statements.append(_shown_sqlite(sql, parameters))
        else:
            self.statements.append(psycopg.ClientCursor(self._driver()).mogrify(sql, parameters))
        return self._asked(sql, parameters)

    def _driver(self) -> psycopg.Connection[Any]:
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        return driver

    def _asked(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return fetched(self.connection, sql, parameters, self.told)

    def _any(self, place: Token, backward: bool) -> bool:
        """Whether a row lies beyond the place, in the other direction."""
        for zone in self.order.zones(place.values, backward=backward):
            sql, parameters = self._statement("1", zone, backward, 1, 0)
            if self._asked(sql, parameters):
                return True
        return False

    def _values(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """The row's values in the terms of the order, as a token keeps them."""
        values = [row[source.index] for source in self.sources]
        if self.dialect.sqlite:
            return tuple(values)
        return tuple(None if value is None else text_of(value) for value in values)

    def _cut(self, values: tuple[Any, ...]) -> bool:
        """Whether one of the values of a row may be a beginning only."""
        pairs = zip(self.sources, values, strict=True)
        return any(source.cut_at and value is not None and len(value) >= source.cut_at for source, value in pairs)

    def _long(self, row: tuple[Any, ...]) -> bool:
        """Whether a token of the row would be long, or could not hold its place."""
        values = self._values(row)
        return self._cut(values) or sum(len(value) for value in values if value is not None) > LONG_IN_ALL

    def _token(self, rows: list[tuple[Any, ...]], place: Token | None) -> str | None:
        """The token of the first of these rows; place: what the page was read from, if this end lies further on."""
        if not rows:
            return None
        at, skip = self._values(rows[0]), 0
        if not self.order.unique:
            equal = itertools.takewhile(lambda row: self._values(row) == at, rows)
            skip = sum(1 for _ in equal)
            if place and skip == len(rows) and place.values == at:
                skip += place.skip
        refused = NO_PLACE if any(isinstance(value, NoText) for value in at) else TOO_LONG if self._cut(at) else ""
        return Token(at, skip, refused=refused).write(self.order, self.asked.binding)

    def _estimate(self, *, new: bool) -> int | None:
        of, where = self.asked.of, joined(self.asked.where)
        if not where.sql:
            return of.rows_estimate
        if self.dialect.sqlite:
            return None
        key = (self.db.config.fingerprint(), of.schema, of.name, self.asked.binding)
        return estimate(key, self.connection, self.dialect.table(of), where, kept_s=1 if new else 60)


def _shown_sqlite(sql: str, parameters: tuple[Any, ...]) -> str:
    """The statement with its values, to read and copy."""
    pieces = sql.split("?")
    texts = [f"x'{one.hex()}'" if isinstance(one, bytes) else _literal(one) for one in parameters]
    if len(pieces) != len(texts) + 1:
        return sql  # a name holds a question mark
    return "".join(piece + text for piece, text in zip(pieces, [*texts, ""], strict=True))


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, int | float) else literal(str(value))


def _timed(page: Page, begin: float) -> Page:
    return Page(**{**page.__dict__, "elapsed_ms": (time.perf_counter() - begin) * 1000})


def _warned(page: Page, warning: str) -> Page:
    return Page(**{**page.__dict__, "warning": warning})
