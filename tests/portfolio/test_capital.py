"""Every point of the equity is the account value with what was earned between the two, after it or before it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from core.database import Database
from core.models import Portfolio
from core.portfolio import equity, refresh, totals
from core.portfolio.capital import Capital, capital
from core.portfolio.equity import Course
from core.portfolio.scope import Scope
from core.settings import DatabaseConfig
from tests.portfolio.trips import BEGIN, Row, bots, trip, write

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LIVE = Scope("live", "USDT")
SEEN = BEGIN + 10 * DAY + 14 * HOUR
TODAY = (BEGIN + 20 * DAY).date()
EXITS = [
    (SEEN - 400 * DAY, "200"), (SEEN - 2 * DAY, "-7.5"), (SEEN - 5 * HOUR, "3"), (SEEN, "11"),
    (SEEN + timedelta(microseconds=1), "-20"), (SEEN + HOUR, "0.25"), (SEEN + 2 * DAY, "-641.89"),
    (datetime.combine(SEEN.date(), time(), SEEN.tzinfo), "1.125"),
    (datetime.combine(SEEN.date() + DAY, time(), SEEN.tzinfo), "5"),
]  # fmt: skip


def value(db: Database, at: datetime, amount: int = 25_000, currency: str = "USDT") -> None:
    with db.connect() as connection:
        row = {"timestamp": at, "total_value": amount, "cash_balance": 1, "currency": currency}
        connection.execute(sa.insert(Portfolio), [row])


def read(db: Database, scope: Scope, bot_ids: list[int]) -> tuple[Capital, Course]:
    """What the page reads, as it reads it."""
    daily = db.ask(totals.totals, scope.ever(), ("day",))
    found = db.ask(capital, scope.ever(), bot_ids)
    return found, equity.course(daily, scope, today=TODAY, capital=found.first(daily))


def expected(rows: list[Row], end: date) -> Decimal:
    """The account at the end of a day: 25,000, and every round trip between that moment and when they were seen."""
    midnight = datetime.combine(end + DAY, time(), SEEN.tzinfo)
    after = sum((row["net_pnl"] for row in rows if SEEN < row["exit_time"] < midnight), Decimal(0))
    before = sum((row["net_pnl"] for row in rows if midnight <= row["exit_time"] <= SEEN), Decimal(0))
    return 25_000 + after - before


@pytest.mark.parametrize("rolled", ["rollups", "trades", "both"])
def test_equity_goes_through_the_account_value(db: Database, rolled: str) -> None:
    ids = bots(db, 2, balance=None)
    rows = [trip(at, net, bot_id=ids[number % 2], symbol="AB"[number % 2]) for number, (at, net) in enumerate(EXITS)]
    write(db, rows if rolled != "both" else rows[::2])
    if rolled != "trades":
        refresh.refresh(db)
    if rolled == "both":
        write(db, rows[1::2])
    write(db, [trip(SEEN - HOUR, "1000", currency="EUR"), trip(SEEN - HOUR, "1000", trade_type="paper")])
    value(db, SEEN)
    value(db, SEEN + 3 * DAY, 9)
    value(db, SEEN - DAY, 7, "EUR")
    seen = SEEN.date()
    for since, until in ((None, None), (seen, None), (seen + DAY, None), (None, seen - 5 * DAY), (seen, seen)):
        scope = Scope("live", "USDT", since, until)
        found, of = read(db, scope, ids)
        assert of.days
        assert equity.begin(of).equity == expected(rows, of.days[0].day - DAY)
        assert [day.equity for day in of.days] == [expected(rows, day.day) for day in of.days]
        assert found.source == f"account value of {seen}, the oldest there is"
        assert found.words(of.days[0].day).endswith(
            "since" if of.days[0].day > seen else "less what was earned until then"
        )
    of_one = [row for row in rows if row["symbol"] == "A"]
    _found, of = read(db, Scope("live", "USDT", symbol="A"), ids)
    assert [day.equity for day in of.days] == [expected(of_one, day.day) for day in of.days]


def test_balances_of_bots_are_what_was_there_before_the_first_round_trip(db: Database) -> None:
    ids = bots(db, 1)
    write(db, [trip(at, net, bot_id=ids[0]) for at, net in EXITS])
    value(db, SEEN)
    found, of = read(db, LIVE, ids)
    assert (of.capital, found.at) == (1000, None)
    assert found.words(of.days[0].day) == "balance less profit of the bot, and what was earned since"
    assert Capital(None, "nobody knows").first({}) is None


@pytest.mark.parametrize("at", ["-infinity", "0044-01-01 BC", "12024-01-01", "infinity"])
def test_account_value_of_an_impossible_time_takes_nothing_away(migrated: DatabaseConfig, at: str) -> None:
    with Database(migrated) as db:
        ids = bots(db, 1, balance=None)
        write(db, [trip(SEEN, "5", bot_id=ids[0])])
        value(db, SEEN)
        with db.connect() as connection:
            connection.execute(sa.text("UPDATE portfolios SET timestamp = CAST(:at AS timestamptz)"), {"at": at})
        _found, of = read(db, LIVE, ids)
        assert of.capital == (25_000 if at in ("-infinity", "0044-01-01 BC") else 24_995)
