"""Times that Python cannot hold: one such row hides no other."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from core.database import AsyncDatabase, Database
from core.database.clamped import EARLIEST, LATEST
from core.errors import TradekeepError
from core.models import Trade
from core.repositories import async_unit_of_work, unit_of_work
from core.settings import DatabaseConfig
from tests.repositories.test_repositories import candle, position, trade


def spoil(db: Database, sql: str) -> None:
    with db.connect() as connection:
        connection.exec_driver_sql(sql)


def test_a_time_that_python_cannot_hold_hides_no_other_row(migrated: DatabaseConfig) -> None:
    db = Database(migrated)
    with unit_of_work(db) as unit:
        unit.trades.add(trade(1))
        unit.trades.add(trade(2))
        unit.candles.upsert([candle(), candle(hours=1), candle(hours=2)])
        unit.positions.add(position())
    spoil(db, "UPDATE trades SET executed_at = 'infinity' WHERE order_id = 'o2'")
    spoil(db, "UPDATE candles SET open_time = '57869-01-01' WHERE open_time = (SELECT max(open_time) FROM candles)")
    spoil(db, "UPDATE candles SET open_time = '-infinity' WHERE open_time = (SELECT min(open_time) FROM candles)")
    spoil(db, "UPDATE positions SET opened_at = '0044-03-15 BC'")
    with unit_of_work(db) as unit:
        assert [row.executed_at for row in unit.trades.recent()] == [LATEST, trade(1).executed_at]
        times = [row.open_time for row in unit.candles.window("BTC/USDT", "1h")]
        assert (len(times), times[0], times[-1]) == (3, EARLIEST, LATEST)
        held = unit.positions.of_symbol("BTC/USDT")
        assert held is not None
        assert held.opened_at == EARLIEST
        unit.trades.add(trade(3))  # the transaction goes on
    with unit_of_work(db) as unit:
        assert unit.trades.of_order("o3")
        with pytest.raises(TradekeepError) as caught, unit_of_work(db) as other:
            other.trades._all(sa.select(Trade).where(sa.literal_column("1 / 0") == 1))
        assert caught.value.error_type == "data"
    db.dispose()


def test_nor_does_it_from_asyncio(migrated: DatabaseConfig) -> None:
    async def work() -> int:
        db = AsyncDatabase(migrated)
        async with async_unit_of_work(db) as unit:
            await unit.trades.add(trade(1))
            await unit.run(lambda inner: inner.session.execute(sa.text("UPDATE trades SET executed_at = 'infinity'")))
        async with async_unit_of_work(db) as unit:
            found = await unit.trades.recent()
        await db.dispose()
        return len(found)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, work()).result() == 1
