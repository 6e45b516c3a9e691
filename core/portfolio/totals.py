"""Sums of closed round trips by day, symbol or anything else: from the rollups, and from the trades where they changed.

One statement reads marks, rollups and trades in one snapshot, so that the result equals the sums over the trades
themselves at that moment, whatever is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from core.models import RoundTripStatus, TradingRollup, TradingRollupMark, TradingTrade
from core.models.rollups import FIRST_DAY, LAST_DAY, TRIGGERS
from core.portfolio import sums
from core.portfolio.scope import Scope
from core.portfolio.sums import Sums, UtcDay

By = Literal["day", "trade_type", "currency", "bot_id", "strategy", "symbol", "exit_reason"]
MANY_DAYS = 62  # reading more days than that from the trades may take a while
MANY_ROWS = 200_000  # summing so many takes about as long as anybody waits without a word
RANGES = 20
TRIES = 5
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Rollups:
    """Where the rollups stand. state: ready; unbuilt (everything has changed); absent (an older schema); unfollowed
    (the triggers are gone, so nobody knows what has changed). changed: days that are read from the trades.

    slow: so many trades have to be read that a page should not wait.
    """

    state: Literal["ready", "unbuilt", "absent", "unfollowed"]
    changed: frozenset[date] = frozenset()
    refreshed_at: datetime | None = None
    slow: bool = False


def rollups(connection: sa.Connection) -> Rollups:
    """Where the rollups stand now; from catalog, marks and one look at the rollups."""
    made, followed = there(connection)
    if not made:
        return Rollups("absent", slow=_many(connection))
    newest = sa.select(sa.func.max(TradingRollup.refreshed_at)).where(TradingRollup.level == "day")
    refreshed = connection.scalar(newest)
    if not followed:
        return Rollups("unfollowed", refreshed_at=refreshed, slow=_many(connection))
    days = set(connection.scalars(sa.select(TradingRollupMark.day).distinct()))
    if None in days:
        return Rollups("unbuilt", refreshed_at=refreshed, slow=_many(connection))
    changed = frozenset(day for day in days if day is not None)
    return Rollups("ready", changed, refreshed, slow=len(changed) > MANY_DAYS and _many(connection))


def there(connection: sa.Connection) -> tuple[bool, bool]:
    """Whether the rollups' tables are there, and whether every trigger is, and fires."""
    names, triggers = (TradingRollup.__tablename__, TradingRollupMark.__tablename__), TRIGGERS["postgresql"]
    if connection.dialect.name == "sqlite":
        found = set(connection.scalars(sa.text("SELECT name FROM sqlite_master")))
        return found.issuperset(names), found.issuperset(TRIGGERS["sqlite"])
    row = connection.execute(
        sa.text("""
            SELECT to_regclass(:first) IS NOT NULL AND to_regclass(:second) IS NOT NULL,
                   (SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass('trading_trades')
                    AND tgname = ANY(:triggers) AND tgenabled IN ('O', 'A'))"""),
        {"first": names[0], "second": names[1], "triggers": list(triggers)},
    ).one()
    return row[0], row[1] == len(triggers)


def _many(connection: sa.Connection) -> bool:
    some = sa.select(sa.literal(1)).select_from(TradingTrade).limit(MANY_ROWS).subquery()
    return (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) >= MANY_ROWS


def totals(
    connection: sa.Connection, scope: Scope, by: Sequence[By], *, given: Rollups | None = None
) -> dict[tuple[Any, ...], Sums]:
    """The values of `by` -> what the round trips of the scope with these values come to.

    given: where the rollups stood a moment ago; asked for otherwise. An empty text stands for "none named".
    """
    standing = given or rollups(connection)
    level = _level(scope, by)
    if standing.state != "ready" or level is None:
        return _of_trades(connection, scope, by)
    changed = standing.changed
    for _ in range(TRIES):
        rows = connection.execute(_from_both(scope, by, level, changed)).all()
        marked = {row.marked for row in rows if row.is_mark}
        if None in marked:  # emptied since
            break
        if marked <= changed:
            return _added([row for row in rows if not row.is_mark], len(by))
        changed = changed | marked  # somebody wrote since: read those days from the trades, too
    return _of_trades(connection, scope, by)


def _level(scope: Scope, by: Sequence[By]) -> str | None:
    """The coarsest level that knows what is asked for; None if only the trades do."""
    parts = {name for name in by if name in ("symbol", "exit_reason")} | ({"symbol"} if scope.symbol else set())
    if len(parts) > 1:
        return None
    apart = scope.bot_id is not None or scope.strategy is not None or {"bot_id", "strategy"} & set(by)
    return next(iter(parts), "bot" if apart else "day")


def daily_net(connection: sa.Connection, scope: Scope) -> dict[tuple[Any, ...], Sums]:
    """(day,) -> sums of which only net_pnl and the number of round trips with one are made: what a curve needs.

    Read from the trades alone in half the time of all sums, for when there are many and no rollups.
    """
    day = UtcDay(TradingTrade.exit_time).label("day")

    def asked(made: dict[str, sa.ColumnElement[Any]]) -> sa.Select[Any]:
        wanted = sa.select(day, made["valued"].label("valued"), made["net_pnl"].label("net_pnl"))
        return wanted.where(*closed(scope)).group_by(*positions(1))

    rows = _read(connection, asked)
    return {(row.day,): Sums(row.valued, row.valued, net_pnl=row.net_pnl) for row in rows}


def _of_trades(connection: sa.Connection, scope: Scope, by: Sequence[By]) -> dict[tuple[Any, ...], Sums]:
    """The sums from the trades alone."""
    return _added(_read(connection, lambda made: _from_trades(scope, by, made)), len(by))


def _read(
    connection: sa.Connection, asked: Callable[[dict[str, sa.ColumnElement[Any]]], sa.Select[Any]]
) -> Sequence[sa.Row[Any]]:
    """The rows of a statement over every trade, which is asked again with care for NaN where a sum came out as one.

    To look for it in each trade takes half as long again.
    """
    rows = connection.execute(asked(sums.raw(wary=False))).all()
    if any(isinstance(value, Decimal) and value.is_nan() for row in rows for value in row):
        rows = connection.execute(asked(sums.raw())).all()
    return rows


def _added(rows: Sequence[Any], width: int) -> dict[tuple[Any, ...], Sums]:
    found: dict[tuple[Any, ...], Sums] = {}
    for row in rows:
        key, own = tuple(row[:width]), Sums(*row[width : width + len(sums.NAMES)])
        found[key] = found[key] + own if key in found else own
    return found


def _from_both(scope: Scope, by: Sequence[By], level: str, changed: Collection[date]) -> sa.CompoundSelect[Any]:
    """Rollups of the days without a mark, trades of those with one, and the marks: three parts of one statement."""
    marks = sa.select(TradingRollupMark.day).where(TradingRollupMark.day.is_not(None))
    days = [day for day in changed if _within(day, scope)]
    part = TradingRollup.part
    keys: dict[str, Any] = {"strategy": TradingRollup.strategy_name, "symbol": part, "exit_reason": part}
    columns = [(keys[name] if name in keys else getattr(TradingRollup, name)).label(name) for name in by]
    made = (
        sa.select(*columns, *_labelled(sums.rolled()), sa.false().label("is_mark"), _no_day())
        .where(TradingRollup.level == level, TradingRollup.day.not_in(marks), *_of_rollups(scope))
        .group_by(*columns)
    )
    parts: list[sa.Select[Any]] = [made]
    if days:
        parts.append(_from_trades(scope, by, sums.raw()).add_columns(sa.false(), _no_day()))
        day = UtcDay(TradingTrade.exit_time)
        parts[-1] = parts[-1].where(sa.or_(*ranges(days)), day.in_(marks))
    empty = [sa.cast(sa.null(), column.type) for column in made.selected_columns][:-2]
    parts.append(sa.select(*empty, sa.true(), TradingRollupMark.day).distinct())
    return sa.union_all(*parts)


def _from_trades(scope: Scope, by: Sequence[By], made: dict[str, sa.ColumnElement[Any]]) -> sa.Select[Any]:
    trade = TradingTrade
    keys: dict[str, Any] = {
        "day": UtcDay(trade.exit_time),
        "strategy": sa.func.coalesce(trade.strategy_name, ""),
        "exit_reason": sa.func.coalesce(trade.exit_reason, ""),
    }
    columns = [(keys[name] if name in keys else getattr(trade, name)).label(name) for name in by]
    # By position: a second equal expression with parameters of its own would not be the same to the server.
    return sa.select(*columns, *_labelled(made)).where(*closed(scope)).group_by(*positions(len(by)))


def closed(scope: Scope) -> list[sa.ColumnElement[bool]]:
    """The conditions under which a row of trading_trades is a closed round trip of the scope."""
    trade = TradingTrade
    since, until = max(scope.since or FIRST_DAY, FIRST_DAY), min(scope.until or LAST_DAY, LAST_DAY)
    found: list[sa.ColumnElement[bool]] = [trade.status == RoundTripStatus.CLOSED]
    found += [trade.exit_time >= midnight(since), trade.exit_time < midnight(until + DAY)]
    if scope.symbol is not None:
        found.append(trade.symbol == scope.symbol)
    if scope.strategy is not None:
        found.append(trade.strategy_name == scope.strategy if scope.strategy else _unnamed(trade.strategy_name))
    return found + _same(trade, scope)


def left_out(connection: sa.Connection) -> int:
    """How many closed round trips are in no sum, because their exit lies in no year that counts."""
    when = TradingTrade.exit_time
    outside = sa.or_(when < midnight(FIRST_DAY), when >= midnight(LAST_DAY + DAY))
    asked = sa.select(sa.func.count()).where(TradingTrade.status == RoundTripStatus.CLOSED, outside)
    return connection.scalar(asked) or 0


def _unnamed(column: Any) -> sa.ColumnElement[bool]:
    return sa.or_(column.is_(None), column == "")


def _of_rollups(scope: Scope) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if scope.since:
        found.append(TradingRollup.day >= scope.since)
    if scope.until:
        found.append(TradingRollup.day <= scope.until)
    if scope.symbol is not None:
        found.append(TradingRollup.part == scope.symbol)
    if scope.strategy is not None:
        found.append(TradingRollup.strategy_name == scope.strategy)
    return found + _same(TradingRollup, scope)


def _same(of: Any, scope: Scope) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    for name in ("trade_type", "currency", "bot_id"):
        if (value := getattr(scope, name)) is not None:
            found.append(getattr(of, name) == value)
    return found


def _within(day: date, scope: Scope) -> bool:
    return (scope.since is None or day >= scope.since) and (scope.until is None or day <= scope.until)


def ranges(days: Collection[date]) -> list[sa.ColumnElement[bool]]:
    """The days as few stretches of exit times: the index serves them."""
    stretches: list[tuple[date, date]] = []
    for day in sorted(days):
        if stretches and day - stretches[-1][1] <= DAY:
            stretches[-1] = (stretches[-1][0], day)
        else:
            stretches.append((day, day))
    if len(stretches) > RANGES:
        stretches = [(stretches[0][0], stretches[-1][1])]
    return [
        sa.and_(TradingTrade.exit_time >= midnight(first), TradingTrade.exit_time < midnight(last + DAY))
        for first, last in stretches
    ]


def midnight(day: date) -> datetime:
    """The moment at which a UTC day begins."""
    return datetime.combine(day, time(), UTC)


def positions(number: int) -> list[sa.ColumnElement[int]]:
    """The first so many columns, for GROUP BY."""
    return [sa.literal_column(str(one), sa.Integer) for one in range(1, number + 1)]


def _labelled(columns: dict[str, sa.ColumnElement[Any]]) -> list[sa.Label[Any]]:
    return [column.label(name) for name, column in columns.items()]


def _no_day() -> sa.Label[Any]:
    return sa.cast(sa.null(), sa.Date).label("marked")
