"""Candles of one symbol, with the round trips that were entered or left in their time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from core.models import Candle, RoundTripStatus, Timeframe, TradingTrade
from core.models.market import LENGTHS
from core.models.rollups import FIRST_DAY
from core.portfolio.scope import Scope
from core.portfolio.sums import finite
from core.portfolio.totals import DAY, midnight
from core.repositories.base import each_of

MOST, MOST_TRIPS = 400, 200
AVERAGES = (20, 50)
AROUND = 40  # candles before the entry and after the exit of a round trip that is looked at
FIRST = datetime.combine(FIRST_DAY, time(), UTC)
HELD = timedelta(days=366)  # how long before the time a round trip may have been entered that was left in it


@dataclass(frozen=True)
class Bar:
    """One candle; averages: of the closes of as many candles up to this one, as AVERAGES has them, None for too few."""

    at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    averages: tuple[float | None, ...]


@dataclass(frozen=True)
class Trip:
    """One round trip, with what decided on entry and exit. net_pnl in currency; exit fields None while it is open."""

    id: int
    direction: str
    entry_time: datetime
    entry_price: Decimal
    entry_logic: str | None
    exit_time: datetime | None
    exit_price: Decimal | None
    exit_logic: str | None
    exit_reason: str | None
    net_pnl: Decimal | None
    currency: str
    symbol: str
    interval: str


@dataclass(frozen=True)
class Chart:
    """The bars of one symbol and timeframe, oldest first, and its round trips; more: how many trips are not shown.

    newest: when the newest candle of the symbol begins, None where there is none at all.
    """

    symbol: str
    timeframe: str | None
    bars: tuple[Bar, ...]
    trips: tuple[Trip, ...]
    more: int
    newest: datetime | None


def trip(connection: sa.Connection, id: int) -> Trip | None:
    """The round trip of that number."""
    row = connection.execute(_trips().where(TradingTrade.id == id).limit(1)).first()
    return None if row is None else Trip(*row)


def symbols(connection: sa.Connection) -> list[str]:
    """The symbols that have candles."""
    return list(connection.scalars(each_of(Candle.symbol)))  # the table holds millions of candles of a few symbols


def of_range(connection: sa.Connection, symbol: str, scope: Scope) -> Chart:
    """The candles of the scope's days, up to now; of a year where it has no begin."""
    now = datetime.now(UTC)
    until = min(now, midnight(scope.until + DAY)) if scope.until else now
    return chart(connection, symbol, scope, midnight(scope.since) if scope.since else until - 365 * DAY, until)


def of_trip(connection: sa.Connection, trip: Trip, scope: Scope) -> Chart:
    """A round trip on candles of its own length, if there are any from its time; else on longer ones."""
    now, timeframe = datetime.now(UTC), trip.interval
    while True:
        found = chart(connection, trip.symbol, scope, *around(trip, now, timeframe), timeframe=timeframe)
        if found.timeframe in (None, timeframe) or timeframe != trip.interval:
            return found
        timeframe = found.timeframe


def chart(
    connection: sa.Connection, symbol: str, scope: Scope, since: datetime, until: datetime, *, timeframe: str = ""
) -> Chart:
    """At most MOST candles between two moments, and the scope's round trips in their time.

    timeframe: that one, if the symbol has it; otherwise the finest that shows the whole time.
    """
    newest = {
        kind: connection.scalar(
            sa.select(Candle.open_time)
            .where(Candle.symbol == symbol, Candle.timeframe == kind)
            .order_by(Candle.open_time.desc())
            .limit(1)
        )
        for kind in Timeframe
    }
    there = {str(kind): moment for kind, moment in newest.items() if moment is not None}
    if not there:
        return Chart(symbol, None, (), (), 0, None)
    wanted = timeframe in there and _reaches(connection, symbol, timeframe, since)
    chosen = timeframe if wanted else _fitting(connection, symbol, list(there), since, until)
    length = LENGTHS[chosen]
    begin = max(since, min(until, there[chosen]) - MOST * length)
    bars = _bars(connection, symbol, chosen, begin - max(AVERAGES) * length, begin, until)
    trips, more = _within(connection, symbol, scope, begin, until)
    return Chart(symbol, chosen, bars, trips, more, max(there.values()))


def around(of: Trip, now: datetime, timeframe: str = "") -> tuple[datetime, datetime]:
    """The time that shows a round trip with what came before and after, in candles of its own or another length."""
    length = LENGTHS.get(timeframe or of.interval, LENGTHS[Timeframe.H1])
    begin = min(max(of.entry_time, FIRST), now)
    end = max(begin, min(of.exit_time or now, now))
    room = max(AROUND * length, (end - begin) / 4)
    return begin - room, min(now, end + room)


def _fitting(connection: sa.Connection, symbol: str, there: list[str], since: datetime, until: datetime) -> str:
    """The finest timeframe whose candles cover the time in at most MOST; the coarsest one where none does."""
    for kind in sorted(there, key=LENGTHS.__getitem__):
        if (until - since) / LENGTHS[kind] > MOST:
            continue
        if _reaches(connection, symbol, kind, since):
            return kind
    return max(there, key=LENGTHS.__getitem__)


def _reaches(connection: sa.Connection, symbol: str, timeframe: str, since: datetime) -> bool:
    """Whether the candles go back as far."""
    oldest = connection.scalar(
        sa.select(sa.func.min(Candle.open_time)).where(Candle.symbol == symbol, Candle.timeframe == timeframe)
    )
    return oldest is not None and oldest <= since + 2 * LENGTHS[timeframe]


def _bars(
    connection: sa.Connection, symbol: str, timeframe: str, warm_up: datetime, begin: datetime, until: datetime
) -> tuple[Bar, ...]:
    found = connection.execute(
        sa.select(Candle.open_time, Candle.open, Candle.high, Candle.low, Candle.close)
        .where(
            Candle.symbol == symbol,
            Candle.timeframe == timeframe,
            Candle.open_time >= warm_up,
            Candle.open_time <= until,
        )
        .order_by(Candle.open_time)
    ).all()
    rows = [row for row in found if all(finite(value) for value in row[1:])]
    closes = [float(row.close) for row in rows]
    return tuple(
        Bar(*row, averages=tuple(_average(closes, number, width) for width in AVERAGES))
        for number, row in enumerate(rows)
        if row.open_time >= begin
    )


def _average(closes: list[float], number: int, width: int) -> float | None:
    return None if number + 1 < width else sum(closes[number + 1 - width : number + 1]) / width


def _trips() -> sa.Select[Any]:
    trade = TradingTrade
    found: Any = sa.select(
        trade.id, trade.direction, trade.entry_time, trade.entry_price, trade.entry_logic_name, trade.exit_time,
        trade.exit_price, trade.exit_logic_name, trade.exit_reason, trade.net_pnl, trade.currency, trade.symbol,
        trade.interval,
    )  # fmt: skip
    return found


def _within(
    connection: sa.Connection, symbol: str, scope: Scope, begin: datetime, until: datetime
) -> tuple[tuple[Trip, ...], int]:
    """The newest round trips of the scope that were entered or left in the time, and how many more there are."""
    trade = TradingTrade
    inside = sa.or_(trade.entry_time >= begin, trade.exit_time.between(begin, until))
    own = [trade.symbol == symbol, trade.entry_time.between(begin - HELD, until), inside]
    own += [trade.status != RoundTripStatus.CANCELLED]
    same = ((trade.trade_type, scope.trade_type), (trade.currency, scope.currency), (trade.bot_id, scope.bot_id))
    for column, value in same:
        if value is not None:
            own.append(column == value)
    if scope.strategy is not None:
        own.append(sa.func.coalesce(trade.strategy_name, "") == scope.strategy)
    rows = connection.execute(
        _trips().where(*own).order_by(trade.entry_time.desc(), trade.id.desc()).limit(MOST_TRIPS + 1)
    ).all()
    more = 0
    if len(rows) > MOST_TRIPS:
        more = (connection.scalar(sa.select(sa.func.count()).select_from(trade).where(*own)) or 0) - MOST_TRIPS
    return tuple(Trip(*row) for row in rows[:MOST_TRIPS]), more
