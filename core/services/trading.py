"""Trading in one unit of work each: executions, positions, account values and open alerts.

What writes a position raises when it fails: who trades on what is not written down must know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.database import Database
from core.models import Alert, AlertSeverity, Portfolio, Position, Side, Trade
from core.repositories import unit_of_work


def recent_trades(db: Database, limit: int = 100, days: int | None = 7) -> list[Trade]:
    """The newest executions of so many days (None: ever), newest first."""
    with unit_of_work(db) as unit:
        return unit.trades.recent(limit, days)


def trades_of_symbol(db: Database, symbol: str, limit: int = 100) -> list[Trade]:
    """The newest executions of a symbol, newest first."""
    with unit_of_work(db) as unit:
        return unit.trades.of_symbol(symbol, limit)


def open_positions(db: Database) -> list[Position]:
    """What is held now, by symbol and side."""
    with unit_of_work(db) as unit:
        return unit.positions.open()


def position_of_symbol(db: Database, symbol: str, side: Side | None = None) -> Position | None:
    """The open position of a symbol; LONG before SHORT where both are open and no side is given."""
    with unit_of_work(db) as unit:
        return unit.positions.of_symbol(symbol, side)


def save_position(db: Database, symbol: str, values: Mapping[str, Any], side: Side = Side.LONG) -> Position:
    """Change the open position of a symbol and side, or open one; a new one needs a currency.

    Raises data errors, also for another currency than the open position has.
    """
    with unit_of_work(db) as unit:
        return unit.positions.save(symbol, values, side)


def update_position(db: Database, symbol: str, values: Mapping[str, Any], side: Side | None = None) -> Position:
    """Change the open position of a symbol. Raises data.rows without one, data.value for what cannot be changed."""
    with unit_of_work(db) as unit:
        return unit.positions.update(symbol, values, side)


def close_position(db: Database, symbol: str, side: Side | None = None) -> Position:
    """Close the open position of a symbol. Raises data.rows without one."""
    with unit_of_work(db) as unit:
        return unit.positions.close(symbol, side)


def delete_position(db: Database, symbol: str, side: Side | None = None) -> bool:
    """Delete the open position of a symbol; whether there was one."""
    with unit_of_work(db) as unit:
        return unit.positions.delete(symbol, side)


def latest_portfolio(db: Database, currency: str | None = None) -> Portfolio | None:
    """The newest account value, of a currency or of any."""
    with unit_of_work(db) as unit:
        return unit.portfolios.latest(currency)


def portfolio_history(db: Database, days: int = 30, currency: str | None = None) -> list[Portfolio]:
    """The account values of so many days, oldest first."""
    with unit_of_work(db) as unit:
        return unit.portfolios.history(days, currency)


def unresolved_alerts(db: Database, severity: AlertSeverity | None = None, limit: int = 1000) -> list[Alert]:
    """Alerts that nobody resolved, newest first; `core.services.alerts.resolve` resolves them."""
    with unit_of_work(db) as unit:
        return unit.alerts.unresolved(severity, limit)
