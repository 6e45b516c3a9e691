"""Services: one unit of work each; what must be written raises, what need not is counted."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import AsyncDatabase, Database
from core.errors import TradekeepError
from core.models import (
    Alert,
    AlertSeverity,
    AuthIdentity,
    JobSchedule,
    Portfolio,
    Position,
    Side,
    StrategyTemplate,
    SystemEvent,
    Trade,
    TradingBot,
    User,
)
from core.repositories import unit_of_work
from core.services import market, platform, trading
from core.settings import DatabaseConfig

NOW = datetime.now(UTC).replace(microsecond=0)


def candle(symbol: str, **more: Any) -> dict[str, Any]:
    values = {"open": 2, "high": 4, "low": 1, "close": 3, "volume": 10}
    return {"symbol": symbol, "timeframe": "15m", "open_time": NOW, **values, **more}


def test_every_reading_service_answers_on_an_empty_database(db: Database) -> None:
    needed = {"symbol": "BTC/USDT", "timeframe": "1h", "provider": "telegram", "external_id": "1", "user_id": 1,
              "bot_id": 1, "worker": "w"}  # fmt: skip
    asked = 0
    for module in (trading, market, platform):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith(("_", "record", "save", "update", "close")):
                continue
            given = {key: needed[key] for key in inspect.signature(function).parameters if key in needed}
            if "db" in inspect.signature(function).parameters:
                assert function(db, **given) in ([], None, False), name
                asked += 1
    assert asked >= 17


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


def test_a_position_keeps_its_currency(db: Database) -> None:
    trading.save_position(db, "BTC/USDT", {"quantity": 2, "currency": "USDT", "market_value": 9})
    with pytest.raises(TradekeepError, match="kept in USDT, not in EUR") as caught:
        trading.save_position(db, "BTC/USDT", {"quantity": 2, "currency": "EUR", "market_value": 99})
    assert caught.value.kind == "data.value"
    found = trading.save_position(db, "BTC/USDT", {"quantity": 3})
    assert (found.currency, found.quantity, found.market_value) == ("USDT", 3, 9)


def filled(db: Database) -> dict[str, int]:
    """Two rows of each kind that the services tell apart; their ids by name."""
    with unit_of_work(db) as unit:
        ann, bob = (unit.users.add(User(email=f"{name}@example.org")) for name in ("ann", "bob"))
        unit.identities.add(AuthIdentity(user_id=ann.id, provider="telegram", external_id="42"))
        for symbol, days in (("BTC/USDT", 1), ("ETH/USDT", 2), ("BTC/USDT", 30)):
            at = NOW - timedelta(days=days)
            values: dict[str, Any] = {"action": "BUY", "quantity": 1, "price": 1, "currency": "USDT"}
            unit.trades.add(Trade(symbol=symbol, executed_at=at, order_id=f"o{days}", **values))
            unit.portfolios.add(Portfolio(timestamp=at, total_value=days, cash_balance=0, currency=symbol[:3]))
            unit.events.record("ORDER", f"e{days}", symbol=symbol, at=at)
        for severity in ("WARNING", "CRITICAL"):
            unit.alerts.add(Alert(alert_type="t", severity=severity, message=severity))
        solved = unit.alerts.add(Alert(alert_type="t", severity="WARNING", message="solved"))
        unit.alerts.resolve(solved.id, "mended", "ann")
        bots = [
            unit.bots.add(TradingBot(user_id=ann.id, type="live", name=name, currency="USDT", config={}))
            for name in ("alive", "silent")
        ]
        unit.bots.beat(bots[0].id)
        for name, owner, public in (("own", ann, False), ("all", bob, True), ("his", bob, False)):
            unit.templates.add(StrategyTemplate(name=name, template_data={}, is_public=public, created_by=owner.id))
        for name, hours in (("late", 1), ("future", -1)):
            job: dict[str, Any] = {"job_type": "report", "target": "x", "cron": "* * * * *"}
            unit.jobs.add(JobSchedule(user_id=ann.id, name=name, next_run_at=NOW - timedelta(hours=hours), **job))
        return {"ann": ann.id, "alive": bots[0].id, "silent": bots[1].id}


# What is asked, and what comes: of rows one column each.
ANSWERS: dict[str, tuple[Callable[[Database, dict[str, int]], Any], str, Any]] = {
    "recent_trades": (lambda db, ids: trading.recent_trades(db, days=7), "order_id", ["o1", "o2"]),
    "recent_trades ever": (lambda db, ids: trading.recent_trades(db, 2, days=None), "order_id", ["o1", "o2"]),
    "trades_of_symbol": (lambda db, ids: trading.trades_of_symbol(db, "BTC/USDT"), "order_id", ["o1", "o30"]),
    "latest_portfolio": (lambda db, ids: trading.latest_portfolio(db), "total_value", 1),
    "latest_portfolio in": (lambda db, ids: trading.latest_portfolio(db, "ETH"), "total_value", 2),
    "portfolio_history": (lambda db, ids: trading.portfolio_history(db, 7), "total_value", [2, 1]),
    "portfolio_history in": (lambda db, ids: trading.portfolio_history(db, 90, "BTC"), "total_value", [30, 1]),
    "unresolved_alerts": (lambda db, ids: trading.unresolved_alerts(db), "message", ["CRITICAL", "WARNING"]),
    "unresolved_alerts of": (
        lambda db, ids: trading.unresolved_alerts(db, AlertSeverity.WARNING), "message", ["WARNING"],
    ),
    "recent_events": (lambda db, ids: market.recent_events(db, 2), "message", ["e1", "e2"]),
    "recent_events of": (lambda db, ids: market.recent_events(db, 9, "ORDER", "ETH/USDT"), "message", ["e2"]),
    "alive_bots": (lambda db, ids: platform.alive_bots(db), "name", ["alive"]),
    "remove_bot": (lambda db, ids: platform.remove_bot(db, ids["silent"]), "", True),
    "remove_bot nobody": (lambda db, ids: platform.remove_bot(db, 10**9), "", False),
    "user_by_provider": (lambda db, ids: platform.user_by_provider(db, "telegram", "42"), "email", "ann@example.org"),
    "user_by_provider nobody": (lambda db, ids: platform.user_by_provider(db, "google", "42"), "", None),
    "strategy_templates": (lambda db, ids: platform.strategy_templates(db, ids["ann"]), "name", ["all", "own"]),
    "due_jobs": (lambda db, ids: platform.due_jobs(db), "name", ["late"]),
    "due_jobs later": (lambda db, ids: platform.due_jobs(db, NOW + timedelta(days=1), 1), "name", ["late"]),
    "claim_jobs": (lambda db, ids: platform.claim_jobs(db, "w1"), "worker_id", ["w1"]),
    "claim_jobs again": (lambda db, ids: (platform.claim_jobs(db, "w1"), platform.claim_jobs(db, "w2"))[1], "", []),
}  # fmt: skip


def test_each_service_gives_what_it_is_asked_for(db: Database) -> None:
    ids = filled(db)
    for name, (question, column, expected) in ANSWERS.items():
        found = question(db, ids)
        shown = [getattr(one, column) for one in found] if column and isinstance(found, list) else found
        assert (getattr(shown, column) if column and not isinstance(found, list) else shown) == expected, name


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
