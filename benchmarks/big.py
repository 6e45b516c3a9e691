"""A trades table of many rows: ten million unless `--rows` says otherwise, made here and loaded by COPY."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from benchmarks.servers import csv_of, load, server_with_tables, stretches, words
from tests.servers import Cluster

ROWS = 10_000_000
COLUMNS = (
    "symbol", "action", "quantity", "price", "fee", "fee_currency", "currency", "executed_at", "order_id", "status",
    "exchange", "strategy",
)  # fmt: skip
SYMBOLS = [f"{coin}/{quote}" for quote in ("USDT", "EUR") for coin in ("BTC", "ETH", "SOL", "ADA", "XRP", "DOT", "LTC")]
SECONDS_APART = 3
BEGIN = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
# Enough memory to build indexes in, and nothing written twice: it is thrown away afterwards.
CONF = ("maintenance_work_mem = '512MB'", "shared_buffers = '512MB'", "wal_level = minimal", "max_wal_senders = 0")

_rows = ROWS


def set_rows(rows: int) -> None:
    """How many rows the tables of this run have."""
    global _rows
    _rows = rows


def rows() -> int:
    """How many rows the tables of this run have."""
    return _rows


@contextmanager
def big_trades(count: int | None = None, conf: Sequence[str] = CONF) -> Iterator[Cluster]:
    """A server whose database `postgres` has all tables, and count trades (default: as many as the run was asked for).

    conf: lines added to postgresql.conf.
    """
    count = rows() if count is None else count
    with server_with_tables(conf) as cluster:
        with cluster.connect() as connection:
            load(connection, "trades", COLUMNS, trades(count))
        yield cluster


def trades(count: int) -> Iterator[memoryview]:
    """That many trades in parts, as CSV of COLUMNS without a line of names; the same ones each time."""
    return (_part(begin, number) for begin, number in stretches(count))


def _part(begin: int, count: int) -> memoryview:
    """Trades number begin to begin + count as CSV: symbols in turns of no pattern, prices that wander, a third sold."""
    random = np.random.default_rng(begin)
    number = np.arange(begin, begin + count, dtype=np.int64)
    symbol = random.integers(0, len(SYMBOLS), count)
    price = np.round(100 * (1 + symbol) * np.exp(random.normal(0, 0.05, count)), 6)
    same = np.zeros(count, int)
    chosen = {
        "symbol": words(symbol, SYMBOLS),
        "action": words((random.random(count) < 1 / 3).astype(int), ["BUY", "SELL"]),
        "quantity": np.round(random.gamma(2.0, 0.4, count) + 0.001, 6),
        "price": price,
        "fee": np.round(price * 0.001, 8),
        "fee_currency": words(same, ["USDT"]),
        "currency": words(same, ["USDT"]),
        "executed_at": (BEGIN + number * SECONDS_APART).astype("datetime64[s]"),
        "order_id": np.char.add("o-", number.astype(str)),
        "status": words(same, ["FILLED"]),
        "exchange": words(same, ["kraken"]),
        "strategy": words(random.integers(0, 3, count), ["trend", "mean", "grid"]),
    }
    return csv_of({name: chosen[name] for name in COLUMNS})
