"""A trades table of many rows: ten million unless `--rows` says otherwise, made here and loaded by COPY."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import psycopg
import pyarrow as pa
from pyarrow import csv

from core.database import Database
from core.schema import migrate
from tests.servers import Cluster

ROWS = 10_000_000
COLUMNS = (
    "symbol", "action", "quantity", "price", "fee", "fee_currency", "currency", "executed_at", "order_id", "status",
    "exchange", "strategy",
)  # fmt: skip
SYMBOLS = [f"{coin}/{quote}" for quote in ("USDT", "EUR") for coin in ("BTC", "ETH", "SOL", "ADA", "XRP", "DOT", "LTC")]
SECONDS_APART = 3
BEGIN = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
AT_A_TIME = 250_000
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
def big_trades() -> Iterator[Cluster]:
    """A server whose database `postgres` has all tables, and as many trades as the run was asked for."""
    with Cluster(conf=CONF) as cluster:
        database = Database(cluster.admin)
        try:
            migrate.upgrade(database)
        finally:
            database.dispose()
        with psycopg.connect(**cluster.admin.libpq_params(), autocommit=True) as connection:  # type: ignore[arg-type]  # all are text
            fill(connection, rows())
        yield cluster


def fill(connection: psycopg.Connection[tuple[object, ...]], count: int) -> None:
    """Load that many trades; indexes are dropped before and made again after, as one does for a load of that size."""
    made_again = []
    for name, definition in connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'public.trades'::regclass AND contype IN ('p', 'u')"
    ).fetchall():
        connection.execute(f"ALTER TABLE trades DROP CONSTRAINT {name}")
        made_again.append(f"ALTER TABLE trades ADD CONSTRAINT {name} {definition}")
    for name, definition in connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'trades'"
    ).fetchall():
        connection.execute(f"DROP INDEX {name}")
        made_again.append(str(definition))
    with connection.cursor().copy(f"COPY trades ({', '.join(COLUMNS)}) FROM STDIN (FORMAT csv)") as copy:
        for begin in range(0, count, AT_A_TIME):
            copy.write(_batch(begin, min(AT_A_TIME, count - begin)))
    for statement in made_again:
        connection.execute(statement)
    connection.execute("VACUUM (ANALYZE) trades")


def _batch(begin: int, count: int) -> memoryview:
    """Trades number begin to begin + count as CSV: symbols in turns of no pattern, prices that wander, a third sold."""
    random = np.random.default_rng(begin)
    number = np.arange(begin, begin + count, dtype=np.int64)
    symbol = random.integers(0, len(SYMBOLS), count)
    price = np.round(100 * (1 + symbol) * np.exp(random.normal(0, 0.05, count)), 6)
    seconds = (BEGIN + number * SECONDS_APART).astype("datetime64[s]")
    chosen = {
        "symbol": pa.DictionaryArray.from_arrays(symbol, SYMBOLS).cast(pa.string()),
        "action": pa.DictionaryArray.from_arrays((random.random(count) < 1 / 3).astype(int), ["BUY", "SELL"]),
        "quantity": np.round(random.gamma(2.0, 0.4, count) + 0.001, 6),
        "price": price,
        "fee": np.round(price * 0.001, 8),
        "fee_currency": pa.array(np.full(count, "USDT")),
        "currency": pa.array(np.full(count, "USDT")),
        "executed_at": pa.array(seconds),
        "order_id": pa.array(np.char.add("o-", number.astype(str))),
        "status": pa.array(np.full(count, "FILLED")),
        "exchange": pa.array(np.full(count, "kraken")),
        "strategy": pa.DictionaryArray.from_arrays(random.integers(0, 3, count), ["trend", "mean", "grid"]),
    }
    table = pa.table(
        {name: pa.array(chosen[name]) if isinstance(chosen[name], np.ndarray) else chosen[name] for name in COLUMNS}
    )
    for name in ("action", "strategy"):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))
    out = pa.BufferOutputStream()
    csv.write_csv(table, out, csv.WriteOptions(include_header=False))
    return memoryview(out.getvalue())
