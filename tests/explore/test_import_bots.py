"""Databases of other bots, in the shapes that they have: every trade, to the last digit, and nothing twice."""

from __future__ import annotations

import sqlite3
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports import BotImport, bot_of, import_bot
from core.settings import DatabaseConfig
from core.tasks import Cancelled
from tests.explore.test_import import rows

NEW = {
    "trades": "id INTEGER PRIMARY KEY, exchange VARCHAR(25), pair VARCHAR(25), base_currency VARCHAR(25),"
    " stake_currency VARCHAR(25), is_open BOOLEAN, fee_open FLOAT, fee_close FLOAT, open_rate FLOAT, close_rate FLOAT,"
    " close_profit FLOAT, close_profit_abs FLOAT, stake_amount FLOAT, amount FLOAT, open_date TIMESTAMP,"
    " close_date TIMESTAMP, exit_reason VARCHAR(255), strategy VARCHAR(100), enter_tag VARCHAR(255), timeframe INTEGER,"
    " is_short BOOLEAN, leverage FLOAT, funding_fees FLOAT",
    "orders": "id INTEGER PRIMARY KEY, ft_trade_id INTEGER, ft_order_side VARCHAR(25), ft_pair VARCHAR(25),"
    " ft_is_open BOOLEAN, order_id VARCHAR(255), status VARCHAR(255), side VARCHAR(25), price FLOAT, average FLOAT,"
    " amount FLOAT, filled FLOAT, remaining FLOAT, cost FLOAT, order_date TIMESTAMP, order_filled_date TIMESTAMP",
    "pairlocks": "id INTEGER PRIMARY KEY, pair VARCHAR(25)",
}
# Of 2020: other names, no orders, no shorts.
OLD = (
    "id INTEGER PRIMARY KEY, exchange VARCHAR, pair VARCHAR, is_open BOOLEAN, fee FLOAT, fee_open FLOAT,"
    " fee_close FLOAT, open_rate FLOAT, close_rate FLOAT, close_profit FLOAT, close_profit_abs FLOAT,"
    " stake_amount FLOAT, amount FLOAT, open_date DATETIME, close_date DATETIME, sell_reason VARCHAR,"
    " strategy VARCHAR, ticker_interval INTEGER"
)
TRADES = [
    (1, "binance", "BTC/USDT", "BTC", "USDT", False, 0.001, 0.001, 42000.1, 43000.2, 0.0217, 2.123456789012345, 100.0,
     0.0023809467, "2024-01-01 00:00:00.123456", "2024-01-01 01:00:00", "roi", "Momentum", "rsi", 5, False, 1.0, None),
    (2, "binance", "SOL/USDT:USDT", "SOL", "USDT", False, 0.0005, 0.0005, 98.7, 99.9, -0.03, -3.3e-05, 50.0, 1.5,
     "2024-01-02 00:00:00", "2024-01-02 04:00:00", "stop_loss", "Momentum", None, 60, True, 3.0, 0.1),
    (3, "binance", "ETH/USDT", "ETH", "USDT", True, 0.001, 0.001, 2300.0, None, None, None, 50.0, 0.02,
     "2024-01-03 00:00:00", None, None, "Momentum", None, 5, False, 1.0, None),
    (4, "binance", "ETH/USDT", "ETH", "USDT", True, 0.001, 0.001, 2300.0, None, None, None, 50.0, 0.0,
     "2024-01-03 01:00:00", None, None, "Momentum", None, 5, False, 1.0, None),
]  # fmt: skip
ORDERS = [
    (1, 1, "buy", "BTC/USDT", False, "a1", "closed", "buy", 42000.0, 42000.1, 0.0023809467, 0.0023809467, 0.0, 100.0,
     "2024-01-01 00:00:00", "2024-01-01 00:00:01"),
    (2, 1, "sell", "BTC/USDT", False, "a2", "closed", "sell", 43000.2, None, 0.0023809467, 0.0023809467, 0.0, 102.0,
     "2024-01-01 00:59:00", "2024-01-01 01:00:00"),
    (3, 1, "sell", "BTC/USDT", False, "a3", "canceled", "sell", 44000.2, None, 0.0023809467, 0.0, 0.0, 0.0,
     "2024-01-01 00:30:00", None),
    (4, 2, "sell", "SOL/USDT:USDT", False, "b1", "closed", "sell", 98.7, 98.7, 1.5, 1.5, 0.0, 148.0,
     "2024-01-02 00:00:00", "2024-01-02 00:00:00"),
    (5, 2, "stoploss", "SOL/USDT:USDT", False, "b2", "closed", None, 99.9, 99.9, 1.5, 1.5, 0.0, 149.0,
     "2024-01-02 03:00:00", "2024-01-02 04:00:00"),
    (6, 3, "buy", "ETH/USDT", True, "c1", "open", "buy", 2300.0, 2300.0, 0.04, 0.02, 0.02, 50.0,
     "2024-01-03 00:00:00", "2024-01-03 00:00:00"),
]  # fmt: skip


def filled(connection: Any, mark: str, tables: dict[str, str], content: dict[str, list[tuple[Any, ...]]]) -> None:
    for table, columns in tables.items():
        connection.execute(f'CREATE TABLE "{table}" ({columns})')
    for table, many in content.items():
        connection.executemany(f'INSERT INTO "{table}" VALUES ({", ".join([mark] * len(many[0]))})', many)


def freqtrade(path: Path, trades: list[Any], orders: list[Any]) -> Path:
    """A database of freqtrade in place of what was there."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    content = {"trades": trades, "orders": orders, "pairlocks": [(1, "BTC/USDT")]}
    filled(connection, "?", NEW, {table: rows for table, rows in content.items() if rows})
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def freqtrade_file(tmp_path: Path) -> Path:
    return freqtrade(tmp_path / "tradesv3.sqlite", TRADES, ORDERS)


def with_(row: tuple[Any, ...], **columns: Any) -> tuple[Any, ...]:
    """A row of TRADES or ORDERS with other values."""
    table = "trades" if len(row) == len(TRADES[0]) else "orders"
    names = [column.split()[0] for column in NEW[table].split(",")]
    return tuple(columns.get(name, value) for name, value in zip(names, row, strict=True))


def figures(done: BotImport) -> dict[str, tuple[Decimal, Decimal]]:
    assert all(one.ok for one in done.reconciled), done.reconciled
    return {one.name: (one.theirs, one.ours) for one in done.reconciled}


def counts(done: BotImport) -> list[tuple[int, int, int]]:
    return [(one.inserted, one.updated, one.skipped) for one in done.counts.values()]


def test_a_database_of_freqtrade_is_carried_over_once(db: Database, freqtrade_file: Path) -> None:
    assert bot_of(freqtrade_file) == "freqtrade"
    dry = import_bot(db, freqtrade_file, dry_run=True)
    assert rows(db, "SELECT count(*) FROM trading_bots")[0][0] == 0
    done = import_bot(db, freqtrade_file)
    assert counts(dry) == counts(done) == [(3, 0, 0), (5, 0, 0)]
    found = figures(done)
    assert found["closed trades"] == (2, 2)
    assert found["open trades"] == (1, 1)
    theirs, ours = found["profit of closed trades, USDT"]
    assert theirs == Decimal("2.123456789012345") + Decimal("-3.3e-05")
    assert abs(theirs - ours) < Decimal("1e-9")
    assert found["filled orders"] == (5, 5)
    left = " ".join(done.left)
    assert "1 order without a fill" in left
    assert "Trade 4 (ETH/USDT)" in left
    assert "1 pair lock" in left
    assert counts(import_bot(db, freqtrade_file)) == [(0, 0, 3), (0, 0, 5)]
    trip = rows(
        db,
        'SELECT direction, "interval", exit_reason, commission, net_pnl, gross_pnl, pnl_percentage, status'
        " FROM trading_trades ORDER BY entry_time",
    )
    fee = Decimal("0.001") * Decimal("0.0023809467") * (Decimal("42000.1") + Decimal("43000.2"))
    assert trip[0][:3] == ("LONG", "5m", "roi")
    assert [round(float(value), 9) for value in trip[0][3:7]] == [
        round(float(value), 9) for value in (fee, 2.123456789, Decimal("2.1234567890") + fee, 2.17)
    ]
    assert (trip[1][0], trip[1][1], trip[2][7]) == ("SHORT", "1h", "OPEN")
    executions = rows(db, "SELECT action, status, fee, source FROM trades ORDER BY order_id")
    assert [row[0] for row in executions] == ["BUY", "SELL", "SELL", "BUY", "BUY"]
    assert executions[4][1:] == ("PARTIALLY_FILLED", executions[4][2], "freqtrade")
    assert round(float(executions[4][2]), 9) == round(0.02 * 2300 * 0.001, 9)
    bot = rows(db, "SELECT name, type, currency, status FROM trading_bots")
    assert bot == [("freqtrade tradesv3", "live", "USDT", "stopped")]


@pytest.mark.parametrize(("dry_run", "where"), [(False, "in the tables"), (True, "looked at")])
def test_a_cancelled_one_says_what_is_in(db: Database, freqtrade_file: Path, dry_run: bool, where: str) -> None:
    for reports, trips in ((2, 0), (3, 3), (4, 3)):
        heard: list[tuple[int, str]] = []

        def cancel(done: int, total: int, message: str, reports: int = reports, heard: Any = heard) -> None:
            heard.append((done, message))
            if len(heard) == reports:
                raise Cancelled

        with pytest.raises(Cancelled):
            import_bot(db, freqtrade_file, progress=cancel, dry_run=dry_run)
        assert (heard[-1][0] > 0, where in heard[-1][1]) == (trips > 0, trips > 0)
        assert heard[-1][1].startswith("3 round trips")
        written = rows(db, "SELECT count(*) FROM trading_trades")[0][0], rows(db, "SELECT count(*) FROM trades")[0][0]
        assert written == ((0, 0) if dry_run else (trips, int(heard[-1][1].split(" ")[4]) if trips else 0))


def test_what_has_changed_since_is_changed(db: Database, freqtrade_file: Path) -> None:
    import_bot(db, freqtrade_file)
    connection = sqlite3.connect(freqtrade_file)
    connection.execute("UPDATE trades SET is_open = 0, close_rate = 2400, close_date = '2024-01-04 00:00:00',"
                       " close_profit = 0.04, close_profit_abs = 2, exit_reason = 'roi' WHERE id = 3")  # fmt: skip
    connection.commit()
    connection.close()
    done = import_bot(db, freqtrade_file)
    assert counts(done) == [(0, 1, 2), (0, 0, 5)]
    assert figures(done)["closed trades"] == (3, 3)


def test_another_bots_file_of_the_same_name_is_refused(db: Database, freqtrade_file: Path, tmp_path: Path) -> None:
    import_bot(db, freqtrade_file)
    before = rows(db, "SELECT * FROM trading_trades ORDER BY id"), rows(db, "SELECT * FROM trading_bots")
    others = (
        [with_(TRADES[0], pair="XRP/USDT"), TRADES[1]],
        [with_(TRADES[0], open_date="2023-01-01 00:00:00"), *TRADES[1:]],
        [with_(TRADES[0], id=9)],
    )
    for trades in others:
        other = freqtrade(tmp_path / "B" / "tradesv3.sqlite", list(trades), [])
        for dry_run in (True, False):
            with pytest.raises(TradekeepError, match=r"another database: .*name of its own"):
                import_bot(db, other, dry_run=dry_run)
    assert (rows(db, "SELECT * FROM trading_trades ORDER BY id"), rows(db, "SELECT * FROM trading_bots")) == before
    assert counts(import_bot(db, other, name="B"))[0] == (1, 0, 0)
    # The first one grows; an open trade that nothing was bought for goes, and its number is given again.
    grown = [*TRADES[:2], with_(TRADES[2], pair="ADA/USDT"), with_(TRADES[0], id=5)]
    assert counts(import_bot(db, freqtrade(freqtrade_file, grown, ORDERS)))[0] == (1, 1, 2)


def test_an_order_that_goes_on_being_filled_stays_one(db: Database, freqtrade_file: Path) -> None:
    import_bot(db, freqtrade_file)
    later = with_(ORDERS[5], status="closed", filled=0.04, order_filled_date="2024-01-03 00:05:00")
    freqtrade(freqtrade_file, TRADES, [*ORDERS[:5], later])
    for expected in ((0, 1, 4), (0, 0, 5)):
        assert counts(import_bot(db, freqtrade_file, dry_run=True))[1] == expected
        assert counts(done := import_bot(db, freqtrade_file))[1] == expected
        assert figures(done)["bought and sold, ETH/USDT"] == (Decimal("0.04"), Decimal("0.04"))
    with db.connect() as connection:  # as two imports of an earlier version of ours left it
        connection.exec_driver_sql(
            "INSERT INTO trades (symbol, action, quantity, price, currency, executed_at, order_id, source, exchange)"
            " SELECT symbol, action, 0.02, price, currency, '2024-01-03 00:01:00.000000', order_id, source, exchange"
            " FROM trades WHERE order_id = 'c1'"
        )
    assert counts(import_bot(db, freqtrade_file))[1] == (0, 0, 5)
    found = rows(db, "SELECT quantity, status FROM trades WHERE order_id = 'c1'")
    assert [(float(quantity), status) for quantity, status in found] == [(0.04, "FILLED")]


def test_two_at_once_make_one_bot(db: Database, freqtrade_file: Path) -> None:
    done: list[BotImport] = []

    def run() -> None:
        with Database(db.config) as own:
            done.append(import_bot(own, freqtrade_file))

    both = [threading.Thread(target=run) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(counts(one)[0] for one in done) == [(0, 0, 3), (3, 0, 0)]
    assert rows(db, "SELECT count(*) FROM trading_bots")[0][0] == 1
    assert rows(db, "SELECT count(*) FROM trading_trades")[0][0] == 3


def test_what_an_open_trade_has_realized_is_said(db: Database, tmp_path: Path) -> None:
    path = freqtrade(tmp_path / "tradesv3.sqlite", TRADES, ORDERS)
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE trades ADD COLUMN realized_profit FLOAT")
    connection.execute("UPDATE trades SET realized_profit = 3.25 WHERE id IN (1, 3)")
    connection.commit()
    connection.close()
    assert "1 open trade realized 3.25 USDT by partial exits" in " ".join(import_bot(db, path).notes)


def test_a_database_of_freqtrade_on_postgresql(migrated: DatabaseConfig, pg_database: DatabaseConfig) -> None:
    source = Database(pg_database)
    with source.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            filled(cursor, "%s", NEW, {"trades": TRADES, "orders": ORDERS})
    source.dispose()
    db = Database(migrated)
    for given in (pg_database, pg_database.url()):
        done = import_bot(db, given, name="mine")
        assert figures(done)["profit of closed trades, USDT"][0] == Decimal("2.123423789012345")
    assert counts(done) == [(0, 0, 3), (0, 0, 5)]
    db.dispose()


def test_a_database_of_an_old_freqtrade(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "tradesv3.dryrun.sqlite"
    connection = sqlite3.connect(path)
    trade = (7, "bittrex", "ETH/BTC", 0, 0.0025, 0.0025, 0.0025, 0.02, 0.021, 0.045, 0.00045, 0.01, 0.5,
             "2020-01-01 00:00:00.000000", "2020-01-01 05:00:00.000000", "roi", "Old", 5)  # fmt: skip
    filled(connection, "?", {"trades": OLD}, {"trades": [trade]})
    connection.commit()
    connection.close()
    done = import_bot(db, path)
    assert counts(done) == [(1, 0, 0), (0, 0, 0)]
    assert figures(done)["profit of closed trades, BTC"][0] == Decimal("0.00045")
    assert "older than its table of orders" in " ".join(done.left)
    found = rows(db, 'SELECT trade_type, exit_reason, currency, "interval" FROM trading_trades')
    assert found == [("paper", "roi", "BTC", "5m")]


FILL = (
    "config_file_path TEXT, strategy TEXT, market TEXT, symbol TEXT, base_asset TEXT, quote_asset TEXT,"
    " timestamp BIGINT, order_id TEXT, trade_type TEXT, order_type TEXT, price {number}, amount {number},"
    " leverage INTEGER, trade_fee JSON, trade_fee_in_quote {number}, exchange_trade_id TEXT, position TEXT"
)


@pytest.mark.parametrize(("number", "scale"), [("BIGINT", 1_000_000), ("FLOAT", 1)])
def test_a_database_of_hummingbot(db: Database, tmp_path: Path, number: str, scale: int) -> None:
    path = tmp_path / "conf_pure_mm_1.sqlite"
    connection = sqlite3.connect(path)
    tables = {"TradeFill": FILL.format(number=number), "Order": "id TEXT, symbol TEXT",
              "Executors": "id TEXT, net_pnl_quote FLOAT"}  # fmt: skip
    fee = '{"fee_type": "AddedToCost", "percent": "0.001", "flat_fees": []}'
    base = ("conf.yml", "pmm", "binance", "BTC-USDT", "BTC", "USDT", 1704067200123)

    def fill(order: str, side: str, price: float, amount: float, cost: float | None, trade: str) -> tuple[Any, ...]:
        amounts = [None if one is None else round(one * scale, 6) for one in (price, amount, cost)]
        amounts = [one if one is None or scale == 1 else int(one) for one in amounts]
        return (*base, order, side, "LIMIT", amounts[0], amounts[1], 1, fee, amounts[2], trade, "NIL")

    fills = [
        fill("o1", "BUY", 42000.123456, 0.5, 21.000062, "t1"),
        fill("o1", "BUY", 42000.123456, 0.25, 10.500031, "t2"),  # the same order in the same millisecond
        fill("o2", "SELL", 43000, 0.75, None, "t3"),
    ]
    content = {"TradeFill": fills, "Order": [("o1", "x"), ("o2", "x"), ("o3", "x")], "Executors": [("e", 1.5)]}
    filled(connection, "?", tables, content)
    connection.commit()
    connection.close()
    assert bot_of(path) == "hummingbot"
    done = import_bot(db, path)
    assert counts(done) == [(0, 0, 0), (3, 0, 0)]
    assert counts(import_bot(db, path)) == [(0, 0, 0), (0, 0, 3)]
    found = figures(done)
    assert found["fills"] == (3, 3)
    assert found["bought and sold, BTC-USDT"][0] == Decimal("1.5")
    assert found["fees, USDT"][0] == Decimal("21.000062") + Decimal("10.500031") + Decimal("32.25")
    kept = rows(db, "SELECT order_id, price, quantity, executed_at FROM trades ORDER BY order_id")
    assert [row[0] for row in kept] == ["o1", "o1#t2", "o2"]
    assert float(kept[0][1]) == 42000.123456
    assert str(kept[0][3]).startswith("2024-01-01 00:00:00.123")
    assert "1 executor" in " ".join(done.left)
    assert "1 order without a fill" in " ".join(done.left)


def test_other_databases_are_no_bots(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trades (id INTEGER, symbol TEXT)")
    connection.commit()
    connection.close()
    assert bot_of(path) is None
    with pytest.raises(TradekeepError, match="no bot"):
        import_bot(db, path)
