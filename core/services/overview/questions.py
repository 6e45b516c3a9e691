"""What the Overview asks the database: account values, profits, positions, alerts, trades and bots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.functions import FunctionElement

from core.models import Alert, Portfolio, Position, Trade, TradingBot, TradingTrade
from core.models.spelled import spelled

EQUITY_DAYS, POINTS = 30, 60
PNL_DAYS = 14
DAY_S = 86_400
ALIVE_S = 300
SEVERITIES = ("EMERGENCY", "CRITICAL", "WARNING", "INFO")


@dataclass(frozen=True)
class Equity:
    """An account's value; points are values from since until at, oldest first, in the same currency."""

    currency: str
    value: Decimal
    at: datetime
    since: datetime
    points: tuple[Decimal, ...]


@dataclass(frozen=True)
class Profit:
    """Net profit of live round trips that were closed since midnight UTC; None where none was.

    days: the profit of each of the last PNL_DAYS days, oldest first, today last; None for a day without one.
    """

    currency: str
    today: Decimal | None
    trips: int
    days: tuple[Decimal | None, ...]


@dataclass(frozen=True)
class Bots:
    """How many bots there are, run, and were heard of within ALIVE_S."""

    alive: int
    running: int
    total: int


@dataclass(frozen=True)
class Figures:
    """What the Overview counts. None, or nothing in it, means that the table has no rows: no data, not 0."""

    equity: tuple[Equity, ...] = ()
    profit: tuple[Profit, ...] = ()
    open_positions: int | None = None
    open_alerts: dict[str, int] | None = None
    last_trade_at: datetime | None = None
    bots: Bots | None = None

    @property
    def currency(self) -> str | None:
        """The currency that is shown first: the one with the most live round trips, else with the most values."""
        found = [one.currency for one in self.profit] + [one.currency for one in self.equity]
        return found[0] if found else None

    @property
    def alerts(self) -> int | None:
        """All alerts that are not resolved."""
        return None if self.open_alerts is None else sum(self.open_alerts.values())

    @property
    def empty(self) -> bool:
        """Whether nothing has ever been written."""
        return self == Figures()


@dataclass(frozen=True)
class AlertRow:
    """One alert that is not resolved."""

    severity: str
    message: str
    at: datetime


@dataclass(frozen=True)
class TradeRow:
    """One execution; pnl: net profit of the live round trips that it closed, None if it closed none."""

    at: datetime
    symbol: str
    action: str
    quantity: Decimal
    price: Decimal
    currency: str
    status: str
    pnl: Decimal | None


# date_part gives a double; extract a numeric, which makes a hundred thousand rows four times as slow. On SQLite whole
# seconds only: it rounds to milliseconds, which may be the next day.
@spelled(
    "floor(date_part('epoch', {0}) / {1})::bigint",
    "CAST(strftime('%s', substr({0}, 1, 19)) AS INTEGER) / {1}",
)
class Bucket(FunctionElement[int]):
    """The number of whole stretches of `seconds` between 1970 and a time."""

    inherit_cache = True
    type = sa.BigInteger()

    def __init__(self, column: Any, seconds: int) -> None:
        super().__init__(column, sa.literal_column(str(int(seconds))))


def figures(connection: sa.Connection, *, now: datetime | None = None) -> Figures:
    """All figures of the Overview, from one or two statements each."""
    now = now or datetime.now(UTC)
    return Figures(
        equity=equity(connection, now=now),
        profit=profit(connection, now=now),
        open_positions=open_positions(connection),
        open_alerts=open_alerts(connection),
        last_trade_at=last_trade_at(connection),
        bots=bots(connection, now=now),
    )


def equity(connection: sa.Connection, *, now: datetime, days: int = EQUITY_DAYS) -> tuple[Equity, ...]:
    """Each currency's account value with at most POINTS earlier ones, the currency with the most first.

    A point is the last value in its stretch of time. Without a row in these days: the newest row there is.
    """
    stretch = Bucket(Portfolio.timestamp, days * DAY_S // POINTS)
    # In two statements: in one, the planner expects as many stretches as rows, and reads the whole table to join them.
    newest = connection.execute(
        sa.select(Portfolio.currency, sa.func.max(Portfolio.timestamp))
        .where(Portfolio.timestamp > now - timedelta(days=days))
        .group_by(Portfolio.currency, stretch)
    ).all()
    values = sa.select(Portfolio.currency, Portfolio.timestamp, Portfolio.total_value)
    if newest:
        wanted = values.where(Portfolio.timestamp.in_([moment for _, moment in newest]))
        chosen = {(currency, moment) for currency, moment in newest}
        ordered = connection.execute(wanted.order_by(Portfolio.timestamp, Portfolio.id))
        rows = [row for row in ordered if (row.currency, row.timestamp) in chosen]
    else:
        rows = list(connection.execute(values.order_by(Portfolio.timestamp.desc()).limit(1)))
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.currency, []).append(row)
    accounts = [_equity(currency, own[-POINTS:]) for currency, own in found.items()]
    return tuple(sorted(accounts, key=lambda account: (-len(account.points), account.currency)))


def _equity(currency: str, rows: list[Any]) -> Equity:
    first, last = rows[0], rows[-1]
    return Equity(currency, last.total_value, last.timestamp, first.timestamp, tuple(row.total_value for row in rows))


def profit(connection: sa.Connection, *, now: datetime, days: int = PNL_DAYS) -> tuple[Profit, ...]:
    """Each currency's net profit by UTC day of the exit, the currency with the most round trips first.

    Live bots only: paper trades and backtests earn nothing.
    """
    today = int(now.timestamp()) // DAY_S
    since = datetime.fromtimestamp((today - days + 1) * DAY_S, UTC)
    day = Bucket(TradingTrade.exit_time, DAY_S).label("day")
    net, number = sa.func.sum(TradingTrade.net_pnl).label("net"), sa.func.count().label("n")
    rows = connection.execute(
        sa.select(TradingTrade.currency, day, net, number)
        .where(
            TradingTrade.exit_time >= since,
            TradingTrade.exit_time <= now,
            TradingTrade.status == "CLOSED",
            TradingTrade.trade_type == "live",
        )
        .group_by(TradingTrade.currency, day)
    ).all()
    found: dict[str, dict[int, Any]] = {}
    for row in rows:
        found.setdefault(row.currency, {})[row.day] = row
    order = sorted(found, key=lambda currency: (-sum(row.n for row in found[currency].values()), currency))
    return tuple(_profit(currency, found[currency], today, days) for currency in order)


def _profit(currency: str, by_day: dict[int, Any], today: int, days: int) -> Profit:
    nets = tuple(by_day[day].net if day in by_day else None for day in range(today - days + 1, today + 1))
    return Profit(currency, nets[-1], by_day[today].n if today in by_day else 0, nets)


def open_positions(connection: sa.Connection) -> int | None:
    """How many positions are open; None if there never was one."""
    number = sa.select(sa.func.count()).where(Position.status == "OPEN").scalar_subquery()
    row = connection.execute(sa.select(number, sa.exists(sa.select(Position.id)))).one()
    return row[0] if row[1] else None


def open_alerts(connection: sa.Connection) -> dict[str, int] | None:
    """Severity -> number of alerts that are not resolved, the worst first; None if there never was an alert."""
    unresolved = sa.select(Alert.severity, sa.func.count()).where(~Alert.resolved).group_by(Alert.severity)
    found = {str(severity): number for severity, number in connection.execute(unresolved)}
    if not found and not connection.scalar(sa.select(sa.exists(sa.select(Alert.id)))):
        return None
    return dict(sorted(found.items(), key=lambda item: _rank(item[0])))


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def last_trade_at(connection: sa.Connection) -> datetime | None:
    """When the newest execution happened; None if there is none."""
    return connection.scalar(sa.select(Trade.executed_at).order_by(Trade.executed_at.desc()).limit(1))


def bots(connection: sa.Connection, *, now: datetime, seconds: int = ALIVE_S) -> Bots | None:
    """How many bots are alive, which means a heartbeat within so many seconds, run, and exist; None without bots."""
    alive = sa.case((TradingBot.last_heartbeat >= now - timedelta(seconds=seconds), 1))
    running = sa.case((TradingBot.status == "running", 1))
    row = connection.execute(
        sa.select(sa.func.count(alive), sa.func.count(running), sa.func.count()).select_from(TradingBot)
    ).one()
    return Bots(alive=row[0], running=row[1], total=row[2]) if row[2] else None


def latest_alerts(connection: sa.Connection, *, limit: int = 5) -> list[AlertRow]:
    """The newest alerts that are not resolved, newest first."""
    rows = connection.execute(
        sa.select(Alert.severity, Alert.message, Alert.timestamp)
        .where(~Alert.resolved)
        .order_by(Alert.timestamp.desc(), Alert.id.desc())
        .limit(limit)
    )
    return [AlertRow(str(row.severity), row.message, row.timestamp) for row in rows]


def latest_trades(connection: sa.Connection, *, limit: int = 8) -> list[TradeRow]:
    """The newest executions, newest first.

    An execution closed the live round trips of its symbol whose exit has the same time.
    """
    newest = sa.select(Trade).order_by(Trade.executed_at.desc(), Trade.id.desc()).limit(limit).subquery()
    pnl = (
        sa.select(sa.func.sum(TradingTrade.net_pnl))
        .where(
            TradingTrade.exit_time == newest.c.executed_at,
            TradingTrade.symbol == newest.c.symbol,
            TradingTrade.status == "CLOSED",
            TradingTrade.trade_type == "live",
        )
        .scalar_subquery()
    )
    names = ("symbol", "action", "quantity", "price", "currency", "status")
    rows = connection.execute(
        sa.select(newest.c.executed_at.label("at"), *(newest.c[name] for name in names), pnl.label("pnl")).order_by(
            newest.c.executed_at.desc(), newest.c.id.desc()
        )
    )
    return [TradeRow(**row) for row in rows.mappings()]
