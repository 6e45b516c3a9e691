"""What every return is based on: what the bots began with, or the oldest account value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from core.models import Portfolio, TradingBot, TradingTrade
from core.portfolio.scope import Scope
from core.portfolio.sums import ZERO, Known, Sums, finite, total
from core.portfolio.totals import closed


@dataclass(frozen=True)
class Capital:
    """An amount in the scope's currency, and in words where it is from; amount None: nobody knows.

    at: when there was so much, None for before the first round trip of all. that_day: what the scope's round trips had
    earned on that UTC day by then.
    """

    amount: Decimal | None
    source: str
    at: datetime | None = None
    that_day: Decimal = ZERO

    def first(self, daily: Mapping[tuple[Any, ...], Sums]) -> Decimal | None:
        """What there was before the first round trip of all: less what was earned until there was so much.

        daily: (day,) -> sums of the scope, of the whole time.
        """
        if self.amount is None or self.at is None:
            return self.amount
        day = self.at.date()
        return self.amount - self.that_day - sum((own.net_pnl for key, own in daily.items() if key[0] < day), ZERO)

    def words(self, begin: date) -> str:
        """Where the equity at the begin of a UTC day is from; without an amount: why there is none."""
        if self.amount is None:
            return self.source
        later = self.at is not None and self.at.date() >= begin
        return f"{self.source}, {'less what was earned until then' if later else 'and what was earned since'}"


def capital(connection: sa.Connection, scope: Scope, bot_ids: Sequence[int]) -> Capital:
    """What there was before the first round trip: balance less profit of the bots that traded.

    Where bots do not say: the oldest account value in this currency, at its time. bot_ids: those with round trips of
    the scope. Reads no round trips but those of the one day on which that value was seen.
    """
    wanted = [scope.bot_id] if scope.bot_id is not None else list(bot_ids)
    rows = connection.execute(
        sa.select(TradingBot.current_balance, TradingBot.total_pnl).where(
            TradingBot.id.in_(wanted), TradingBot.currency == scope.currency
        )
    ).all()
    known = [balance - profit for balance, profit in rows if finite(balance) and finite(profit)]
    if known and len(known) == len(wanted) and sum(known, ZERO) > 0:
        whose = "the bot" if len(known) == 1 else f"the {len(known)} bots"
        return Capital(sum(known, ZERO), f"balance less profit of {whose}")
    if scope.bot_id is None and scope.trade_type == "live":
        oldest = (
            sa.select(Portfolio.total_value, Portfolio.timestamp)
            .where(Portfolio.currency == scope.currency)
            .order_by(Portfolio.timestamp, Portfolio.id)
            .limit(1)
        )
        row = connection.execute(oldest).first()
        if row is not None and finite(row.total_value) and row.total_value > 0:
            at = row.timestamp.astimezone(UTC)
            source = f"account value of {at:%Y-%m-%d}, the oldest there is"
            return Capital(row.total_value, source, at, _earned_that_day(connection, scope, at))
    return Capital(None, "the bots record no balance and profit in this currency")


def _earned_that_day(connection: sa.Connection, scope: Scope, at: datetime) -> Decimal:
    """Net profit of the scope's round trips on the UTC day of a moment, up to this moment."""
    of_day = closed(replace(scope, since=at.date(), until=at.date()))
    asked = sa.select(total(Known(TradingTrade.net_pnl))).where(*of_day, TradingTrade.exit_time <= at)
    return Decimal(connection.scalar(asked) or 0)
