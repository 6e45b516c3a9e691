"""The Portfolio page in each state that it has, run from app.py as a browser session runs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from core import state
from core.database import Database
from core.models import TradingTrade
from core.portfolio import totals
from core.portfolio.candles import Trip
from core.schema import migrate
from core.settings import DatabaseConfig
from core.tasks import Task
from core.ui import cache
from core.ui.portfolio import asked, candles, fresh
from tests.portfolio.opened import charts, shown
from tests.portfolio.trips import bots, random_trips, trip, write
from tests.ui.conftest import Open
from tests.ui.conftest import read as words

NOW = datetime.now(UTC)
Write = Callable[[DatabaseConfig], None]
When = Callable[..., object]


def unbuilt(database: Database) -> None:
    """The rollups as they are before their first refresh."""
    with database.connect() as connection:
        connection.exec_driver_sql("TRUNCATE trading_rollups; INSERT INTO trading_rollup_marks (day) VALUES (NULL)")


def refreshing() -> Task | None:
    return state.tasks().latest(asked.task_of(state.databases().reader))


def test_demo_shows_curves_figures_and_every_part(project: Path, visit: Open) -> None:
    app = visit("portfolio")
    text = words(app)
    assert "USDT net in 90 days, from" in text
    assert charts(app) == 6
    for label in ("Net P&L", "Return", "Max drawdown", "Sharpe", "Sortino", "CAGR", "Calmar", "Win rate", "Payoff"):
        assert label in text
    assert "Up to date: rollups refreshed" in text
    assert not [button for button in app.button if button.key == "portfolio_refresh"]
    assert "By symbol" in words(shown(app, part="split"))
    assert "open positions, unrealised" in words(shown(app, part="positions"))
    assert charts(app) == 3
    assert len(shown(app, part="trips").dataframe[0].value) == 50
    assert "candles, average of 20 closes" in words(shown(app, part="candles"))


def test_currencies_are_never_added(project: Path, visit: Open) -> None:
    app = visit("portfolio")
    usdt, euro = words(app), words(shown(app, currency="EUR", range="all"))
    assert "EUR" not in usdt.partition("Equity")[0].replace("EUR net", "EUR")
    assert "EUR net since the beginning" in euro
    assert "USDT" not in euro


def test_connected_database_shows_its_round_trips(connected: DatabaseConfig, visit: Open) -> None:
    app = visit("portfolio")
    text = words(app)
    assert "+40.00 USDT net in 90 days, from 120 round trips." in text
    assert "Begins with 1,000.00 USDT: balance less profit of the bot" in text
    assert "66.7 %" in text
    split = words(shown(app, part="split"))
    assert "By bot" not in split  # only one of them traded
    assert "The 3 rows between" in [expander.label for expander in app.expander]


def test_filters_and_range_come_from_the_address(connected: DatabaseConfig, visit: Open) -> None:
    app = visit("portfolio")
    text = words(shown(app, range="7d", symbol="C1", bot="1"))
    assert "Equity, as if only these round trips had been made" in text
    assert "net in 7 days" in text
    assert "too few days" in text
    assert "No round trip was closed in 7 days." in words(shown(app, range="7d", symbol="none such"))
    assert "No round trip was closed so in these days" in words(shown(app, symbol="none such", part="trips"))
    assert "in these days" in words(shown(app, **{"from": str(NOW.date()), "to": str(NOW.date())}))


def test_choices_write_the_address(connected: DatabaseConfig, visit: Open) -> None:
    app = visit("portfolio")
    app.selectbox(key="portfolio_symbol").select("C3").run()
    assert app.query_params["symbol"] == "C3"
    app.button_group(key="portfolio_range").set_value("30d").run()
    assert (app.query_params["range"], app.query_params["symbol"]) == ("30d", "C3")
    app.selectbox(key="portfolio_symbol").select(()).run()
    assert "symbol" not in app.query_params


def test_late_round_trips_count_at_once_and_are_rolled_up(connected: DatabaseConfig, visit: Open) -> None:
    database = Database(connected)
    write(database, [trip(NOW - timedelta(days=n, hours=2), "100") for n in (5, 9)])
    cache.clear()
    text = words(visit("portfolio"))
    assert "+240.00 USDT net in 90 days, from 122 round trips." in text
    assert "2 days that have changed since, read from the round trips." in text
    task = refreshing()
    assert task is not None
    assert task.wait(20)
    assert task.result.days == 2
    with database.connect() as connection:
        assert totals.rollups(connection).changed == frozenset()
    database.dispose()
    assert "no round trip has changed since" in words(visit("portfolio"))


def test_without_round_trips_it_says_what_would_be_here(
    migrated: DatabaseConfig, configured: Write, when: When, visit: Open
) -> None:
    configured(migrated)
    when(lambda status: status.mode == "connected" and status.ready)
    assert "No round trips yet. What bots close in the table trading_trades is summed up here" in words(
        visit("portfolio")
    )


def test_before_the_upgrade_figures_come_from_the_round_trips(
    filled: DatabaseConfig, configured: Write, when: When, visit: Open
) -> None:
    database = Database(filled)
    migrate.downgrade(database, "0001")
    database.dispose()
    configured(filled)
    when(lambda status: status.mode == "connected")
    text = words(visit("portfolio"))
    assert "from 120 round trips" in text
    assert "the tables of the rollups come with the next schema update" in text


def test_too_many_to_wait_for_are_read_by_a_task(
    connected: DatabaseConfig, visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "MANY_ROWS", 50)
    database = Database(connected)
    unbuilt(database)
    monkeypatch.setattr(asked, "may_refresh", lambda: False)  # as with a role that may not write
    cache.clear()
    app = visit("portfolio")
    assert app.button_group(key="portfolio_part")  # the rest can be used meanwhile
    deadline = time.monotonic() + 20
    while "from 120 round trips" not in words(app):
        assert time.monotonic() < deadline, words(app)
        app.run()
    assert "their rollups are not built yet" in words(app)
    assert "This follows when the rollups are built" in words(shown(app, part="split"))
    database.dispose()


def test_curves_come_before_the_rollups_are_built(
    connected: DatabaseConfig, visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "MANY_ROWS", 50)
    database = Database(connected)
    unbuilt(database)
    cache.clear()
    held = database.connect()
    with held as other:  # the refresh has to wait
        other.exec_driver_sql("LOCK TABLE trading_rollups IN SHARE UPDATE EXCLUSIVE MODE")
        app = visit("portfolio")
        deadline = time.monotonic() + 20
        while "from 120 round trips" not in words(app):
            assert time.monotonic() < deadline, words(app)
            app.run()
        assert "The figures of single round trips follow when the rollups are built." in words(app)
        assert "Sharpe" in words(app)
        assert "Win rate" not in words(app)
    task = refreshing()
    assert task is not None
    assert task.wait(20)
    assert task.result.days is None
    assert "Win rate" in words(visit("portfolio"))
    database.dispose()


def test_unbuilt_rollups_are_built_by_themselves(connected: DatabaseConfig, visit: Open) -> None:
    database = Database(connected)
    with database.connect() as connection:
        connection.exec_driver_sql("DELETE FROM trading_rollups")
        connection.exec_driver_sql("INSERT INTO trading_rollup_marks (day) VALUES (NULL)")
    cache.clear()
    visit("portfolio")
    task = refreshing()
    assert task is not None
    assert task.wait(20)
    assert task.result.days is None
    with database.connect() as connection:
        assert totals.rollups(connection).state == "ready"
    database.dispose()


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (totals.Rollups("absent"), "next schema update"),
        (totals.Rollups("unfollowed"), "the triggers that note changes are missing"),
        (totals.Rollups("unbuilt"), "not built yet"),
        (totals.Rollups("ready", frozenset({NOW.date()}), NOW), "1 day that has changed since"),
        (totals.Rollups("ready", frozenset(), NOW), "no round trip has changed since"),
    ],
)
def test_freshness_is_said(standing: totals.Rollups, said: str) -> None:
    assert said in fresh.sentence(standing)
    assert "Up to date" not in fresh.sentence(standing, 90)


@pytest.mark.parametrize(("number", "said"), [(0, ""), (1, "1 round trip is in no"), (2, "2 round trips are in no")])
def test_round_trips_in_no_figure_are_told(number: int, said: str) -> None:
    assert fresh.missing(number).startswith(said)
    assert bool(fresh.missing(number)) == bool(said)


def test_a_round_trip_has_the_marks_of_those_ends_that_are_in_the_picture() -> None:
    hour, price = timedelta(hours=1), Decimal(5)
    one = Trip(1, "LONG", NOW - 9 * hour, price, None, NOW, price, None, None, Decimal(3), "USDT", "A", "1h")
    for first, last, wanted in (
        (10, 1, (True, True)),
        (8, 1, (True, True)),
        (7, 1, (False, True)),
        (10, -1, (True, False)),
    ):
        picture = NOW - first * hour, NOW + last * hour, NOW - (first + 1.5) * hour
        row = candles._row(one, *picture, None)
        assert (row["entered"] is not None, row["left"] is not None) == wanted
    odd = replace(one, entry_price=Decimal("NaN"), exit_price=Decimal("NaN"), net_pnl=Decimal("NaN"))
    row = candles._row(odd, NOW - 10 * hour, NOW + hour, NOW - 11 * hour, None)
    assert (row["entered"], row["left"], row["entry"], row["exit"], row["result"]) == (
        None,
        None,
        None,
        None,
        "no net profit",
    )


def test_hostile_names_are_only_text(filled: DatabaseConfig, configured: Write, when: When, visit: Open) -> None:
    database = Database(filled)
    evil = "![x](http://evil.invalid/x.png) <b>bold</b> [l](http://evil.invalid)"
    write(database, [trip(NOW - timedelta(hours=3), symbol=evil, strategy_name=evil, exit_reason=evil)])
    database.dispose()
    configured(filled)
    when(lambda status: status.mode == "connected" and status.ready)
    app = shown(visit("portfolio"), part="split")
    for table in app.table:
        assert "![x](http" not in table.value.to_string()
    shown(app, part="candles", symbol=evil)
    assert "![x](http" not in "".join(caption.value for caption in app.caption)


WILD = (
    "exit_time = 'infinity'", "exit_time = '12024-01-01'", "exit_time = '0044-01-01 BC'",
    "exit_time = '9999-12-31 10:00'", "net_pnl = 'NaN', exit_price = 'NaN'",
)  # fmt: skip


def test_wild_values_take_no_part_away(migrated: DatabaseConfig, configured: Write, when: When, visit: Open) -> None:
    """Times and amounts that PostgreSQL allows and that mean nothing; bots with one name; no strategy in two ways."""
    database = Database(migrated)
    bots(database, name="grid")
    moment = NOW - timedelta(days=2)
    write(database, [
        trip(moment, "5", strategy_name=""), trip(moment, "7", bot_id=2, strategy_name=None),
        *[trip(moment, "1", interval=f"{n}") for n in range(1, 6)],
    ])  # fmt: skip
    with database.connect() as connection:
        for number, wild in enumerate(WILD, 1):
            connection.exec_driver_sql(f"UPDATE trading_trades SET {wild} WHERE interval = '{number}'")
        connection.exec_driver_sql(
            "INSERT INTO candles (symbol, timeframe, open_time, open, high, low, close, volume) SELECT 'BTC/USDT',"
            " '1h', now() - g * interval '1 hour', 1, 1, 1, 1, 1 FROM generate_series(1, 200) g"
        )
        ids = connection.scalars(sa.select(TradingTrade.id)).all()
    database.dispose()
    configured(migrated)
    when(lambda status: status.mode == "connected" and status.ready)
    app = visit("portfolio")
    assert "4 round trips are in no figure" in words(app)
    assert "+12.00 USDT net" in words(app)
    for part in ("days", "split", "trips", "candles"):
        for days in ({"range": "all"}, {"to": "9999-12-31"}, {"from": "0001-01-01"}, {"to": "4000-12-30"}):
            assert "+12.00 USDT net" in words(shown(app, part=part, **days))
    shown(app, part="split", range="all")
    bots_table = app.table[-1].value
    assert sorted(bots_table["Bot"]) == ["grid \\(1\\)", "grid \\(2\\)"]
    assert len(shown(app, part="trips", strategy="", range="7d").dataframe[0].value) == 2
    for id in ids:
        shown(app, part="candles", trip=str(id))
        assert charts(app) == 3


def test_random_round_trips_break_no_part(migrated: DatabaseConfig, configured: Write, when: When, visit: Open) -> None:
    database = Database(migrated)
    bots(database, balance=None)
    write(database, random_trips(200))
    database.dispose()
    configured(migrated)
    when(lambda status: status.mode == "connected" and status.ready)
    app = visit("portfolio")
    for part in ("days", "split", "positions", "trips", "candles"):
        for kind in ("live", "paper"):
            text = words(shown(app, part=part, kind=kind, range="all", strategy=""))
            assert "the capital is not known" in text
