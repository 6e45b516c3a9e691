"""Services: one unit of work each; what must be written raises, what need not is counted."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import AsyncDatabase, Database
from core.errors import TradekeepError
from core.models import Position, Side, SystemEvent
from core.repositories import unit_of_work
from core.services import market, platform, trading
from core.settings import DatabaseConfig

NOW = datetime.now(UTC).replace(microsecond=0)


def candle(symbol: str, **more: Any) -> dict[str, Any]:
    values = {"open": 2, "high": 4, "low": 1, "close": 3, "volume": 10}
    return {"symbol": symbol, "timeframe": "15m", "open_time": NOW, **values, **more}


def test_every_reading_service_answers_on_an_empty_database(db: Database) -> None:
    needed = {"symbol": "BTC/USDT", "timeframe": "1h", "provider": "telegram", "external_id": "1", "user_id": 1,
              "bot_id": 1}  # fmt: skip
    asked = 0
    for module in (trading, market, platform):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith(("_", "record", "save", "update", "close")):
                continue
            given = {key: needed[key] for key in inspect.signature(function).parameters if key in needed}
            if "db" in inspect.signature(function).parameters:
                assert function(db, **given) in ([], None, False), name
                asked += 1
    assert asked >= 16


def test_a_position_is_saved_changed_and_closed(db: Database) -> None:
    trading.save_position(db, "BTC/USDT", {"quantity": 2, "currency": "USDT"})
    trading.save_position(db, "BTC/USDT", {"quantity": 1, "currency": "USDT"}, Side.SHORT)
    changed = trading.save_position(db, "BTC/USDT", {"quantity": "3.5", "currency": "USDT", "stop_loss": 90})
    assert (changed.quantity, changed.stop_loss) == (Decimal("3.5"), 90)
    assert [(row.side, row.quantity) for row in trading.open_positions(db)] == [("LONG", Decimal("3.5")), ("SHORT", 1)]
    trading.update_position(db, "BTC/USDT", {"current_price": 101})
    found = trading.position_of_symbol(db, "BTC/USDT")
    assert found is not None
    assert found.current_price == 101
    trading.close_position(db, "BTC/USDT", Side.SHORT)
    assert trading.delete_position(db, "BTC/USDT")
    assert trading.open_positions(db) == []


def test_a_position_that_cannot_be_written_raises(db: Database) -> None:
    for values in ({"quantity": 1}, {"quantity": 1, "currency": "USDT", "id": 3}, {"currency": "USDT"}):
        with pytest.raises(TradekeepError) as caught:
            trading.save_position(db, "ETH/USDT", values)
        assert caught.value.error_type == "data"
    assert trading.open_positions(db) == []


def test_candles_of_many_coins_are_written_all_or_none(db: Database) -> None:
    assert market.save_candles(db, [candle(f"C{n}/USDT") for n in range(300)]) == 300
    with pytest.raises(TradekeepError):
        market.save_candles(db, [candle("NEW/USDT"), candle("C1/USDT", low=9)])
    assert market.candles(db, "NEW/USDT", "15m") == []
    assert len(market.candles(db, "C1/USDT", "15m")) == 1


def test_an_event_never_breaks_its_caller_and_is_counted(db: Database) -> None:
    before = market.event_counts()
    with unit_of_work(db) as unit:
        unit.session.add(Position(symbol="BTC/USDT", quantity=1, currency="USDT", metadata_={}))
        if db.backend == "postgresql":  # SQLite has one writer
            assert market.record_event(db, "ORDER", "Order filled", symbol="BTC/USDT")
            assert not market.record_event(db, "x" * 51, "too long a name")
    assert market.record_event(db, "NO_SIGNAL", "Looked", symbol="ETH/USDT")
    assert not market.record_event(db, "NO_SIGNAL", "Looked again", symbol="ETH/USDT")
    assert market.record_event(db, "NO_SIGNAL", "Looked", symbol="SOL/USDT")
    assert not market.record_event(db, "ORDER", "no JSON", payload={"a": object()})
    with db.connect() as connection:
        written = connection.scalar(sa.select(sa.func.count()).select_from(SystemEvent))
    after = market.event_counts()
    assert after.recorded - before.recorded == written
    assert after.left_out - before.left_out == 1
    assert after.failed - before.failed == (2 if db.backend == "postgresql" else 1)
    assert after.last_error is not None
    assert len(trading.open_positions(db)) == 1


def test_an_event_on_a_database_that_is_away_is_lost_quickly(pg_database: DatabaseConfig) -> None:
    away = Database(pg_database.replace(port=1))
    before = market.event_counts().failed
    assert [market.record_event(away, "ORDER", "x") for _ in range(5)] == [False] * 5
    assert market.event_counts().failed == before + 5
    away.dispose()


def test_events_are_recorded_from_asyncio(migrated: DatabaseConfig) -> None:
    async def work() -> list[bool]:
        db = AsyncDatabase(migrated)
        found = [
            await market.record_event_async(db, "DECISION_TRACE", "a", symbol="BTC/USDT"),
            await market.record_event_async(db, "NO_SIGNAL", "b", symbol="BTC/USDT"),
            await market.record_event_async(db, "x" * 51, "too long a name"),
        ]
        found += await asyncio.gather(
            *(market.record_event_async(db, "NO_SIGNAL", "c", symbol=f"C{n}/USDT") for n in range(8))
        )
        await db.dispose()
        return found

    before = market.event_counts()
    with ThreadPoolExecutor(1) as pool:  # the browser's driver may keep a loop in this thread
        assert pool.submit(asyncio.run, work()).result() == [True, False, False] + [True] * 8
    after = market.event_counts()
    assert (after.recorded - before.recorded, after.left_out - before.left_out) == (9, 1)
    assert after.failed - before.failed == 1
