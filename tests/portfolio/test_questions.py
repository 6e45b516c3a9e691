"""What the page asks beside the sums: choices, capital, positions, candles; and what its address means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import Database
from core.models import Candle, Portfolio, Position, TradingBot
from core.models.market import LENGTHS
from core.portfolio import address, candles, capital, choices, holdings
from core.portfolio.address import View, scope_of, view_of
from core.portfolio.choices import Choices, Group
from core.portfolio.scope import Scope
from core.settings import DatabaseConfig
from tests.portfolio.trips import BEGIN, bots, trip, write

TODAY = date(2026, 3, 20)
LIVE = Scope("live", "USDT")
HOUR = timedelta(hours=1)


def ask(db: Database, question: Any, *args: Any, **kwargs: Any) -> Any:
    return db.ask(question, *args, **kwargs)


def test_choices_put_live_and_the_busiest_first(db: Database) -> None:
    bots(db, 3)
    write(db, [
        *[trip(BEGIN, bot_id=1, trade_type="paper", currency="EUR", symbol="A") for _ in range(5)],
        *[trip(BEGIN, bot_id=2, symbol="B", strategy_name=None) for _ in range(3)],
        trip(BEGIN, bot_id=3, symbol="C"), trip(BEGIN, bot_id=3, symbol="D", currency="EUR"),
    ])  # fmt: skip
    found = ask(db, choices.choices)
    assert (found.kinds, found.usual_kind) == (["live", "paper"], "live")
    assert (found.currencies("live"), found.currencies("paper")) == (["USDT", "EUR"], ["EUR"])
    assert (found.bots("live", "USDT"), found.strategies("live", "USDT")) == ([2, 3], ["", "trend"])
    assert found.bots("live", "USDT", "trend") == [3]
    assert found.symbols["live", "USDT"] == ("B", "C")
    assert (found.name(2), found.name(77)) == ("bot 1", "bot 77")


def test_bots_with_one_name_are_told_apart(db: Database) -> None:
    bots(db, 3)
    with db.connect() as connection:
        connection.execute(sa.update(TradingBot).where(TradingBot.id < 3).values(name="grid"))
    for found in (ask(db, choices.choices), ask(db, choices.choices_of_bots)):
        assert [found.name(id) for id in (1, 2, 3)] == ["grid (1)", "grid (2)", "bot 2"]


def test_nothing_closed_leaves_no_choice(db: Database) -> None:
    bots(db)
    write(db, [trip(None)])
    assert ask(db, choices.choices).groups == ()
    assert len(ask(db, choices.choices_of_bots).groups) == 2


def test_capital_is_what_the_bots_began_with(db: Database) -> None:
    ids = bots(db, 2, balance=Decimal(1000), total_pnl=Decimal(-50))
    both = ask(db, capital.capital, LIVE, ids)
    assert (both.amount, both.source) == (2100, "balance less profit of the 2 bots")
    assert ask(db, capital.capital, Scope("live", "USDT", bot_id=ids[0]), ids).amount == 1050


def test_capital_of_bots_that_say_nothing_is_the_oldest_account_value(db: Database) -> None:
    ids = bots(db, 2, balance=None)
    assert ask(db, capital.capital, LIVE, ids).amount is None
    values = [(BEGIN, 500, "USDT"), (BEGIN + HOUR, 700, "USDT"), (BEGIN - HOUR, 9, "EUR")]
    with db.connect() as connection:
        rows = [{"timestamp": at, "total_value": value, "cash_balance": 1, "currency": c} for at, value, c in values]
        connection.execute(sa.insert(Portfolio), rows)
    found = ask(db, capital.capital, LIVE, ids)
    assert (found.amount, found.source) == (500, "account value of 2026-03-01, the oldest there is")
    assert ask(db, capital.capital, Scope("live", "USDT", bot_id=ids[0]), ids).amount is None
    assert ask(db, capital.capital, Scope("paper", "USDT"), ids).amount is None


def test_capital_is_not_guessed_from_some_of_the_bots(db: Database) -> None:
    ids = bots(db, 2)
    with db.connect() as connection:
        connection.execute(sa.update(TradingBot).where(TradingBot.id == ids[0]).values(total_pnl=None))
    assert ask(db, capital.capital, LIVE, ids).amount is None


def test_amounts_that_are_no_numbers_count_for_nothing(migrated: DatabaseConfig) -> None:
    with Database(migrated) as db:
        ids = bots(db, 2)
        with db.connect() as connection:
            rows = [{"symbol": symbol, "side": "LONG", "quantity": 1, "market_value": 30, "unrealized_pnl": 2,
                     "currency": "USDT", "status": "OPEN", "metadata_": {}} for symbol in "AB"]  # fmt: skip
            connection.execute(sa.insert(Position), rows)
            connection.exec_driver_sql("UPDATE positions SET market_value='NaN', unrealized_pnl='NaN' WHERE symbol='A'")
            connection.exec_driver_sql("UPDATE trading_bots SET current_balance = 'NaN' WHERE id = 1")
        found = ask(db, holdings.holdings, "USDT")
        assert [(row.symbol, row.value, row.share, row.unrealized_pnl) for row in found.rows] == [
            ("B", 30, 1.0, 2), ("A", 0, 0.0, 0),
        ]  # fmt: skip
        assert (found.value, found.unrealized_pnl) == (30, 2)
        assert ask(db, capital.capital, LIVE, ids).amount is None


def test_holdings_are_of_one_currency_and_add_up(db: Database) -> None:
    rows = [("A", "LONG", 30, 1, "USDT", "OPEN"), ("B", "SHORT", -10, -2, "USDT", "CLOSING"),
            ("C", "LONG", 99, 5, "EUR", "OPEN")]  # fmt: skip
    with db.connect() as connection:
        connection.execute(sa.insert(Position), [
            {"symbol": symbol, "side": side, "quantity": 1, "market_value": value, "unrealized_pnl": pnl,
             "currency": currency, "status": status, "metadata_": {}}
            for symbol, side, value, pnl, currency, status in rows
        ])  # fmt: skip
    found = ask(db, holdings.holdings, "USDT")
    assert [(row.symbol, row.value, row.share, row.closing) for row in found.rows] == [
        ("A", 30, 0.75, False), ("B", 10, 0.25, True),
    ]  # fmt: skip
    assert (found.number, found.value, found.unrealized_pnl) == (2, 40, -1)
    assert ask(db, holdings.holdings, "USDT", "B").number == 1
    assert ask(db, holdings.holdings, "GBP").rows == ()


def add_candles(db: Database, symbol: str, timeframe: str, number: int, end: datetime = BEGIN + 400 * HOUR) -> None:
    length = LENGTHS[timeframe]
    rows = [
        {"symbol": symbol, "timeframe": timeframe, "open_time": end - n * length, "open": 10 + n % 3, "high": 20,
         "low": 5, "close": 10 + n % 5, "volume": 1}
        for n in range(number)
    ]  # fmt: skip
    with db.connect() as connection:
        connection.execute(sa.insert(Candle), rows)


def test_candles_are_as_fine_as_the_time_allows(db: Database) -> None:
    end = BEGIN + 400 * HOUR
    for timeframe, number in (("15m", 300), ("1h", 500), ("1d", 300)):
        add_candles(db, "A", timeframe, number)
    for since, wanted in ((end - 24 * HOUR, "15m"), (end - 200 * HOUR, "1h"), (end - 2000 * HOUR, "1d")):
        found = ask(db, candles.chart, "A", LIVE, since, end)
        assert found.timeframe == wanted
        assert 10 < len(found.bars) <= candles.MOST + 1
        assert found.bars[0].at >= since
    assert ask(db, candles.chart, "A", LIVE, end - 24 * HOUR, end, timeframe="1d").timeframe == "1d"
    assert ask(db, candles.chart, "B", LIVE, end - 24 * HOUR, end).newest is None
    assert ask(db, candles.symbols) == ["A"]


def test_averages_are_those_of_the_closes_before(db: Database) -> None:
    add_candles(db, "A", "1h", 200)
    found = ask(db, candles.chart, "A", LIVE, BEGIN + 350 * HOUR, BEGIN + 400 * HOUR)
    closes = [float(10 + n % 5) for n in range(200)][::-1]
    for number, width in enumerate(candles.AVERAGES):
        assert found.bars[-1].averages[number] == pytest.approx(sum(closes[-width:]) / width)
    add_candles(db, "young", "1h", 30)
    young = ask(db, candles.chart, "young", LIVE, BEGIN + 350 * HOUR, BEGIN + 400 * HOUR)
    assert young.bars[-1].averages[1] is None


def test_trips_on_the_candles_are_those_of_the_scope(db: Database) -> None:
    bots(db)
    add_candles(db, "A", "1h", 100)
    moment = BEGIN + 380 * HOUR
    write(db, [
        trip(moment, "5", symbol="A"), trip(None, None, symbol="A", entry_time=moment),
        trip(moment, symbol="A", trade_type="paper"), trip(moment, symbol="B"),
        trip(moment, symbol="A", strategy_name=None), trip(moment, symbol="A", bot_id=2),
        trip(moment - 300 * HOUR, symbol="A"), trip(moment, symbol="A", currency="EUR"),
        trip(moment, "7", symbol="A", entry_time=moment - 60 * HOUR),
        trip(moment + 60 * HOUR, symbol="A", entry_time=moment - 60 * HOUR),
    ])  # fmt: skip
    since, until = BEGIN + 350 * HOUR, BEGIN + 400 * HOUR
    shown = ask(db, candles.chart, "A", LIVE, since, until).trips
    assert len(shown) == 5
    assert [one.entry_time < since for one in shown if one.net_pnl == 7] == [True]
    assert len(ask(db, candles.chart, "A", Scope("live", "EUR"), since, until).trips) == 1
    assert len(ask(db, candles.chart, "A", Scope("live", "USDT", bot_id=1, strategy=""), since, until).trips) == 1
    one = next(t for t in ask(db, candles.chart, "A", LIVE, since, until).trips if t.net_pnl == 5)
    assert ask(db, candles.trip, one.id) == one
    assert ask(db, candles.trip, 404) is None
    begin, end = candles.around(one, until)
    assert begin < one.entry_time < one.exit_time < end <= until


def test_wild_times_of_a_round_trip_have_a_picture() -> None:
    usual = candles.Trip(1, "LONG", BEGIN, Decimal(1), None, None, None, None, None, None, "USDT", "A", "1h")
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for entered, left in ((first, BEGIN), (first, None), (BEGIN, last), (last, last), (BEGIN, first)):
        begin, end = candles.around(replace(usual, entry_time=entered, exit_time=left), BEGIN + HOUR)
        assert begin.year > 1800
        assert end.year < 2200


def test_days_beyond_what_is_summed_are_the_nearest_that_are() -> None:
    found = scope_of(view_of({"from": "0001-01-01", "to": "9999-12-31"}), Choices((), {}, {}), TODAY)
    assert (found.since, found.until) == (date(1900, 1, 1), date(2199, 12, 31))


VIEWS = [
    View(),
    View(range="all", kind="paper", currency="EUR", symbol="BTC/USDT & ☃", bot=7, strategy="", part="trips"),
    View(since=date(2026, 1, 2), until=date(2026, 2, 3), strategy="a=b&c", after="token+/="),
    View(range="7d", part="candles", coin="ETH/USDT", bot=-3, trip=-12),
]


@pytest.mark.parametrize("view", VIEWS)
def test_address_means_the_view_it_was_made_of(view: View) -> None:
    assert view_of(view.params()) == view


@pytest.mark.parametrize(
    "params",
    [
        {"range": "5000y", "part": "x", "bot": "--1", "trip": "1e9", "from": "2026-13-01", "to": "soon"},
        {"bot": "9" * 40, "trip": "٣"},
        {"range": "", "from": "", "symbol": "", "currency": ""},
    ],
)
def test_nonsense_in_the_address_is_left_out(params: dict[str, str]) -> None:
    assert view_of(params) == View()


def test_days_that_are_the_wrong_way_round_are_turned() -> None:
    assert view_of({"from": "2026-02-03", "to": "2026-01-02"}).since == date(2026, 1, 2)


def test_scope_takes_what_exists_where_the_address_names_something_else() -> None:
    groups = (Group("live", "USDT", 1, "", 5), Group("live", "EUR", 1, "", 1), Group("paper", "BTC", 2, "", 9))
    there = Choices(groups, {}, {})
    assert scope_of(View(kind="nonsense", currency="GBP"), there, TODAY) == Scope(
        "live", "USDT", date(2025, 12, 21), TODAY
    )
    assert scope_of(View(kind="paper", range="all"), there, TODAY) == Scope("paper", "BTC")
    assert scope_of(View(since=TODAY, range="7d"), there, TODAY) == Scope("live", "USDT", TODAY)
    week = scope_of(View(range="7d", currency="EUR"), there, TODAY)
    assert (week.currency, (week.until - week.since).days) == ("EUR", 6)  # type: ignore[operator]
    assert set(address.LABELS) == set(address.RANGES)
