"""The explorer on a big table: pages anywhere in it against the same statement fetched by bare psycopg."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from benchmarks import benchmark
from benchmarks.big import BEGIN, SECONDS_APART, SYMBOLS, big_trades, rows
from benchmarks.figures import Figure, Goal, in_turns, timed
from core.database import Database
from core.explore import Filter, Sort, page_of_rows, position_token

SAME = "the page's own statement, fetched by psycopg"
DEEP_PAGE, OFTEN = 100, 50


@dataclass(frozen=True)
class _Way:
    """A way through the table: its sort, its filters, and the values of the sort at a share (0 to 1) of its length."""

    name: str
    sort: tuple[Sort, ...]
    place: Callable[[float], Sequence[Any]]
    filters: tuple[Filter, ...] = ()


def _moment(share: float) -> datetime:
    return datetime.fromtimestamp(BEGIN, UTC) + timedelta(seconds=SECONDS_APART * rows() * share)


WAYS = (
    _Way("newest first", (Sort("executed_at", True),), lambda share: [_moment(1 - share)]),
    _Way("by id", (Sort("id"),), lambda share: [int(rows() * share)]),
    _Way(
        "by the key",
        (),
        lambda share: [sorted(SYMBOLS)[min(len(SYMBOLS) - 1, int(len(SYMBOLS) * share))], _moment(0.5), 0],
    ),
    _Way(
        "one symbol, newest first",
        (Sort("executed_at", True),),
        lambda share: [_moment(1 - share)],
        (Filter("symbol", "=", SYMBOLS[0]),),
    ),
    _Way(
        "one symbol in a month, newest first",
        (Sort("executed_at", True),),
        lambda share: [_moment(0.5) + timedelta(days=30 * (1 - share))],
        (
            Filter("symbol", "=", SYMBOLS[0]),
            Filter("executed_at", "between", [_moment(0.5), _moment(0.5) + timedelta(days=30)]),
        ),
    ),
)


@benchmark(n=60)
def explore(n: int) -> list[Figure]:
    """Pages of 500 rows of a big table, first, middle and last, any indexed sort; and page 100,000 beside page 1."""
    with big_trades() as cluster, Database(cluster.admin) as database:
        with cluster.connect() as bare:
            found = [figure for way in WAYS for figure in _pages(database, bare, way, n)]
        return [*found, *_depth(database, n)]


def _pages(database: Database, bare: psycopg.Connection[Any], way: _Way, n: int) -> list[Figure]:
    places = {"first page": None, "in the middle": 0.5, "near the end": 0.99}
    return [_page(database, bare, way, f"{way.name}, {name}", share, n) for name, share in places.items()]


def _page(
    database: Database, bare: psycopg.Connection[Any], way: _Way, name: str, share: float | None, n: int
) -> Figure:
    asked: dict[str, Any] = {"filters": way.filters, "sort": way.sort}
    after = None if share is None else _reached(database, way.place(share), **asked)
    statements = page_of_rows(database, "trades", after=after, **asked).sql.split(";\n")

    def own() -> None:
        page_of_rows(database, "trades", after=after, **asked)

    def floor() -> None:
        for statement in statements:
            bare.execute(statement).fetchall()

    ours, same = in_turns(n, timed(own), timed(floor))
    return Figure(name, SAME, ours, same, Goal("ratio", 2.0))


def _reached(database: Database, place: Sequence[Any], *, sort: tuple[Sort, ...], **asked: Any) -> str | None:
    """The token with which people come to a place in the table: from the page before."""
    token = position_token(database, "trades", sort, place)
    return page_of_rows(database, "trades", sort=sort, after=token, limit=1, **asked).last


def _depth(database: Database, n: int) -> list[Figure]:
    sort = (Sort("id"),)
    deep = _reached(database, [max(1, rows() - 2 * DEEP_PAGE - 1)], sort=sort)
    number = f"{max(1, rows() // DEEP_PAGE - 1):,}"

    def page(after: str | None) -> Callable[[], float]:
        def often() -> None:  # one takes a millisecond, which other work on the machine can double
            for _ in range(OFTEN):
                page_of_rows(database, "trades", sort=sort, after=after, limit=DEEP_PAGE)

        return timed(often)

    last, first = in_turns(n, page(deep), page(None))
    name = f"page {number} of {DEEP_PAGE} rows each, {OFTEN} times"
    return [Figure(name, "page 1, as often", last, first, Goal("ratio", 1.2))]
