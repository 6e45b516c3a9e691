"""What the bots began with: the base of every return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from core.models import Portfolio, TradingBot
from core.portfolio.scope import Scope
from core.portfolio.sums import ZERO, finite


@dataclass(frozen=True)
class Capital:
    """An amount in the scope's currency, and in words where it is from; amount None: nobody knows."""

    amount: Decimal | None
    source: str


def capital(connection: sa.Connection, scope: Scope, bot_ids: Sequence[int]) -> Capital:
    """What there was before the first round trip: balance less profit of the bots that traded.

    Where bots do not say: the oldest account value in this currency. bot_ids: those with round trips of the scope.
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
            .order_by(Portfolio.timestamp)
            .limit(1)
        )
        row = connection.execute(oldest).first()
        if row is not None and finite(row.total_value) and row.total_value > 0:
            return Capital(row.total_value, f"account value of {row.timestamp:%Y-%m-%d}, the oldest there is")
    return Capital(None, "the bots record no balance and profit in this currency")
