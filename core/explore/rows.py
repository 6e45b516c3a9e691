"""One page of any table or view: by keyset, read-only, within the statement timeout."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.types.string import TextLoader

from core.database import Database
from core.errors import TradekeepError
from core.explore.asking import ask
from core.explore.estimates import estimate
from core.explore.filters import Condition, Dialect, Filter, conditions, joined, text_of
from core.explore.order import Order, Sort, Token, filters_binding, order_of, read_token
from core.explore.relation import Column, Relation, relation
from core.format import literal

LONGEST_CELL = 65_536
MOST_ROWS = 10_000
# What Python cannot hold (infinity, 4713 BC, 24:00) comes as the server's text.
_HARD = (
    "date", "time", "timetz", "timestamp", "timestamptz", "interval", "inet", "cidr", "json", "jsonb", "numeric",
    "daterange", "tsrange", "tstzrange", "datemultirange", "tsmultirange", "tstzmultirange",
)  # fmt: skip


@dataclass(frozen=True)
class Page:
    """Rows in the order asked for. first, last: tokens for `before` and `after`, None for an empty page.

    estimate: how many rows match in all, None where nobody knows. sql: what was asked, as text to copy.
    cut_at: longer texts are cut there. warning: what is not certain about the order.
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
    """One request, resolved against the relation as it is."""

    of: Relation
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

    def question(connection: sa.Connection) -> Page:
        asked = _resolved(db, connection, table, columns, filters, search, sorts, limit, cut_at)
        token = after if after is not None else before
        place = None if token is None else read_token(token, asked.order, asked.binding)
        page = _Reader(db, connection, asked).page(place, backward=before is not None)
        return _timed(page, begin)

    return ask(db, question)


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
    return _Asked(of, shown, where, order, filters_binding(filters, search), limit, cut_at, dialect)


class _Reader:
    """Reads one page on one connection."""

    def __init__(self, db: Database, connection: sa.Connection, asked: _Asked) -> None:
        self.db, self.connection, self.asked = db, connection, asked
        self.dialect, self.order = asked.dialect, asked.order
        self.hidden = [part for part in self.order.parts if self._needs_own(part.column, part.sql)]
        self.statements: list[str] = []

    def page(self, place: Token | None, *, backward: bool) -> Page:
        """The page beyond a place."""
        asked = self.asked
        if not self.order.parts:
            return self._unordered(place, backward)
        skip = place.skip if place else 0
        rows = self._rows(place, backward, asked.limit + 1, skip)
        more = len(rows) > asked.limit
        rows = rows[: asked.limit]
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
        return _warned(page, "This view has no order of its own: sort it, else rows may repeat or be left out.")

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
        warning = "" if self.asked.of.key else self._doubt()
        columns = [column.name for column in self.asked.shown]
        sql = ";\n".join(self.statements)
        return Page(columns, rows, first, last, after, before, estimate, sql, 0.0, self.asked.cut_at, warning)

    def _doubt(self) -> str:
        place = self.asked.of.place
        if place == "ctid":
            return "This table has no key: rows are told apart by their place, which an UPDATE or VACUUM FULL changes."
        return "" if place else "Nothing tells the rows of this view apart: equal ones may change places."

    def _rows(self, place: Token | None, backward: bool, limit: int, skip: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for number, zone in enumerate(self.order.zones(place.values if place else None, backward=backward)):
            wanted = limit - len(found)
            if wanted <= 0:
                break
            found += self._fetch(zone, backward, wanted, 0 if number else skip)
        return found

    def _fetch(self, zone: Condition | None, backward: bool, limit: int, skip: int) -> list[tuple[Any, ...]]:
        chosen = [self._cell(column) for column in self.asked.shown]
        chosen += [f"{self._own(part.column, part.sql)}" for part in self.hidden]
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
        if self.dialect.sqlite:
            return [tuple(row) for row in self.connection.exec_driver_sql(sql, parameters).all()]
        driver = self._driver()
        try:
            return driver.execute(sql, parameters).fetchall()
        except (psycopg.DataError, ValueError, OverflowError) as error:
            if getattr(error, "sqlstate", None):
                raise
        cursor = driver.cursor()
        for name in _HARD:
            cursor.adapters.register_loader(name, TextLoader)
        return cursor.execute(sql, parameters).fetchall()

    def _any(self, place: Token, backward: bool) -> bool:
        """Whether a row lies beyond the place, in the other direction."""
        for zone in self.order.zones(place.values, backward=backward):
            sql, parameters = self._statement("1", zone, backward, 1, 0)
            if self._asked(sql, parameters):
                return True
        return False

    def _cell(self, column: Column) -> str:
        """What is selected for a column: itself, or its beginning where the table holds values of any length."""
        name, longest = self.dialect.column(column.name), self.asked.cut_at
        if self.dialect.sqlite:
            return f"CASE WHEN length({name}) > {longest} THEN substr({name}, 1, {longest}) ELSE {name} END"
        if column.type == "interval":
            return f"CAST({name} AS text)"  # Python would make 30 days of a month
        if not self.asked.of.toasted or not column.wide:
            return name
        large, text = f"pg_column_size({name}) > 2000", f"left(CAST({name} AS text), {longest})"
        if column.type in ("text", "character varying", "character"):
            return f"CASE WHEN {large} THEN left({name}, {longest}) ELSE {name} END"
        if column.type == "bytea":
            return f"CASE WHEN {large} THEN substring({name} from 1 for {longest}) ELSE {name} END"
        if column.type in ("json", "jsonb"):
            whole = f"length(CAST({name} AS text)) > {longest}"
            return f"CASE WHEN {large} AND {whole} THEN to_{column.type}({text}) ELSE {name} END"
        return name if column.type == "numeric" else text

    def _needs_own(self, column: Column, sql: str) -> bool:
        """Whether a term of the order must be selected besides what is shown, to make tokens of it."""
        return column not in self.asked.shown or self._cell(column) != sql or not (self.dialect.sqlite or column.plain)

    def _own(self, column: Column, sql: str) -> str:
        return sql if self.dialect.sqlite or column.plain else f"CAST({sql} AS text)"

    def _values(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """The row's values in the terms of the order, as a token keeps them."""
        own = {part: row[len(self.asked.shown) + number] for number, part in enumerate(self.hidden)}
        found = []
        for part in self.order.parts:
            value = own[part] if part in own else row[self.asked.shown.index(part.column)]
            found.append(value if value is None or self.dialect.sqlite else text_of(value))
        return tuple(found)

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
        return Token(at, skip).write(self.order, self.asked.binding)

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
