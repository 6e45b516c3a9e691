"""Both sides of an import of a bot: what the other database says, and what our tables hold afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from core.database import Database
from core.explore.imports.foreign import PLACES, Carried
from core.models import Trade, TradingTrade

Rows = Iterable[Mapping[Any, Any]]


@dataclass(frozen=True)
class Reconciled:
    """A figure of theirs beside ours; why: what explains a difference, "" where there is none."""

    name: str
    theirs: Decimal
    ours: Decimal
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether they are equal, or the difference is explained."""
        return self.theirs == self.ours or bool(self.why)


def figures(trips: Rows, executions: Rows) -> dict[str, Decimal]:
    """Every figure of these rows, a count or a sum, by its name."""
    found: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in executions:
        found["fills"] += 1
        found[f"fees, {row['fee_currency']}"] += row["fee"]
        found[f"bought and sold, {row['symbol']}"] += row["quantity"]
    found["filled orders"] = found["fills"]
    for trip in trips:
        closed = trip["status"] == "CLOSED"
        found["closed trades" if closed else "open trades"] += 1
        if closed:
            found[f"profit of closed trades, {trip['currency']}"] += trip["net_pnl"] or 0
    return found


def held(db: Database, carried: Carried, bot_id: int | None, executions: list[dict[str, Any]]) -> dict[str, Decimal]:
    """The figures of the bot's round trips and of these executions, as our tables hold them."""
    trips: Any = TradingTrade.__table__
    trades: Any = Trade.__table__
    orders = {(row["symbol"], row["executed_at"], row["order_id"]) for row in executions}
    columns = (trades.c.symbol, trades.c.executed_at, trades.c.order_id, trades.c.quantity, trades.c.fee)
    own = sa.select(*columns, trades.c.fee_currency).where(trades.c.source == carried.kind)
    if orders:
        moments = [key[1] for key in orders]
        own = own.where(trades.c.executed_at.between(min(moments), max(moments)))
    with db.connect(statement_timeout_s=None) as connection:
        chosen = sa.select(trips.c.status, trips.c.net_pnl, trips.c.currency).where(trips.c.bot_id == bot_id)
        found = (
            row
            for row in connection.execute(own).mappings()
            if (row["symbol"], row["executed_at"], row["order_id"]) in orders
        )
        return figures(connection.execute(chosen).mappings(), found)


def reconciled(carried: Carried, name: str, ours: Decimal, rows: int, backend: str) -> Reconciled:
    """A figure of both sides, and what explains a difference. rows: how many amounts may have been rounded."""
    theirs, without = carried.sums[name], carried.without.get(name, Decimal(0))
    difference = abs(theirs - without - ours)
    parts = [f"{without:f} is not carried over, as is said below."] if without else []
    if difference and difference <= PLACES * rows:
        parts.append(f"Each amount is rounded to 10 digits after the point: {difference:f} in all.")
    elif difference and backend == "sqlite" and difference <= abs(theirs) * Decimal("1e-13"):
        parts.append(f"SQLite keeps 15 digits of a number: {difference:f} in all.")
    elif difference:
        parts = []
    return Reconciled(name, theirs, ours, " ".join(parts))
