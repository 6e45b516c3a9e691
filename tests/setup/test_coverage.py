"""Coins: every one that is followed is looked at, and one of which nothing is known never passes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.database import Database, Databases
from core.models import AccountState, Position, Signal, SystemEvent, Timeframe
from core.repositories import unit_of_work
from core.schema import migrate
from core.settings import DatabaseConfig
from core.setup import coverage, verify
from tests.servers import Cluster, new_database

NOW = datetime(2026, 5, 17, 13, 7, tzinfo=UTC)


def candles(db: Database, symbol: str, **minutes: float) -> None:
    """Candles of a coin that began so many minutes ago: candles(db, "BTC", h1=20)."""
    names = {"m15": "15m", "h1": "1h", "h4": "4h", "d1": "1d", "m1": "1m"}
    values = {"open": 2, "high": 4, "low": 1, "close": 3, "volume": 1}
    with unit_of_work(db) as unit:
        rows = [
            {"symbol": symbol, "timeframe": names[name], "open_time": NOW - timedelta(minutes=ago + older), **values}
            for name, ago in minutes.items()
            for older in (0, 600)
        ]
        unit.candles.upsert(rows)


def trace(db: Database, symbol: str, minutes: float, kind: str = "NO_SIGNAL") -> None:
    with unit_of_work(db) as unit:
        at = NOW - timedelta(minutes=minutes)
        unit.events.add(SystemEvent(event_type=kind, symbol=symbol, message="x", payload={}, occurred_at=at))


def found(db: Database, *tracked: str, now: datetime = NOW) -> coverage.Coverage:
    return db.ask(coverage.coverage, tracked, now=now)


def verdicts(db: Database, *tracked: str) -> dict[str, bool | None]:
    return {coin.symbol: coin.ok for coin in found(db, *tracked).coins}


def test_a_coin_passes_when_everything_is_recent(db: Database) -> None:
    for symbol in ("BTC/USDT", "ETH/USDT"):
        candles(db, symbol, m15=20, h1=60, h4=300, d1=1440)
        trace(db, symbol, 4, "DECISION_TRACE")
    assert verdicts(db) == {"BTC/USDT": True, "ETH/USDT": True}
    assert found(db).timeframes == ["15m", "1h", "4h", "1d"]
    assert found(db).ok is True
    assert found(db, now=NOW + timedelta(hours=2)).ok is False


def test_one_late_timeframe_or_trace_is_late_and_named(db: Database) -> None:
    for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDT"):
        candles(db, symbol, m15=46 if symbol == "ETH/USDT" else 44, h1=60)
        trace(db, symbol, 16 if symbol == "SOL/USDT" else 14)
    assert verdicts(db) == {"BTC/USDT": True, "ETH/USDT": False, "SOL/USDT": False}
    told = {coin.symbol: coverage.told(coin, NOW)[0] for coin in found(db).coins}
    assert told["ETH/USDT"].startswith("late: 15m 46 min ago (at most 45 min); recent: 1h 1 h ago")
    assert told["SOL/USDT"].startswith("late: decision trace 16 min ago (at most 15 min)")


def test_no_data_is_never_a_pass(db: Database) -> None:
    candles(db, "BTC/USDT", m15=5, h1=5)
    trace(db, "BTC/USDT", 1)
    candles(db, "ETH/USDT", m15=5)  # no 1h
    trace(db, "ETH/USDT", 1)
    candles(db, "SOL/USDT", m15=5, h1=5)  # no trace but another kind of event
    trace(db, "SOL/USDT", 1, "ORDER")
    assert verdicts(db, "DOGE/USDT") == {"BTC/USDT": True, "DOGE/USDT": None, "ETH/USDT": None, "SOL/USDT": None}
    assert found(db, "DOGE/USDT").ok is None
    told = {coin.symbol: coverage.told(coin, NOW) for coin in found(db, "DOGE/USDT").coins}
    assert told["DOGE/USDT"][0] == "no data: nothing was ever written about it"
    assert told["ETH/USDT"][0].startswith("no data: 1h; recent: 15m 5 min ago")
    assert "TRACKED_SYMBOLS" in told["ETH/USDT"][1]


def test_coins_come_from_positions_signals_candles_and_the_setting(db: Database) -> None:
    with unit_of_work(db) as unit:
        unit.positions.add(Position(symbol="A", quantity=1, currency="USDT", metadata_={}))
        old = {"status": "CLOSED", "opened_at": NOW, "quantity": 1, "currency": "USDT", "metadata_": {}}
        unit.positions.add(Position(symbol="B", closed_at=NOW - timedelta(days=5), **old))
        unit.positions.add(Position(symbol="GONE", closed_at=NOW - timedelta(days=100), **old))
        signal: dict[str, Any] = {"direction": "BUY", "strategy": "s", "metadata_": {}}
        unit.signals.add(Signal(symbol="C", generated_at=NOW - timedelta(days=1), **signal))
        unit.signals.add(Signal(symbol="OLD", generated_at=NOW - timedelta(days=91), **signal))
        unit.account_states.add(
            AccountState(currency="USDT", equity=1, balance=1, available=1, recorded_at=NOW)
        )  # no coin
    candles(db, "D", h1=60 * 24 * 60)
    candles(db, "OLD", h1=60 * 24 * 100)
    seen = found(db, "E", "D")
    assert {coin.symbol: coin.known_from for coin in seen.coins} == {
        "A": ["positions"], "B": ["positions"], "C": ["signals"], "D": ["TRACKED_SYMBOLS", "candles"],
        "E": ["TRACKED_SYMBOLS"],
    }  # fmt: skip
    assert seen.retired == ["GONE", "OLD"]
    assert {coin.symbol: coin.ok for coin in seen.coins}["D"] is False
    assert "OLD" in {coin.symbol for coin in found(db, "OLD").coins}


def test_a_timeframe_that_nobody_writes_any_more_is_not_expected(db: Database) -> None:
    candles(db, "BTC/USDT", h1=5, m1=60 * 24 * 200)
    trace(db, "BTC/USDT", 1)
    assert found(db).timeframes == ["1h"]
    assert verdicts(db) == {"BTC/USDT": True}


def test_a_candle_of_the_future_is_not_recent(db: Database) -> None:
    candles(db, "BTC/USDT", h1=-90)
    trace(db, "BTC/USDT", 1)
    assert verdicts(db) == {"BTC/USDT": False}
    assert "in the future" in coverage.told(found(db).coins[0], NOW)[0]


def test_one_candle_of_the_future_hides_no_coin_that_is_late(db: Database) -> None:
    for symbol in ("OK/USDT", "LATE/USDT"):
        late = symbol.startswith("LATE")
        candles(db, symbol, m15=60 * 24 * 20 if late else 15, h1=60, d1=60 * 24 * (20 if late else 1))
        trace(db, symbol, 1)
    before = found(db)
    assert (before.timeframes, verdicts(db)) == (["15m", "1h", "1d"], {"LATE/USDT": False, "OK/USDT": True})
    candles(db, "TYPO", h1=-60 * 24 * 365 * 36)
    candles(db, "OK/USDT", m1=-60)  # in a timeframe that nobody else has
    after = found(db)
    assert after.timeframes == before.timeframes
    assert {coin.symbol: coin.ok for coin in after.coins} == {"LATE/USDT": False, "OK/USDT": False, "TYPO": False}
    told = {coin.symbol: coverage.told(coin, NOW)[0] for coin in after.coins}
    assert told["OK/USDT"].startswith("late: 1m lies 1 h in the future; recent: 15m")
    assert coverage.sentence(after).endswith("2 with rows of the future.")


@pytest.mark.parametrize(("moment", "said"), [("57869-01-01", "in the future"), ("-infinity", "ago (at most")])
def test_a_time_that_python_cannot_hold_is_late_and_hides_no_other_coin(
    migrated: DatabaseConfig, moment: str, said: str
) -> None:
    db = Database(migrated)
    candles(db, "BTC/USDT", h1=5)
    trace(db, "BTC/USDT", 1)
    with db.connect() as connection:
        odd = f"INSERT INTO candles SELECT 'ODD', timeframe, '{moment}', 1, 1, 1, 1, 1 FROM candles LIMIT 1"
        connection.exec_driver_sql(odd)
    with db.connect() as connection:
        seen = coverage.coverage(connection, ["ODD"], now=NOW)
    assert {coin.symbol: coin.ok for coin in seen.coins} == {"BTC/USDT": True, "ODD": False}
    assert said in coverage.told(seen.coins[1], NOW)[0]
    db.dispose()


def test_a_time_without_end_is_passed_over(migrated: DatabaseConfig) -> None:
    db = Database(migrated)
    candles(db, "BTC/USDT", h1=5)
    trace(db, "BTC/USDT", 1)
    with db.connect() as connection:
        endless = "INSERT INTO candles SELECT symbol, timeframe, 'infinity', 1, 1, 1, 1, 1 FROM candles LIMIT 1"
        connection.exec_driver_sql(endless)
    assert verdicts(db) == {"BTC/USDT": True}
    db.dispose()


def test_nothing_followed_is_no_pass_either(db: Database) -> None:
    assert (found(db).ok, found(db).coins, found(db).timeframes) == (None, [], list(coverage.USUAL))
    assert "No coin is followed yet" in coverage.sentence(found(db))


def test_verification_has_a_line_for_every_coin(db: Database) -> None:
    databases = Databases(db, db, db)
    assert verify.passed(verify.verify(databases))  # an empty database that was just set up
    lines = verify.verify(databases, tracked=["BTC/USDT", "ETH'; DROP TABLE candles; --"])
    coins = [line for line in lines if line.name.startswith("Coin")]
    assert [(line.name, line.ok) for line in coins] == [
        ("Coin BTC/USDT", None), ("Coin ETH'; DROP TABLE candles; --", None),
    ]  # fmt: skip
    assert not verify.passed(lines)
    assert all(line.fix for line in coins)
    assert [line for line in verify.verify(databases, tracked=None) if line.name.startswith("Coin")] == []


def test_verification_takes_the_coins_of_the_settings(
    db: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKED_SYMBOLS", "BTC/USDT")
    lines = verify.verify(Databases(db, db, db))
    assert [(line.name, line.ok) for line in lines if line.area == "coins"] == [("Coin BTC/USDT", None)]
    assert not verify.passed(lines)
    assert verify.database_passed(lines)


def test_coins_of_a_table_that_is_gone_are_not_a_pass(migrated: DatabaseConfig) -> None:
    db = Database(migrated)
    with db.connect() as connection:
        connection.exec_driver_sql("DROP TABLE system_events")
    coins = [line for line in verify.verify(Databases(db, db, db)) if line.name.startswith("Coin")]
    assert [(line.name, line.ok) for line in coins] == [("Coins", None)]
    db.dispose()


@pytest.fixture(scope="module")
def many(cluster: Cluster) -> Iterator[Database]:
    """Forty coins in three timeframes, 150,000 candles."""
    with new_database(cluster) as name:
        db = Database(cluster.config(name))
        migrate.upgrade(db)
        with db.connect(statement_timeout_s=None) as connection:
            connection.exec_driver_sql(
                "INSERT INTO candles (symbol, timeframe, open_time, open, high, low, close, volume)"
                " SELECT 'C' || n %% 40, (ARRAY['15m', '1h', '4h'])[n / 40 %% 3 + 1],"
                " timestamptz '2026-05-17 13:00+00' - n / 120 * interval '15 minutes', 2, 4, 1, 3, 1"
                " FROM generate_series(1, 150000) n"
            )
        with db.connect(statement_timeout_s=None) as connection:
            connection.exec_driver_sql("ANALYZE candles")
        yield db
        db.dispose()


def test_candles_are_never_read_as_a_whole(many: Database) -> None:
    with many.connect() as connection:
        asked = coverage.newest_candles().compile(connection, compile_kwargs={"literal_binds": True})
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {asked}").scalars().all()
    text = "\n".join(plan)
    assert "Seq Scan on candles" not in text
    pages = int(re.findall(r"shared hit=(\d+)", text)[0])
    assert pages < 40 * (len(Timeframe) + 2) * 6  # a few for each step through the index
    assert len(found(many).coins) == 40
