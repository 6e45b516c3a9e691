"""Executions, holdings, account values, signals, decisions and alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from core.errors import TradekeepError
from core.models import AgentAction, AgentDecision, Alert, Portfolio, PortfolioSnapshot, Position, Signal, Trade
from core.models.trading import AlertSeverity, PositionStatus, Side
from core.repositories.base import Numbered, ago, limited


class Trades(Numbered[Trade]):
    """Executions."""

    model = Trade

    def recent(self, limit: int = 100, days: int | None = 7) -> list[Trade]:
        """The newest executions of so many days (None: ever), newest first."""
        wanted = sa.select(Trade).order_by(Trade.executed_at.desc(), Trade.id.desc()).limit(limited(limit))
        if days is not None:
            wanted = wanted.where(Trade.executed_at > ago(days=days))
        return self._all(wanted)

    def of_symbol(self, symbol: str, limit: int = 100) -> list[Trade]:
        """The newest executions of a symbol, newest first."""
        newest = (Trade.executed_at.desc(), Trade.id.desc())
        return self._all(sa.select(Trade).where(Trade.symbol == symbol).order_by(*newest).limit(limited(limit)))

    def of_order(self, order_id: str) -> list[Trade]:
        """The executions of an order, oldest first."""
        return self._all(sa.select(Trade).where(Trade.order_id == order_id).order_by(Trade.executed_at, Trade.id))


class Positions(Numbered[Position]):
    """What is held; one open position a symbol and side."""

    model = Position
    CHANGEABLE = frozenset({
        "quantity", "entry_price", "current_price", "market_value", "unrealized_pnl", "realized_pnl", "take_profit",
        "stop_loss", "leverage", "status", "closed_at", "metadata_",
    })  # fmt: skip

    def open(self) -> list[Position]:
        """What is held now, by symbol and side."""
        held = sa.select(Position).where(Position.status == PositionStatus.OPEN)
        return self._all(held.order_by(Position.symbol, Position.side))

    def of_symbol(self, symbol: str, side: Side | None = None) -> Position | None:
        """The open position of a symbol; LONG before SHORT where both are open and no side is given."""
        return self._one(self._open_of(symbol, side))

    def held(self, symbol: str, side: Side | None = None) -> Position | None:
        """As of_symbol, as it is now; nobody else changes it until the unit of work ends.

        What is computed from it (one more contract) is then true when it is written.
        """
        return next(iter(self._locked(self._open_of(symbol, side).limit(1))), None)

    @staticmethod
    def _open_of(symbol: str, side: Side | None) -> sa.Select[Any]:
        wanted = sa.select(Position).where(Position.symbol == symbol, Position.status == PositionStatus.OPEN)
        if side is not None:
            wanted = wanted.where(Position.side == side)
        return wanted.order_by(Position.side)

    def update(self, symbol: str, values: Mapping[str, Any], side: Side | None = None) -> Position:
        """Change the open position of a symbol. Raises data.value for another column, data.rows without one."""
        self._refuse_foreign(values)
        position = self.held(symbol, side)
        if position is None:
            raise TradekeepError("data.rows", f"No position in {symbol} is open.")
        return self._set(position, values)

    def _set(self, position: Position, values: Mapping[str, Any]) -> Position:
        for name, value in values.items():
            setattr(position, name, value)
        self.session.flush()
        self.session.refresh(position)  # as it is stored: 3.5 may have been given as a text
        return position

    def save(self, symbol: str, values: Mapping[str, Any], side: Side = Side.LONG) -> Position:
        """Write what is held of a symbol and side: change the open position, or open one.

        values: of CHANGEABLE, and currency, which a new position needs. Raises data.value for another column and for
        another currency than the open position has, and whatever keeps the row from being written.
        """
        changes = {name: value for name, value in values.items() if name != "currency"}
        self._refuse_foreign(changes)
        held = self.held(symbol, side)
        if held is not None:
            if values.get("currency", held.currency) != held.currency:
                message = f"The open position in {symbol} is kept in {held.currency}, not in {values['currency']}."
                raise TradekeepError("data.value", message)
            return self._set(held, changes)
        position = self.add(Position(symbol=symbol, side=side, **values))
        self.session.refresh(position)
        return position

    def close(self, symbol: str, side: Side | None = None, *, at: datetime | None = None) -> Position:
        """Close the open position of a symbol. Raises data.rows."""
        values = {"status": PositionStatus.CLOSED, "closed_at": at or datetime.now(UTC)}
        return self.update(symbol, values, side)

    def delete(self, symbol: str, side: Side | None = None) -> bool:
        """Delete the open position of a symbol; whether there was one."""
        position = self.held(symbol, side)
        return position is not None and self.remove(position.id)

    def _refuse_foreign(self, values: Mapping[str, Any]) -> None:
        foreign = set(values) - self.CHANGEABLE
        if foreign:
            raise TradekeepError("data.value", f"A position's {', '.join(sorted(foreign))} cannot be changed.")


class Portfolios(Numbered[Portfolio]):
    """The account's value over time."""

    model = Portfolio

    def latest(self, currency: str | None = None) -> Portfolio | None:
        """The newest value, of a currency or of any."""
        wanted = sa.select(Portfolio).order_by(Portfolio.timestamp.desc(), Portfolio.id.desc())
        return self._one(wanted if currency is None else wanted.where(Portfolio.currency == currency))

    def history(self, days: int = 30, currency: str | None = None, limit: int = 10_000) -> list[Portfolio]:
        """The values of so many days, oldest first; of more than limit the newest."""
        wanted = sa.select(Portfolio).where(Portfolio.timestamp > ago(days=days))
        if currency is not None:
            wanted = wanted.where(Portfolio.currency == currency)
        found = self._all(wanted.order_by(Portfolio.timestamp.desc(), Portfolio.id.desc()).limit(limited(limit)))
        return found[::-1]


class PortfolioSnapshots(Numbered[PortfolioSnapshot]):
    """Whole portfolios of people."""

    model = PortfolioSnapshot

    def latest(self, user_id: int) -> PortfolioSnapshot | None:
        """A person's newest."""
        own = sa.select(PortfolioSnapshot).where(PortfolioSnapshot.user_id == user_id)
        return self._one(own.order_by(PortfolioSnapshot.created_at.desc(), PortfolioSnapshot.id.desc()))


class Signals(Numbered[Signal]):
    """What strategies advise."""

    model = Signal

    def of_symbol(self, symbol: str, limit: int = 100) -> list[Signal]:
        """The newest of a symbol, newest first."""
        own = sa.select(Signal).where(Signal.symbol == symbol).order_by(Signal.generated_at.desc(), Signal.id.desc())
        return self._all(own.limit(limited(limit)))


class Decisions(Numbered[AgentDecision]):
    """What agents decided."""

    model = AgentDecision

    def of_agent(self, agent: str, limit: int = 100) -> list[AgentDecision]:
        """An agent's newest, newest first."""
        own = sa.select(AgentDecision).where(AgentDecision.agent == agent)
        return self._all(own.order_by(AgentDecision.decided_at.desc(), AgentDecision.id.desc()).limit(limited(limit)))


class Actions(Numbered[AgentAction]):
    """What agents did."""

    model = AgentAction

    def of_agent(self, agent: str, limit: int = 100) -> list[AgentAction]:
        """An agent's newest, newest first."""
        own = sa.select(AgentAction).where(AgentAction.agent == agent)
        return self._all(own.order_by(AgentAction.acted_at.desc(), AgentAction.id.desc()).limit(limited(limit)))


class Alerts(Numbered[Alert]):
    """What somebody should look at."""

    model = Alert

    def unresolved(self, severity: AlertSeverity | None = None, limit: int = 1000) -> list[Alert]:
        """Those that nobody resolved, newest first; of one severity or of all."""
        wanted = sa.select(Alert).where(~Alert.resolved)
        if severity is not None:
            wanted = wanted.where(Alert.severity == severity)
        return self._all(wanted.order_by(Alert.timestamp.desc(), Alert.id.desc()).limit(limited(limit)))

    def resolve(self, ids: int | Iterable[int], resolution: str, by: str, *, at: datetime | None = None) -> list[int]:
        """Resolve alerts with a note; the ids of those that were open. One that was resolved keeps its note."""
        if not resolution.strip():
            raise TradekeepError("data.value", "A resolution needs a note that says what was done.")
        wanted = [ids] if isinstance(ids, int) else list(ids)
        self.session.flush()
        changed = self.session.scalars(
            sa.update(Alert)
            .where(Alert.id.in_(wanted), ~Alert.resolved)
            .values(resolved=True, resolution=resolution.strip(), resolved_at=at or datetime.now(UTC), resolved_by=by)
            .returning(Alert.id),
            execution_options={"synchronize_session": False},
        )
        found = sorted(changed)
        self.session.expire_all()
        return found
