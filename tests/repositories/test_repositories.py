"""The named queries of the data layer, on both backends, and the same from asyncio."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.database import AsyncDatabase, Database
from core.errors import TradekeepError
from core.models import (
    Alert,
    AuthIdentity,
    JobSchedule,
    Message,
    Portfolio,
    Position,
    StrategyTemplate,
    Trade,
    TradingBot,
    TradingTrade,
    User,
)
from core.models.messaging import HealthStatus
from core.models.trading import Side
from core.repositories import Numbered, UnitOfWork, async_unit_of_work, unit_of_work
from core.settings import DatabaseConfig

NOW = datetime.now(UTC).replace(microsecond=0)


def trade(number: int, symbol: str = "BTC/USDT", **more: Any) -> Trade:
    values: dict[str, Any] = {
        "symbol": symbol, "action": "BUY", "quantity": 1, "price": 100, "currency": "USDT", "order_id": f"o{number}",
        "executed_at": NOW - timedelta(days=number),
    }  # fmt: skip
    return Trade(**values | more)


def position(symbol: str = "BTC/USDT", **more: Any) -> Position:
    return Position(symbol=symbol, quantity=Decimal(2), currency="USDT", **more)


def user(email: str = "Ann@Example.org") -> User:
    return User(email=email)


def bot(unit: UnitOfWork, **more: Any) -> TradingBot:
    owner = unit.users.by_email("ann@example.org") or unit.users.add(user())
    return unit.bots.add(TradingBot(user_id=owner.id, type="live", name="b", currency="USDT", config={}, **more))


def candle(symbol: str = "BTC/USDT", hours: int = 0, **more: Any) -> dict[str, Any]:
    values = {"open": 2, "high": 4, "low": 1, "close": 3, "volume": 10}
    return {"symbol": symbol, "timeframe": "1h", "open_time": NOW - timedelta(hours=hours), **values, **more}


def test_trades_recent_by_symbol_and_by_order(db: Database) -> None:
    with unit_of_work(db) as unit:
        for number in range(10):
            unit.trades.add(trade(number, symbol=("BTC/USDT", "ETH/USDT")[number % 2]))
    with unit_of_work(db) as unit:
        assert [row.order_id for row in unit.trades.recent(limit=3)] == ["o0", "o1", "o2"]
        assert len(unit.trades.recent()) == 7
        assert len(unit.trades.recent(days=None)) == 10
        assert [row.order_id for row in unit.trades.of_symbol("ETH/USDT", limit=2)] == ["o1", "o3"]
        assert [row.symbol for row in unit.trades.of_order("o4")] == ["BTC/USDT"]
        assert unit.trades.of_symbol("'; DROP TABLE trades; --") == []


def test_positions_open_update_close_and_delete(db: Database) -> None:
    with unit_of_work(db) as unit:
        unit.positions.add(position())
        unit.positions.add(position(side="SHORT"))
        unit.positions.add(position("ETH/USDT"))
    with unit_of_work(db) as unit:
        assert [(row.symbol, row.side) for row in unit.positions.open()][:1] == [("BTC/USDT", "LONG")]
        changed = unit.positions.update("BTC/USDT", {"current_price": "155.00"}, Side.SHORT)
        assert changed.updated_at >= changed.created_at
        assert unit.positions.close("ETH/USDT").closed_at is not None
        assert unit.positions.delete("BTC/USDT", Side.LONG)
        assert not unit.positions.delete("BTC/USDT", Side.LONG)
    with unit_of_work(db) as unit:
        found = unit.positions.of_symbol("BTC/USDT")
        assert found is not None
        assert (found.side, found.current_price) == ("SHORT", Decimal(155))
        assert len(unit.positions.open()) == 1
        assert unit.positions.of_symbol("ETH/USDT") is None


def test_a_position_write_that_fails_raises_and_leaves_nothing(db: Database) -> None:
    with unit_of_work(db) as unit:
        unit.positions.add(position())
    with pytest.raises(TradekeepError) as caught, unit_of_work(db) as unit:
        unit.trades.add(trade(1))
        unit.positions.add(position())
    assert caught.value.kind == "data.unique"
    for values, kind in (({"symbol": "X"}, "data.value"), ({"quantity": "many"}, "data.value")):
        with pytest.raises(TradekeepError) as caught, unit_of_work(db) as unit:
            unit.positions.update("BTC/USDT", values)
        assert caught.value.kind == kind
    with pytest.raises(TradekeepError) as caught, unit_of_work(db) as unit:
        unit.positions.update("nothing", {"quantity": 1})
    assert caught.value.error_type == "data"
    with unit_of_work(db) as unit:
        assert unit.trades.recent(days=None) == []
        assert len(unit.positions.open()) == 1


def test_portfolio_latest_and_history(db: Database) -> None:
    with unit_of_work(db) as unit:
        for days, currency in ((40, "USD"), (3, "USD"), (2, "EUR"), (1, "USD")):
            row = Portfolio(timestamp=NOW - timedelta(days=days), total_value=days, cash_balance=0, currency=currency)
            unit.portfolios.add(row)
    with unit_of_work(db) as unit:
        latest, euro = unit.portfolios.latest(), unit.portfolios.latest("EUR")
        assert latest is not None
        assert euro is not None
        assert (latest.total_value, euro.total_value) == (1, 2)
        assert [row.total_value for row in unit.portfolios.history(days=30)] == [3, 2, 1]
        assert [row.total_value for row in unit.portfolios.history(days=90, currency="USD", limit=2)] == [3, 1]


def test_alerts_are_resolved_once_with_a_note(db: Database) -> None:
    with unit_of_work(db) as unit:
        ids = [unit.alerts.add(Alert(alert_type="t", severity="WARNING", message=str(n))).id for n in range(3)]
    with unit_of_work(db) as unit:
        assert unit.alerts.resolve([ids[0], ids[1], 10**9], "mended", "ann") == ids[:2]
        assert unit.alerts.resolve(ids[0], "again", "bob") == []
        assert [row.id for row in unit.alerts.unresolved()] == [ids[2]]
        first = unit.alerts.by_id(ids[0])
        assert first is not None
        assert (first.resolved, first.resolution, first.resolved_by) == (True, "mended", "ann")
    with pytest.raises(TradekeepError), unit_of_work(db) as unit:
        unit.alerts.resolve(ids[2], "  ", "ann")


def test_candles_of_many_coins_are_upserted_in_one_flush(db: Database) -> None:
    rows = [candle(f"C{number}/USDT", hours) for number in range(50) for hours in range(4)]
    with unit_of_work(db) as unit:
        assert unit.candles.upsert(rows) == 200
        assert unit.candles.upsert(rows) == 0
        changed = [candle("C1/USDT", 0, close=2), candle("C1/USDT", 9), candle("C1/USDT", 9, close=4)]
        assert unit.candles.upsert(changed) == 2
        assert unit.candles.upsert([]) == 0
    with unit_of_work(db) as unit:
        found = unit.candles.window("C1/USDT", "1h")
        assert [row.close for row in found] == [4, 3, 3, 3, 2]
        assert [row.close for row in unit.candles.window("C1/USDT", "1h", since=NOW, limit=5)] == [2]
        assert len(unit.candles.window("C1/USDT", "1h", until=NOW, limit=2)) == 2
    with pytest.raises(TradekeepError) as caught, unit_of_work(db) as unit:
        unit.candles.upsert([candle("C2/USDT", 0, close=3), candle("C2/USDT", 1, low=9)])
    assert caught.value.kind == "data.check"


def test_decision_traces_are_kept_once_in_five_minutes_for_each_coin(db: Database) -> None:
    def seconds(number: float) -> datetime:
        return NOW + timedelta(seconds=number)

    with unit_of_work(db) as unit:
        events = unit.events
        assert events.record("DECISION_TRACE", "a", symbol="BTC", at=seconds(0))
        assert not events.record("NO_SIGNAL", "b", symbol="BTC", at=seconds(299))
        assert events.record("NO_SIGNAL", "c", symbol="ETH", at=seconds(299))
        assert events.record("ORDER", "d", symbol="BTC", at=seconds(299.5))
        assert not events.record("NO_SIGNAL", "behind", symbol="BTC", at=seconds(-20))  # a clock behind the first one's
        assert events.record("NO_SIGNAL", "e", symbol="BTC", at=seconds(300))
    with unit_of_work(db) as unit:
        assert [row.message for row in unit.events.recent()] == ["e", "d", "c", "a"]
        assert [row.message for row in unit.events.recent(event_type="NO_SIGNAL", symbol="BTC")] == ["e"]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda unit: unit.candles.upsert([without("close")]), "Row 1 has no close."),
        (lambda unit: unit.candles.upsert([candle(), without("symbol")]), "Row 2 has no symbol."),
        (lambda unit: unit.candles.upsert([candle(), candle(exchnge="kraken")]), "Row 2 names exchnge, which is"),
        (lambda unit: unit.candles.window("BTC/USDT", "7m"), "'7m' is not a timeframe: 1m,"),
        (lambda unit: unit.trades.recent(days=10**9), "1000000000 days ago"),
        (lambda unit: unit.portfolios.history(10**7), "10000000 days ago"),
        (lambda unit: unit.account_states.history(days=10**7), "10000000 days ago"),
        (lambda unit: unit.bots.with_heartbeat(10**15), "1000000000000000 seconds ago"),
        (lambda unit: unit.trades.of_symbol("BTC/USDT", "many"), "'many' is not a number of rows"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(
    migrated_sqlite: DatabaseConfig, question: Callable[[UnitOfWork], Any], message: str
) -> None:
    with Database(migrated_sqlite) as db:
        with pytest.raises(TradekeepError, match=re.escape(message)) as caught, unit_of_work(db) as unit:
            question(unit)
        assert caught.value.error_type == "data"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in candle().items() if key != name}


def test_bots_with_a_heartbeat_and_what_keeps_one_from_going(db: Database) -> None:
    with unit_of_work(db) as unit:
        alive, silent = bot(unit), bot(unit, last_heartbeat=NOW - timedelta(hours=1))
        assert unit.bots.beat(alive.id)
        assert unit.bots.beat(alive.id, at=NOW - timedelta(days=1))
        assert not unit.bots.beat(10**9)
        assert [row.id for row in unit.bots.with_heartbeat()] == [alive.id]
        trip = {"bot_id": silent.id, "trade_type": "live", "interval": "1h", "currency": "USDT", "direction": "LONG"}
        price = {"entry_time": NOW, "entry_price": 1, "size": 1}
        unit.round_trips.add(TradingTrade(symbol="ETH/USDT", status="OPEN", **trip, **price))
        assert [row.symbol for row in unit.round_trips.open()] == ["ETH/USDT"]
        with pytest.raises(TradekeepError, match="ETH/USDT") as caught:
            unit.bots.remove(silent.id)
        assert caught.value.kind == "data.foreign_key"
        assert unit.bots.remove(alive.id)


def test_users_by_provider_and_templates(db: Database) -> None:
    with unit_of_work(db) as unit:
        ann, bob = unit.users.add(user()), unit.users.add(user("bob@example.org"))
        unit.identities.add(AuthIdentity(user_id=ann.id, provider="telegram", external_id="42"))
        for name, owner, public in (("b", bob, True), ("c", bob, False), ("a", ann, False)):
            unit.templates.add(StrategyTemplate(name=name, template_data={}, is_public=public, created_by=owner.id))
    with unit_of_work(db) as unit:
        found = unit.users.by_provider("telegram", "42")
        assert found is not None
        assert found.email == "ann@example.org"
        assert unit.users.by_provider("google", "42") is None
        assert unit.users.by_email(" ANN@example.ORG ") is not None
        assert [row.name for row in unit.templates.of_user(found.id)] == ["a", "b"]
        unit.configs.put("theme", {"dark": True})
        unit.configs.put("theme", {"dark": False})
        config = unit.configs.by_key("theme")
        assert config is not None
        assert config.value == {"dark": False}


def job(unit: UnitOfWork, name: str, hours: int, **more: Any) -> JobSchedule:
    owner = unit.users.by_email("ann@example.org") or unit.users.add(user())
    due = NOW - timedelta(hours=hours)
    return unit.jobs.add(
        JobSchedule(
            user_id=owner.id, name=name, job_type="report", target="x", cron="* * * * *", next_run_at=due, **more
        )
    )


def test_jobs_that_are_due(db: Database) -> None:
    with unit_of_work(db) as unit:
        job(unit, "late", 5), job(unit, "later", 9), job(unit, "off", 5, enabled=False), job(unit, "future", -5)
    with unit_of_work(db) as unit:
        assert [row.name for row in unit.jobs.due()] == ["later", "late"]
        assert [row.job_snapshot["name"] for row in unit.jobs.claim("w1", limit=1, at=NOW)] == ["later"]
        assert [(row.job_snapshot["name"], row.status, row.worker_id) for row in unit.jobs.claim("w2", at=NOW)] == [
            ("late", "ENQUEUED", "w2")
        ]
    with unit_of_work(db) as unit:
        assert unit.jobs.claim("w3", at=NOW) == []
        late = unit.jobs.due()[-1]
        assert [row.scheduled_for for row in unit.runs.of_job(late.id)] == [late.next_run_at]
        late.next_run_at = NOW  # as who ran it does: it is due again
    with unit_of_work(db) as unit:
        assert [row.scheduled_for for row in unit.jobs.claim("w3", at=NOW)] == [NOW]


def test_messages_are_claimed_by_one_worker_the_most_urgent_first(db: Database) -> None:
    with unit_of_work(db) as unit:
        for priority in ("LOW", "CRITICAL", "NORMAL"):
            unit.messages.add(Message(message_type="m", priority=priority, channels=["email"], content={}))
    with unit_of_work(db) as unit:
        first = unit.messages.claim("w1", limit=1)
        assert [(row.priority, row.status, row.locked_by, row.attempts) for row in first] == [
            ("CRITICAL", "PROCESSING", "w1", 1)
        ]
        assert [row.priority for row in unit.messages.claim("w2")] == ["NORMAL", "LOW"]
        assert unit.messages.claim("w3") == []


def test_health_counts_failures_in_a_row(db: Database) -> None:
    with unit_of_work(db) as unit:
        for status in (HealthStatus.DOWN, HealthStatus.DEGRADED):
            unit.health.report("database", status, error="no")
        unit.health.report("notification", HealthStatus.DOWN, component="email")
        assert [(row.system, row.failure_count) for row in unit.health.all()] == [("database", 2), ("notification", 1)]
        row = unit.health.report("database", HealthStatus.HEALTHY, response_time_ms=3)
        assert (row.failure_count, row.avg_response_time_ms, row.error_message) == (0, 3, None)


def test_asyncio_gets_the_same(migrated: DatabaseConfig) -> None:
    async def work() -> tuple[list[str | None], int, str]:
        db = AsyncDatabase(migrated)
        async with async_unit_of_work(db) as unit:
            await unit.trades.add(trade(1))
            await unit.run(lambda inner: [inner.positions.add(position(f"S{n}/USDT")) for n in range(3)])
            assert await unit.candles.upsert([candle()]) == 1
        with pytest.raises(TradekeepError) as caught:
            async with async_unit_of_work(db) as unit:
                await unit.trades.add(trade(2))
                await unit.positions.add(position("S1/USDT"))
        async with async_unit_of_work(db) as unit:
            found = await unit.trades.recent(), await unit.positions.open()
            with pytest.raises(AttributeError):
                await unit.nothing.here()
        await db.dispose()
        return [row.order_id for row in found[0]], len(found[1]), caught.value.kind

    with ThreadPoolExecutor(1) as pool:  # the browser's driver may keep a loop in this thread
        assert pool.submit(asyncio.run, work()).result() == (["o1"], 3, "data.unique")


def test_every_repository_reads_its_rows_by_id(db: Database) -> None:
    with unit_of_work(db) as unit:
        for name, repository in vars(unit).items():
            if isinstance(repository, Numbered):
                assert repository.by_id(0) is None, name
                assert repository.remove(0) is False, name
