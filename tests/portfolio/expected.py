"""What sums have to be: added up here from every round trip."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from core.database import Database
from core.models import TradingTrade
from core.portfolio import totals
from core.portfolio.scope import Scope
from core.portfolio.sums import COUNTS, NAMES, Sums
from tests.portfolio.trips import BEGIN

LATE = BEGIN + timedelta(days=3, hours=5)
KEYS: tuple[totals.By, ...] = ("day", "trade_type", "currency", "bot_id", "strategy")
BYS: list[tuple[totals.By, ...]] = [
    (), ("day",), KEYS, (*KEYS, "symbol"), (*KEYS, "exit_reason"), ("symbol", "exit_reason"), ("currency", "strategy"),
]  # fmt: skip
SCOPES = [
    Scope(),
    Scope("live", "USDT"),
    Scope("live", "USDT", symbol="ETH/USDT"),
    Scope("live", "USDT", strategy=""),
    Scope("paper", bot_id=2),
    Scope(since=date(2026, 3, 5), until=date(2026, 3, 20), strategy="trend"),
    Scope(since=date(2026, 3, 5), until=date(2026, 3, 5), symbol="BTC/USDT"),
]


def closed(db: Database) -> list[tuple[dict[str, Any], Sums]]:
    """Every closed round trip with its day, strategy and reason, and what it adds to the sums."""
    found = []
    with db.connect() as connection:
        rows = connection.execute(sa.select(TradingTrade.__table__).where(TradingTrade.status == "CLOSED")).mappings()
        for row in rows:
            own = dict(row) | {"day": row["exit_time"].date(), "strategy": row["strategy_name"] or ""}
            own["exit_reason"] = own["exit_reason"] or ""
            net, held = row["net_pnl"], row["exit_time"] - row["entry_time"]
            hold_s = Decimal(held // timedelta(microseconds=1)) / 1_000_000
            won = net is not None and net > 0
            one = Sums(
                1, int(net is not None), int(won), int(net is not None and net < 0), net or Decimal(0),
                row["gross_pnl"] or Decimal(0), row["commission"], net if won else Decimal(0), net, net, hold_s,
                hold_s if won else Decimal(0),
            )  # fmt: skip
            found.append((own, one))
    return found


def expected(
    rows: list[tuple[dict[str, Any], Sums]], scope: Scope, by: tuple[totals.By, ...]
) -> dict[tuple[Any, ...], Sums]:
    """The same, added up here from every row."""
    found: dict[tuple[Any, ...], Sums] = {}
    for own, one in rows:
        wanted = {"trade_type", "currency", "symbol", "bot_id", "strategy"}
        if any(getattr(scope, name) not in (None, own[name]) for name in wanted):
            continue
        if (scope.since and own["day"] < scope.since) or (scope.until and own["day"] > scope.until):
            continue
        key = tuple(own[name] for name in by)
        found[key] = found.get(key, Sums()) + one
    return found if by else {(): found.get((), Sums())}


def same(db: Database, found: dict[Any, Sums], wanted: dict[Any, Sums]) -> None:
    """Equal to the last digit; SQLite's sums to its 15."""
    assert found.keys() == wanted.keys()
    for key, name in itertools.product(wanted, NAMES):
        one, other = getattr(found[key], name), getattr(wanted[key], name)
        if db.backend == "postgresql" or name in COUNTS or one is None:
            assert one == other, (key, name)
        else:
            assert abs(one - other) <= Decimal("1e-8") * max(1, abs(other)), (key, name)


def check(db: Database, scopes: list[Scope] = SCOPES, bys: list[tuple[totals.By, ...]] = BYS) -> None:
    """Every grouping of every scope equals the rows themselves."""
    rows = closed(db)
    for scope, by in itertools.product(scopes, bys):
        with db.connect() as connection:
            found = totals.totals(connection, scope, by)
        same(db, found, expected(rows, scope, by))


def standing(db: Database) -> totals.Rollups:
    with db.connect() as connection:
        return totals.rollups(connection)


def run(db: Database, statement: str, **values: Any) -> None:
    with db.connect() as connection:
        connection.execute(sa.text(statement), values)
