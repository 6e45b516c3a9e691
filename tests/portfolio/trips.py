"""Round trips for the tests: rows of trading_trades with only what matters."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from core.database import Database
from core.models import TradingBot, TradingTrade, User

Row = dict[str, Any]
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def bots(
    db: Database, number: int = 2, *, balance: Decimal | None = Decimal(1000), name: str = "", **changes: Any
) -> list[int]:
    """Bots of one user, with numbers 1 to `number`; they began with balance less what they earned.

    name: of each of them.
    """
    with db.begin() as session:
        user = User(email="ada@example.org")
        session.add(user)
        session.flush()
        given = {"type": "live", "currency": "USDT", "current_balance": balance, "total_pnl": Decimal(0)} | changes
        names = [name or f"bot {n}" for n in range(number)]
        made = [TradingBot(user_id=user.id, name=own, config={}, **given) for own in names]
        session.add_all(made)
        session.flush()
        return [bot.id for bot in made]


def trip(exit_time: datetime | None, net: str | None = "1", *, hold_s: float = 60, **changes: Any) -> Row:
    """A closed round trip with this net profit after a commission of 0.1; without an exit: an open one."""
    value = None if net is None else Decimal(net)
    entry = changes.pop("entry_time", None) or (exit_time or BEGIN) - timedelta(seconds=hold_s)
    row: Row = {
        "bot_id": 1, "trade_type": "live", "strategy_name": "trend", "symbol": "BTC/USDT", "interval": "1h",
        "entry_time": entry, "exit_time": exit_time, "entry_price": Decimal(100),
        "exit_price": None if exit_time is None else Decimal(101), "size": Decimal(1), "direction": "LONG",
        "commission": Decimal("0.1"), "currency": "USDT", "net_pnl": value,
        "gross_pnl": None if value is None else value + Decimal("0.1"), "exit_reason": "signal",
        "status": "OPEN" if exit_time is None else "CLOSED", "extra_metadata": {},
    }  # fmt: skip
    return row | changes


def write(db: Database, rows: Iterable[Row]) -> None:
    """Insert them in one statement."""
    with db.connect() as connection:
        connection.execute(sa.insert(TradingTrade), list(rows))


def random_trips(number: int, seed: int = 1, days: int = 40, bot_ids: tuple[int, ...] = (1, 2)) -> list[Row]:
    """Round trips of every sort: open, without a profit, of other kinds and currencies, exactly at midnight."""
    rng = random.Random(seed)
    found = []
    for _ in range(number):
        moment = BEGIN + timedelta(seconds=rng.randrange(days * 86400), microseconds=rng.randrange(1_000_000))
        moment = rng.choice((moment, moment, moment, moment.replace(hour=0, minute=0, second=0, microsecond=0)))
        net = rng.choice((f"{rng.uniform(-9, 10):.10f}", f"{rng.uniform(-9, 10):.2f}", "0", None))
        found.append(
            trip(
                None if rng.random() < 0.1 else moment,
                net,
                hold_s=rng.uniform(0, 200_000),
                bot_id=rng.choice(bot_ids),
                trade_type=rng.choice(("live", "live", "paper")),
                currency=rng.choice(("USDT", "USDT", "EUR")),
                symbol=rng.choice(("BTC/USDT", "ETH/USDT", "SOL/USDT")),
                strategy_name=rng.choice(("trend", "range", None)),
                exit_reason=rng.choice(("take profit", "stop loss", None)),
            )
        )
    return found
