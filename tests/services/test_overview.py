"""The Overview's figures from rows in both kinds of database, and what is said about them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core import demo
from core.database import Database
from core.errors import TradekeepError
from core.models import Alert, Base, Portfolio, Position, Trade, TradingBot, TradingTrade, User
from core.schema.migrate import Revision, SchemaVersion
from core.services import overview
from core.services.overview import Bots, Equity, Figures, Profit, TradeRow
from core.settings import ConfigIssue, DatabaseConfig
from core.state import Status

NOW = datetime(2024, 5, 17, 13, 7, 22, tzinfo=UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
Add = Callable[..., None]


@pytest.fixture
def add(db: Database) -> Add:
    """add(Model, {...}, {...}): rows with what every such row needs."""
    with db.connect() as connection:
        user = {"id": 1, "email": "a@example.com", "role": "trader", "is_active": True}
        connection.execute(sa.insert(User), user)
        bot = {"id": 1000, "user_id": 1, "type": "live", "name": "first", "currency": "USDT", "status": "running"}
        alive = {"config": {}, "extra_metadata": {}, "last_heartbeat": NOW}
        connection.execute(sa.insert(TradingBot), bot | alive)
    usual: dict[type[Base], dict[str, Any]] = {
        Portfolio: {"cash_balance": 1, "currency": "USDT"},
        Position: {"symbol": "BTC/USDT", "quantity": 1, "currency": "USDT", "metadata_": {}},
        Trade: {"symbol": "BTC/USDT", "action": "BUY", "quantity": 1, "price": 100, "currency": "USDT",
            "status": "FILLED"},
        Alert: {"alert_type": "test", "severity": "INFO", "timestamp": NOW},
        TradingBot: {"user_id": 1, "type": "live", "name": "bot", "config": {}, "currency": "USDT",
            "extra_metadata": {}},
        TradingTrade: {"bot_id": 1000, "trade_type": "live", "symbol": "BTC/USDT", "interval": "1h", "size": 1,
            "entry_time": MIDNIGHT - timedelta(days=40), "entry_price": 100, "exit_price": 110, "direction": "LONG",
            "currency": "USDT", "status": "CLOSED", "extra_metadata": {}},
    }  # fmt: skip

    def insert(model: type[Base], *rows: dict[str, Any]) -> None:
        with db.connect() as connection:
            for row in rows:
                connection.execute(sa.insert(model), {**usual[model], **row})

    return insert


def asked(db: Database, *, now: datetime = NOW) -> Figures:
    return db.ask(overview.figures, now=now)


def test_empty_database_has_no_data_anywhere(db: Database) -> None:
    figures = asked(db)
    assert figures == Figures()
    assert figures.empty
    assert (figures.alerts, figures.currency) == (None, None)
    assert db.ask(overview.latest_alerts) == []
    assert db.ask(overview.latest_trades) == []


def test_equity_is_the_newest_value_of_each_currency(db: Database, add: Add) -> None:
    add(
        Portfolio,
        {"timestamp": NOW - timedelta(days=3), "total_value": 90},
        {"timestamp": NOW - timedelta(minutes=2), "total_value": Decimal("101.5")},
        {"timestamp": NOW - timedelta(days=1), "total_value": 100},
        {"timestamp": NOW - timedelta(hours=1), "total_value": 7, "currency": "EUR"},
    )
    points = (Decimal(90), Decimal(100), Decimal("101.5"))
    assert asked(db).equity == (
        Equity("USDT", Decimal("101.5"), NOW - timedelta(minutes=2), NOW - timedelta(days=3), points),
        Equity("EUR", Decimal(7), NOW - timedelta(hours=1), NOW - timedelta(hours=1), (Decimal(7),)),
    )


def test_equity_line_has_at_most_60_points_each_the_last_of_its_stretch(db: Database, add: Add) -> None:
    moments = [NOW - timedelta(hours=hours) for hours in range(30 * 24)]
    add(Portfolio, *({"timestamp": moment, "total_value": int(moment.timestamp()) // 3600} for moment in moments))
    (found,) = asked(db).equity
    assert 55 <= len(found.points) <= 60
    assert found.points[-1] == found.value == int(NOW.timestamp()) // 3600
    assert {int(point) % 12 for point in found.points[:-1]} == {11}


def test_old_equity_is_still_the_equity(db: Database, add: Add) -> None:
    old = NOW - timedelta(days=200)
    add(Portfolio, {"timestamp": old - timedelta(1), "total_value": 4}, {"timestamp": old, "total_value": 5})
    assert asked(db).equity == (Equity("USDT", Decimal(5), old, old, (Decimal(5),)),)


def test_profit_today_begins_at_midnight_utc(db: Database, add: Add) -> None:
    add(
        TradingTrade,
        {"exit_time": MIDNIGHT, "net_pnl": Decimal("3.25")},
        {"exit_time": NOW, "net_pnl": Decimal("-1.05")},
        {"exit_time": MIDNIGHT - timedelta(microseconds=1), "net_pnl": 100},
        {"exit_time": MIDNIGHT - timedelta(days=13), "net_pnl": 7},
        {"exit_time": MIDNIGHT - timedelta(days=13, microseconds=1), "net_pnl": 9999},
        {"exit_time": NOW, "net_pnl": 5, "currency": "EUR"},
    )
    usdt, eur = asked(db).profit
    assert (usdt.currency, usdt.today, usdt.trips) == ("USDT", Decimal("2.2"), 2)
    assert usdt.days == (Decimal(7), *[None] * 11, Decimal(100), Decimal("2.2"))
    assert eur == Profit("EUR", Decimal(5), 1, (*[None] * 13, Decimal(5)))


@pytest.mark.parametrize(
    "other",
    [
        {"trade_type": "paper", "exit_time": NOW, "net_pnl": 1},
        {"trade_type": "backtest", "exit_time": NOW, "net_pnl": 1},
        {"status": "OPEN", "exit_time": None, "exit_price": None, "net_pnl": None},
        {"status": "CANCELLED", "exit_time": NOW, "net_pnl": 1},
    ],
)
def test_profit_counts_only_closed_live_round_trips(db: Database, add: Add, other: dict[str, Any]) -> None:
    add(TradingTrade, other)
    assert asked(db).profit == ()


def test_day_without_a_round_trip_has_no_profit(db: Database, add: Add) -> None:
    add(TradingTrade, {"exit_time": MIDNIGHT - timedelta(hours=5), "net_pnl": 2})
    (found,) = asked(db).profit
    assert (found.today, found.trips) == (None, 0)


def test_no_open_position_is_zero_and_no_position_ever_is_no_data(db: Database, add: Add) -> None:
    assert asked(db).open_positions is None
    add(Position, {"status": "CLOSED", "closed_at": NOW})
    assert asked(db).open_positions == 0
    add(Position, {"status": "OPEN"}, {"status": "OPEN", "side": "SHORT"})
    assert asked(db).open_positions == 2


def test_open_alerts_are_counted_worst_first(db: Database, add: Add) -> None:
    assert asked(db).open_alerts is None
    add(Alert, {"resolved": True, "resolved_at": NOW, "resolved_by": "me", "severity": "CRITICAL"})
    assert asked(db).open_alerts == {}
    add(Alert, {}, {"severity": "EMERGENCY"}, {}, {"severity": "WARNING"})
    figures = asked(db)
    assert list((figures.open_alerts or {}).items()) == [("EMERGENCY", 1), ("WARNING", 1), ("INFO", 2)]
    assert figures.alerts == 4


def test_bot_is_alive_for_five_minutes_after_its_heartbeat(db: Database, add: Add) -> None:
    add(
        TradingBot,
        {"status": "running", "last_heartbeat": NOW - timedelta(seconds=300)},
        {"status": "running", "last_heartbeat": NOW - timedelta(seconds=301)},
        {"status": "stopped", "last_heartbeat": None},
    )
    assert asked(db).bots == Bots(alive=2, running=3, total=4)


def test_latest_alerts_are_open_and_newest_first(db: Database, add: Add) -> None:
    add(Alert, *({"message": f"m{n}", "timestamp": NOW - timedelta(minutes=n)} for n in (3, 1, 4, 2)))
    add(Alert, {"message": "done", "resolved": True, "resolved_at": NOW, "resolved_by": "me"})
    assert [row.message for row in db.ask(overview.latest_alerts, limit=3)] == ["m1", "m2", "m3"]


def test_latest_trades_know_what_they_closed(db: Database, add: Add) -> None:
    early, late = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    add(Trade, {"executed_at": early}, {"executed_at": late, "action": "SELL", "price": Decimal("110.5")})
    add(Trade, {"executed_at": early - timedelta(1)})
    add(TradingTrade, {"exit_time": late, "net_pnl": 10}, {"exit_time": late, "net_pnl": 99, "symbol": "ETH/USDT"})
    add(TradingTrade, {"exit_time": late, "net_pnl": 50, "trade_type": "paper"})
    assert db.ask(overview.latest_trades, limit=2) == [
        TradeRow(late, "BTC/USDT", "SELL", Decimal(1), Decimal("110.5"), "USDT", "FILLED", Decimal(10)),
        TradeRow(early, "BTC/USDT", "BUY", Decimal(1), Decimal(100), "USDT", "FILLED", None),
    ]
    assert asked(db).last_trade_at == late


def test_big_tables_are_read_by_their_indexes(migrated: DatabaseConfig) -> None:
    db = Database(migrated)
    seen: list[tuple[str, Any]] = []
    with db.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda c, cu, sql, p, ctx, many: seen.append((sql, p)))
        overview.figures(connection, now=NOW)
        overview.latest_trades(connection)
        overview.latest_alerts(connection)
    with db.connect() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for sql, values in seen:
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {sql}", values))
            if "trading_bots" not in sql:
                assert "Seq Scan" not in plan, plan
    db.dispose()


def test_demo_answers_every_figure(tmp_path: Path) -> None:
    figures = demo.database(tmp_path).ask(overview.figures)
    assert None not in (figures.open_positions, figures.open_alerts, figures.last_trade_at)
    assert figures.bots == Bots(alive=4, running=4, total=6)
    assert [one.currency for one in figures.equity] == ["EUR", "USDT"]
    assert figures.currency == "USDT"
    assert overview.others(figures).startswith("Also 1")
    assert all(one.today is not None for one in figures.profit)
    assert [card.label for card in overview.cards(Status("demo"), figures) if card.value == "no data"] == [
        "Database answer"
    ]


def schema(current: str | None = "0001", **changes: Any) -> SchemaVersion:
    given = {"expected_version": "0001", "compatible": True, "migration_needed": False}
    return SchemaVersion(current_version=current, **(given | changes))


STEPS = [Revision(id="0001", title="all", down=None), Revision(id="0002", title="more", down="0001")]
EMPTY = schema(None, migration_needed=True, pending=STEPS[:1])
OLD = schema(migration_needed=True, pending=STEPS[1:])
NEWER = schema("0009", compatible=False)
FOREIGN = schema(None, migration_needed=True, pending=STEPS[:1], unmanaged=["trades"])
REFUSED = TradekeepError("service.refused")
FINE = Figures(open_alerts={"INFO": 2}, bots=Bots(3, 3, 4), last_trade_at=NOW)
ISSUES = [
    ConfigIssue(severity="error", component="DATABASE_URL", message="The port is wrong.", suggested_fix="Correct it."),
    ConfigIssue(severity="warning", component="x", message="A warning.", suggested_fix="y"),
]


def connected(schema_version: SchemaVersion | None = None, label: str = "bot@db.example.com:5432/trading") -> Status:
    return Status("connected", label, server_version="18.6", latency_ms=1.25, schema=schema_version or schema())


@pytest.mark.parametrize(
    ("status", "figures", "text"),
    [
        (connected(), FINE, "Connected to trading on PostgreSQL 18.6, schema up to date, 3 bots alive, 2 alerts open."),
        (
            connected(),
            Figures(),
            "Connected to trading on PostgreSQL 18.6, schema up to date, no bots yet, no alerts yet.",
        ),
        (
            connected(label="SQLite /tmp/a/my.sqlite"),
            Figures(bots=Bots(1, 2, 2), open_alerts={"INFO": 1}),
            "Connected to my.sqlite on SQLite 18.6, schema up to date, 1 of 2 running bots alive, 1 alert open.",
        ),
        (connected(EMPTY), None, "Connected to trading on PostgreSQL 18.6, no tables yet."),
        (connected(OLD), None, "Connected to trading on PostgreSQL 18.6, 1 schema update pending."),
        (connected(NEWER), None, "Connected to trading on PostgreSQL 18.6, schema newer than this Tradekeep."),
        (connected(FOREIGN), None, "Connected to trading on PostgreSQL 18.6, tables made by another program."),
        (Status("demo"), FINE, "Demo data, 3 bots alive, 2 alerts open."),
        (Status("demo"), None, "Demo data."),
        (Status("starting"), None, "Looking for the database."),
        (Status("connecting", "a@b:1/trading", attempt=2), None, "Connecting to trading, try 2."),
    ],
)
def test_sentence(status: Status, figures: Figures | None, text: str) -> None:
    assert overview.sentence(status, figures) == text


def test_sentence_says_how_long_and_why_a_database_is_away() -> None:
    status = Status("down", "a@b:1/trading", error=REFUSED, reachable_at=time.time() - 185)
    assert overview.sentence(status, FINE) == f"No connection to trading for 3 min 5 s. {REFUSED.title}."


@pytest.mark.parametrize(
    ("status", "figures", "issues", "title", "page"),
    [
        (Status("demo"), FINE, [], "Set up a database", overview.SETUP),
        (Status("misconfigured", error=REFUSED), FINE, ISSUES, "Correct the configuration", overview.SETUP),
        (Status("down", error=REFUSED), FINE, ISSUES, "Bring the database back", overview.SETUP),
        (Status("connecting"), None, [], "Wait a moment", None),
        (Status("starting"), None, [], "Wait a moment", None),
        (connected(EMPTY), None, ISSUES, "Create the tables", overview.SETUP),
        (connected(OLD), None, [], "Update the schema", overview.SCHEMA),
        (connected(NEWER), FINE, [], "Update Tradekeep", overview.SCHEMA),
        (connected(FOREIGN), None, [], "Compare the tables", overview.SCHEMA),
        (connected(), FINE, ISSUES, "The port is wrong", overview.SETUP),
        (connected(), Figures(open_alerts={"EMERGENCY": 1, "CRITICAL": 2}), ISSUES[1:],
         "Look into 1 emergency alert and 2 critical alerts", None),
        (connected(), Figures(bots=Bots(1, 2, 3)), [], "See why 1 running bot is silent", None),
        (connected(), Figures(bots=Bots(0, 2, 3)), [], "See why 2 running bots are silent", None),
        (connected(), Figures(), [], "Let your bots write", overview.SETUP),
        (connected(), FINE, ISSUES[1:], "Nothing to do", None),
    ],
)  # fmt: skip
def test_next_step(status: Status, figures: Figures, issues: list[ConfigIssue], title: str, page: str | None) -> None:
    step = overview.next_step(status, figures, issues)
    assert (step.title, step.page) == (title, page)
    assert step.why
    assert step.done == (title == "Nothing to do")
    assert bool(step.label) == bool(step.page)


def test_cards_of_an_empty_database_say_no_data_and_why() -> None:
    cards = overview.cards(connected(), Figures())
    assert [card.value for card in cards] == ["no data"] * 5 + ["1.2 ms"]
    assert all(card.remark and "No data, because" in card.basis for card in cards[:-1])
    assert all(not card.points for card in cards)


def test_cards_show_one_currency_and_others_name_the_rest() -> None:
    euro = Equity("EUR", Decimal("5000"), NOW, NOW, (Decimal(5100), Decimal(5000)))
    dollar = Equity("USDT", Decimal("990"), NOW, NOW - timedelta(days=30), (Decimal(1000), Decimal(990)))
    profits = (Profit("USDT", Decimal("-10"), 3, (None, Decimal(-10))), Profit("EUR", Decimal(2), 1, (Decimal(2),)))
    figures = Figures(equity=(euro, dollar), profit=profits)
    equity, profit = overview.cards(connected(), figures)[:2]
    assert (equity.value, equity.change, equity.points) == ("990.00 USDT", "-1.0 %", (1000.0, 990.0))
    assert (equity.remark or "").startswith("in 30 days, as of ")
    assert (profit.value, profit.remark) == ("−10.00 USDT", "loss from 3 round trips")
    assert overview.others(figures) == "Also 5,000.00 EUR equity, +2.00 EUR today."


@pytest.mark.parametrize(
    ("changes", "words", "result"),
    [
        ({}, "Bought 0.05 BTC/USDT at 58,400.10 USDT", ""),
        ({"action": "SELL", "pnl": Decimal("-3.5")}, "Sold 0.05 BTC/USDT at 58,400.10 USDT", "−3.50 USDT loss"),
        ({"price": Decimal("0.3447"), "pnl": Decimal(2)}, "Bought 0.05 BTC/USDT at 0.3447 USDT", "+2.00 USDT profit"),
        ({"quantity": Decimal("1E+3")}, "Bought 1000 BTC/USDT at 58,400.10 USDT", ""),
        ({"status": "REJECTED"}, "Buy order rejected: 0.05 BTC/USDT at 58,400.10 USDT", ""),
    ],
)
def test_execution_in_words(changes: dict[str, Any], words: str, result: str) -> None:
    usual = {"at": NOW, "symbol": "BTC/USDT", "action": "BUY", "quantity": Decimal("0.0500000000"),
             "price": Decimal("58400.1000000000"), "currency": "USDT", "status": "FILLED", "pnl": None}  # fmt: skip
    row = TradeRow(**(usual | changes))
    assert (overview.execution(row), overview.result(row)) == (words, result)
