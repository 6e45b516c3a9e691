"""What closed round trips come to, and the expressions that sum them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, TypeGuard

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.functions import FunctionElement

from core.models import TradingRollup, TradingTrade
from core.models.base import Exact
from core.models.spelled import spelled

ZERO = Decimal(0)


@dataclass(frozen=True)
class Sums:
    """Sums over closed round trips. valued: those with a net profit, on which wins, losses and averages are based.

    Money in the round trips' currency; profit is that of the wins alone; hold_s seconds from entry to exit.
    """

    trips: int = 0
    valued: int = 0
    wins: int = 0
    losses: int = 0
    net_pnl: Decimal = ZERO
    gross_pnl: Decimal = ZERO
    commission: Decimal = ZERO
    profit: Decimal = ZERO
    best_pnl: Decimal | None = None
    worst_pnl: Decimal | None = None
    hold_s: Decimal = ZERO
    hold_wins_s: Decimal = ZERO

    @property
    def loss(self) -> Decimal:
        """What the losses come to, as a positive amount."""
        return self.profit - self.net_pnl

    def __add__(self, other: Sums) -> Sums:
        values = {name: getattr(self, name) + getattr(other, name) for name in ADDED}
        best = [one for one in (self.best_pnl, other.best_pnl) if one is not None]
        worst = [one for one in (self.worst_pnl, other.worst_pnl) if one is not None]
        return Sums(**values, best_pnl=max(best, default=None), worst_pnl=min(worst, default=None))


class Amount(Exact):
    """numeric as the driver gives it, Decimal already; thousands of sums are read at once."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)


MONEY = Amount(28, 10)
NAMES = tuple(field.name for field in fields(Sums))
ADDED = tuple(name for name in NAMES if name not in ("best_pnl", "worst_pnl"))
COUNTS = ("trips", "valued", "wins", "losses")


@spelled("CAST({0} AT TIME ZONE 'UTC' AS date)", "substr({0}, 1, 10)")
class UtcDay(FunctionElement[Any]):
    """The UTC day of a time."""

    inherit_cache = True
    type = sa.Date()


@spelled("isfinite({0})", "{0} IS NOT NULL")
class Finite(FunctionElement[bool]):
    """Whether a time is a moment: nothing was held since PostgreSQL's infinity."""

    inherit_cache = True
    type = sa.Boolean()


@spelled("nullif({0}, 'NaN')", "{0}")
class Known(FunctionElement[Decimal]):
    """An amount, NULL for PostgreSQL's NaN: a round trip with it has no value, and a sum with it would have none."""

    inherit_cache = True
    type = MONEY


@spelled("extract(epoch FROM {0})", "{0}")
class Seconds(FunctionElement[Decimal]):
    """The seconds of a sum of intervals, exact; SQLite has no intervals, its sum is one of seconds already."""

    inherit_cache = True
    type = MONEY


# SQLite's own times end at milliseconds; the rest of the text is the fraction.
@spelled(
    "({1} - {0})",
    "((CAST(strftime('%s', substr({1}, 1, 19)) AS INTEGER) - CAST(strftime('%s', substr({0}, 1, 19)) AS INTEGER))"
    " + CAST('0' || substr({1}, 20) AS REAL) - CAST('0' || substr({0}, 20) AS REAL))",
)
class Between(FunctionElement[Any]):
    """The time from the first of two moments to the second."""

    inherit_cache = True
    type = sa.Interval()


def finite(amount: Decimal | None) -> TypeGuard[Decimal]:
    """Whether it is an amount: PostgreSQL's numeric knows NaN."""
    return amount is not None and amount.is_finite()


def raw(*, wary: bool = True) -> dict[str, sa.ColumnElement[Any]]:
    """Each sum by its name, over rows of trading_trades. wary: a NaN counts as no value; else it makes the sum NaN."""
    trade = TradingTrade
    columns: tuple[Any, ...] = (trade.net_pnl, trade.gross_pnl, trade.commission)
    net, gross, commission = map(Known, columns) if wary else columns
    won, lasted = net > 0, Finite(trade.entry_time)
    held = sa.func.sum(Between(trade.entry_time, trade.exit_time))
    return {
        "trips": sa.func.count(),
        "valued": sa.func.count(net),
        "wins": sa.func.count().filter(won),
        "losses": sa.func.count().filter(net < 0),
        "net_pnl": total(net),
        "gross_pnl": total(gross),
        "commission": total(commission),
        "profit": sa.func.coalesce(sa.func.sum(net).filter(won), 0, type_=MONEY),
        "best_pnl": sa.func.max(net, type_=MONEY),
        "worst_pnl": sa.func.min(net, type_=MONEY),
        "hold_s": sa.func.coalesce(Seconds(held.filter(lasted)), 0, type_=MONEY),
        "hold_wins_s": sa.func.coalesce(Seconds(held.filter(lasted, won)), 0, type_=MONEY),
    }


def rolled(of: Any = TradingRollup) -> dict[str, sa.ColumnElement[Any]]:
    """Each sum by its name, over rows that are sums themselves: rollups, or a subquery with the same columns."""
    found: dict[str, sa.ColumnElement[Any]] = {}
    for name in NAMES:
        column = getattr(of, name)
        found[name] = total(column) if name in ADDED else _extreme(name)(column, type_=MONEY)
        if name in COUNTS:  # PostgreSQL's sum of bigint is numeric
            found[name] = sa.cast(found[name], sa.BigInteger)
    return found


def total(column: Any) -> sa.ColumnElement[Any]:
    """The sum of amounts, 0 for none."""
    return sa.func.coalesce(sa.func.sum(column, type_=MONEY), 0, type_=MONEY)


def _extreme(name: str) -> Any:
    return sa.func.max if name == "best_pnl" else sa.func.min
