"""What is held now, and what share of it each position is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from core.models import Position, PositionStatus
from core.portfolio.sums import ZERO, Known, finite

MOST = 200


@dataclass(frozen=True)
class Holding:
    """One open position of the live account, money in its currency. share: of all that is held in this currency."""

    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    current_price: Decimal
    value: Decimal
    share: float
    unrealized_pnl: Decimal
    opened_at: datetime
    closing: bool


@dataclass(frozen=True)
class Holdings:
    """The largest positions in one currency, and what all of them come to. number: how many there are."""

    rows: tuple[Holding, ...]
    number: int
    value: Decimal
    unrealized_pnl: Decimal


def holdings(connection: sa.Connection, currency: str | None, symbol: str | None = None) -> Holdings:
    """Open positions in a currency, the largest first. The value of a short position counts as positive, NaN as 0."""
    worth, profits = sa.func.abs(Known(Position.market_value)), Known(Position.unrealized_pnl)
    own = [Position.status != PositionStatus.CLOSED, Position.currency == currency]
    if symbol is not None:
        own.append(Position.symbol == symbol)
    total = sa.select(sa.func.count(), sa.func.sum(worth), sa.func.sum(profits)).where(*own)
    number, held, profit = connection.execute(total).one()
    rows = connection.execute(
        sa.select(Position.__table__).where(*own).order_by(worth.desc().nulls_last(), Position.symbol).limit(MOST)
    )
    whole = Decimal(str(held or 0))
    found = tuple(
        Holding(
            symbol=row.symbol,
            side=str(row.side),
            quantity=row.quantity,
            entry_price=row.entry_price,
            current_price=row.current_price,
            value=(value := abs(_known(row.market_value))),
            share=float(value / whole) if whole else 0.0,
            unrealized_pnl=_known(row.unrealized_pnl),
            opened_at=row.opened_at,
            closing=row.status == PositionStatus.CLOSING,
        )
        for row in rows
    )
    return Holdings(found, number, whole, Decimal(str(profit or 0)) if found else ZERO)


def _known(amount: Decimal) -> Decimal:
    return amount if finite(amount) else ZERO
