"""The portfolio over many round trips: from the rollups, and without them against the bare aggregate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa

from benchmarks import benchmark
from benchmarks.big import CONF, rows
from benchmarks.figures import Figure, Goal, in_turns, timed
from benchmarks.servers import csv_of, load, server_with_tables, stretches, words
from core.database import Database
from core.database.connection import Limits
from core.portfolio import equity, refresh, totals
from core.portfolio.scope import Scope
from core.portfolio.totals import Rollups
from tests.servers import Cluster

DAYS, BOTS, SYMBOLS = 1850, 8, 100
END = datetime(2026, 10, 1, tzinfo=UTC)
SCOPE = Scope("live", "USDT")
COLUMNS = (
    "bot_id", "trade_type", "strategy_name", "symbol", "interval", "entry_time", "exit_time", "entry_price",
    "exit_price", "size", "direction", "commission", "currency", "gross_pnl", "net_pnl", "exit_reason", "status",
    "extra_metadata",
)  # fmt: skip
BARE = (
    "SELECT CAST(exit_time AT TIME ZONE 'UTC' AS date), sum(net_pnl) FROM trading_trades WHERE status = 'CLOSED'"
    " AND trade_type = 'live' AND currency = 'USDT' GROUP BY 1"
)
BARE_FLOOR = "the bare sum of net profit by day over the round trips, fetched by psycopg"


@benchmark(n=5)
def portfolio(n: int) -> list[Figure]:
    """Equity, daily P&L and figures of a portfolio of many closed round trips."""
    limits = Limits(statement_timeout_s=None)
    with _traded() as (cluster, connection), Database(cluster.admin, limits=limits) as database:
        raw, bare = Rollups("unbuilt"), timed(lambda: connection.execute(BARE).fetchall())

        def daily(given: Rollups | None = None) -> dict[Any, Any]:
            with database.connect() as own:
                return totals.totals(own, SCOPE, ("day",), given=given)

        def page() -> None:
            made = equity.course(daily(), SCOPE, today=END.date())
            assert made.days

        def net_only() -> dict[Any, Any]:
            with database.connect() as own:
                return totals.daily_net(own, SCOPE)

        def by_symbol() -> None:
            with database.connect() as own:
                assert totals.totals(own, SCOPE, ("symbol",))

        begin = time.perf_counter()
        refresh.refresh(database)
        built_ms = (time.perf_counter() - begin) * 1000
        first, second = daily(), daily(raw)
        assert first == second, "the rollups differ from the round trips"
        assert {key: own.net_pnl for key, own in first.items()} == {key: own.net_pnl for key, own in net_only().items()}
        found = []
        for name, work, goal in (
            ("equity and daily P&L from the rollups", page, Goal("seconds", 0.06)),
            ("by symbol from the rollups", by_symbol, None),
            ("equity and daily P&L without rollups", net_only, Goal("ratio", 1.2)),
            ("every figure without rollups", lambda: daily(raw), None),
        ):
            own, floor = in_turns(n, timed(work), bare)
            found.append(Figure(name, BARE_FLOOR, own, floor, goal))
        found.append(Figure("building all rollups", BARE_FLOOR, [built_ms], [bare()]))
        own, floor = in_turns(n, _changed(connection, database), bare)
        found.append(Figure("refreshing after a change of the newest day", BARE_FLOOR, own, floor))
        return found


def _changed(connection: psycopg.Connection[Any], database: Database) -> Any:
    def run() -> float:
        connection.execute(
            "UPDATE trading_trades SET net_pnl = net_pnl + 1 WHERE exit_time >="
            " (SELECT date_trunc('day', max(exit_time), 'UTC') FROM trading_trades)"
        )
        begin = time.perf_counter()
        assert refresh.refresh(database).days == 1
        return (time.perf_counter() - begin) * 1000

    return run


@contextmanager
def _traded() -> Iterator[tuple[Cluster, psycopg.Connection[Any]]]:
    """A server with as many closed round trips as the run was asked for, and a connection to it."""
    with server_with_tables(CONF) as cluster, cluster.connect() as connection:
        connection.execute("INSERT INTO usr_users (id, email) VALUES (1, 'ada@example.org')")
        connection.execute(
            "INSERT INTO trading_bots (id, user_id, type, name, currency, extra_metadata, config) SELECT g, 1, 'live',"
            f" 'bot ' || g, 'USDT', '{{}}', '{{}}' FROM generate_series(0, {BOTS - 1}) g"
        )
        load(connection, "trading_trades", COLUMNS, _round_trips(rows()))
        yield cluster, connection


def _round_trips(count: int) -> Iterator[memoryview]:
    """That many closed round trips in parts, oldest first, as CSV of COLUMNS without a line of names."""
    return (_part(begin, number, count) for begin, number in stretches(count))


def _part(begin: int, count: int, whole: int) -> memoryview:
    """Round trips number begin to begin + count as CSV; each symbol belongs to one bot, each bot has one strategy."""
    random = np.random.default_rng(begin)
    number = np.arange(begin, begin + count, dtype=np.int64)
    symbol = random.integers(0, SYMBOLS, count)
    bot = symbol % BOTS
    end_us = int(END.timestamp() * 1e6)
    left = end_us - (whole - number) * (DAYS * 86_400 * 1_000_000 // whole)
    net = np.round(random.normal(0.4, 12, count), 6)
    commission = np.round(random.gamma(2.0, 0.05, count), 6)
    price = np.round(10 * (1 + symbol) * np.exp(random.normal(0, 0.02, count)), 6)
    same = np.zeros(count, int)
    chosen = {
        "bot_id": bot,
        "trade_type": words(same, ["live"]),
        "strategy_name": words(bot % 3, ["trend", "mean", "grid"]),
        "symbol": words(symbol, [f"C{one}/USDT" for one in range(SYMBOLS)]),
        "interval": words(same, ["1h"]),
        "entry_time": pa.array(left - random.integers(60_000_000, 90_000_000_000, count), pa.timestamp("us")),
        "exit_time": pa.array(left, pa.timestamp("us")),
        "entry_price": price,
        "exit_price": np.round(price * 1.001, 6),
        "size": np.round(random.gamma(2.0, 0.4, count) + 0.001, 6),
        "direction": words(random.integers(0, 2, count), ["LONG", "SHORT"]),
        "commission": commission,
        "currency": words(same, ["USDT"]),
        "gross_pnl": np.round(net + commission, 6),
        "net_pnl": net,
        "exit_reason": words(random.integers(0, 4, count), ["take profit", "stop loss", "time limit", "signal"]),
        "status": words(same, ["CLOSED"]),
        "extra_metadata": words(same, ["{}"]),
    }
    return csv_of({name: chosen[name] for name in COLUMNS})
