"""How many rows match, and which values are the most frequent; both within a time limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore.asking import ask
from core.explore.fetched import fetched
from core.explore.filters import Condition, Dialect, Filter, conditions, joined
from core.explore.relation import relation

FACETS = 20


def count_rows(
    db: Database, table: str, filters: Sequence[Filter] = (), *, timeout_s: float = 5.0, search: str | None = None
) -> int | None:
    """The exact number of rows that match; None if counting them takes longer than timeout_s."""

    def question(connection: sa.Connection) -> int:
        dialect = Dialect(db.backend)
        of = relation(db, connection, table)
        where = joined(conditions(of, filters, search, dialect))
        return int(_run(connection, _select("count(*)", dialect.table(of), where), where.parameters)[0][0])

    return _within(db, question, timeout_s)


def facets(
    db: Database,
    table: str,
    column: str,
    filters: Sequence[Filter] = (),
    *,
    timeout_s: float = 1.0,
    search: str | None = None,
    limit: int = FACETS,
) -> list[tuple[Any, int]]:
    """(value, rows) of the most frequent values of a column, most first; [] if that takes longer than timeout_s.

    A value that Python has not exactly as the server means it, an interval or an array, is the server's text.
    """

    def question(connection: sa.Connection) -> list[tuple[Any, int]]:
        dialect = Dialect(db.backend)
        of = relation(db, connection, table)
        asked = of.column(column)
        value = dialect.comparable(asked)
        shown = value if dialect.sqlite or asked.enum or asked.plain else dialect.as_text(asked)
        where = joined(conditions(of, filters, search, dialect))
        sql = _select(f"{shown}, count(*)", dialect.table(of), where)
        return _run(connection, f"{sql} GROUP BY {value} ORDER BY 2 DESC, 1 LIMIT {int(limit)}", where.parameters)

    return _within(db, question, timeout_s) or []


def _select(what: str, table: str, where: Condition) -> str:
    return f"SELECT {what} FROM {table}" + (f" WHERE {where.sql}" if where.sql else "")  # noqa: S608  # quoted names


def _run(connection: sa.Connection, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
    return fetched(connection, sql, parameters)


def _within(db: Database, question: Any, timeout_s: float) -> Any:
    try:
        return ask(db, question, statement_timeout_s=timeout_s)
    except TradekeepError as error:
        if error.kind == "transient.statement_timeout":
            return None
        raise
