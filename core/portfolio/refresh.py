"""The rollups brought up to date: the days that have changed, or all of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa

from core.database import Database
from core.models import RollupLevel, TradingRollup, TradingRollupMark, TradingTrade
from core.models.rollups import follow
from core.portfolio import sums, totals
from core.portfolio.scope import Scope
from core.progress import Report, silent

LOCK_WAIT = "2500ms"  # an autovacuum gives way within a second; another refresh may take longer
LOCK_NOT_AVAILABLE = "55P03"
BATCH_DAYS = 100
WORK_MEM = "128MB"  # the sums of some million groups are made in memory
_KEYS = ("day", "trade_type", "currency", "bot_id", "strategy_name")


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did. days: how many were computed anew, None for all; rows: how many rollups that made.

    busy: somebody else is at it, so nothing was done.
    """

    days: int | None
    rows: int
    ms: float
    busy: bool = False


def refresh(db: Database, *, full: bool = False, progress: Report = silent) -> Refreshed:
    """Compute the rollups of the marked days anew, or of all days, and take the marks away; all or nothing.

    Marks that a writer holds at this moment stay for the next time. db: of a role that may write (the runtime role
    is enough). Raises schema.missing_table before the upgrade, permission.table.
    """
    begin = time.perf_counter()
    with db.connect(statement_timeout_s=None) as connection:
        progress(0, 1, "Looking for changed days")
        if connection.dialect.name == "postgresql":  # each statement is to see what was committed before it
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if not _alone(connection):
            return Refreshed(0, 0, (time.perf_counter() - begin) * 1000, busy=True)
        marks = connection.execute(_marks(connection)).all()
        _there, followed = totals.there(connection)
        days = {mark.day for mark in marks}
        if full or not followed or None in days:
            number, rows = None, _everything(connection, progress)
        else:
            number, rows = len(days), _changed(connection, sorted(days), progress)
        # By number: marks that came meanwhile stand for what the statements above may not have seen.
        taken = sa.delete(TradingRollupMark).where(TradingRollupMark.id == sa.bindparam("mark"))
        if marks:
            connection.execute(taken, [{"mark": mark.id} for mark in marks])
        progress(1, 1, "The rollups are up to date")
    return Refreshed(number, rows, (time.perf_counter() - begin) * 1000)


def follow_again(owner: Database) -> bool:
    """Make the triggers again that note changes, if one is missing or switched off; whether that was so.

    owner: of the role that owns the tables. Everything counts as changed afterwards. Raises permission.table.
    """
    with owner.connect() as connection:
        made, followed = totals.there(connection)
        if not made or followed:
            return False
        follow(connection)
        return True


def differing(connection: sa.Connection) -> list[date]:
    """Days whose rollups do not equal their trades although no mark says so: none, unless triggers were circumvented.

    Reads every trade. Oldest first.
    """
    marks = sa.select(TradingRollupMark.day).where(TradingRollupMark.day.is_not(None))
    day = sums.UtcDay(TradingTrade.exit_time)
    measures = _comparable(connection, sums.raw())
    raw = (
        sa.select(day.label("day"), *measures)
        .where(*totals.closed(Scope()), day.not_in(marks))
        .group_by(sa.literal_column("1"))
    )
    found = []
    for level in RollupLevel:
        kept = _comparable(connection, sums.rolled())
        made = (
            sa.select(TradingRollup.day, *kept)
            .where(TradingRollup.level == level, TradingRollup.day.not_in(marks))
            .group_by(TradingRollup.day)
        )
        for first, second in ((raw, made), (made, raw)):
            found.append(sa.select(sa.except_(first, second).subquery().c.day))
    return sorted(set(connection.scalars(sa.union_all(*found))))


def _comparable(connection: sa.Connection, columns: dict[str, sa.ColumnElement[Any]]) -> list[sa.Label[Any]]:
    """The sums as they are; SQLite's depend on the order of adding in their last digits."""
    if connection.dialect.name == "sqlite":
        columns = {name: sa.func.round(column, 6) for name, column in columns.items()}
    return [column.label(name) for name, column in columns.items()]


def _alone(connection: sa.Connection) -> bool:
    """Whether no other refresh is under way; until the end of the transaction none begins, while all may read.

    By a lock on the table: the runtime role may take no advisory lock, which could hold up migrations.
    """
    if connection.dialect.name == "sqlite":
        # A write takes the one writer's place, before anything is read that another could change.
        connection.execute(sa.update(TradingRollupMark).where(sa.false()).values(day=None))
        return True
    settings = "SELECT set_config('work_mem', %s, true), set_config('lock_timeout', %s, true)"
    connection.exec_driver_sql(settings, (WORK_MEM, LOCK_WAIT))
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("LOCK TABLE trading_rollups IN SHARE UPDATE EXCLUSIVE MODE")
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        return False
    return True


def _marks(connection: sa.Connection) -> sa.Select[int, date | None]:
    marks = sa.select(TradingRollupMark.id, TradingRollupMark.day)
    return marks if connection.dialect.name == "sqlite" else marks.with_for_update(skip_locked=True)


def _everything(connection: sa.Connection, progress: Report) -> int:
    progress(0, 1, "Summing every round trip")
    connection.execute(sa.delete(TradingRollup))
    return _insert(connection, sa.true())


def _changed(connection: sa.Connection, days: list[date], progress: Report) -> int:
    rows = 0
    for start in range(0, len(days), BATCH_DAYS):
        progress(start, len(days), f"Summing {len(days):,} changed days")
        batch = days[start : start + BATCH_DAYS]
        connection.execute(sa.delete(TradingRollup).where(TradingRollup.day.in_(batch)))
        day = sums.UtcDay(TradingTrade.exit_time)
        rows += _insert(connection, sa.and_(sa.or_(*totals.ranges(batch)), day.in_(batch)))
    return rows


def _insert(connection: sa.Connection, where: sa.ColumnElement[bool]) -> int:
    """Sum the closed round trips once, finely, and those sums again for each level; how many rows that made."""
    trade = TradingTrade
    keys = {
        "day": sums.UtcDay(trade.exit_time),
        "trade_type": trade.trade_type,
        "currency": trade.currency,
        "bot_id": trade.bot_id,
        "strategy_name": sa.func.coalesce(trade.strategy_name, ""),
        "symbol": trade.symbol,
        "exit_reason": sa.func.coalesce(trade.exit_reason, ""),
    }
    labelled = [column.label(name) for name, column in (keys | sums.raw()).items()]
    fine = sa.select(*labelled).where(*totals.closed(Scope()), where).group_by(*totals.positions(len(keys))).cte("fine")
    now = sa.literal(datetime.now(UTC), TradingRollup.refreshed_at.type)
    levels = [_level(fine, level, now) for level in RollupLevel]
    names = ["level", "part", *_KEYS, *sums.NAMES, "refreshed_at"]
    made = sa.insert(TradingRollup).from_select(names, sa.union_all(*levels), include_defaults=False)
    rows = connection.execute(made, execution_options={"preserve_rowcount": True}).rowcount
    if connection.dialect.name == "sqlite":  # its driver counts only what begins with INSERT
        rows = connection.exec_driver_sql("SELECT changes()").scalar_one()
    return rows


def _level(fine: sa.CTE, level: RollupLevel, now: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """The rows of one level: what it does not split by is 0 or empty."""
    keys: dict[str, sa.ColumnElement[Any]] = {name: fine.c[name] for name in _KEYS}
    part = fine.c[level.value] if level in (RollupLevel.SYMBOL, RollupLevel.EXIT_REASON) else None
    groups = [*keys.values(), *([] if part is None else [part])]
    if level is RollupLevel.DAY:
        groups = [fine.c[name] for name in ("day", "trade_type", "currency")]
        keys |= {"bot_id": sa.literal(0, sa.BigInteger), "strategy_name": sa.literal("", sa.Text)}
    name = sa.literal(level.value, sa.Text).label("level")
    shown = (sa.literal("", sa.Text) if part is None else part).label("part")
    return sa.select(name, shown, *keys.values(), *sums.rolled(fine.c).values(), now).group_by(*groups)
