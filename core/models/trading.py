"""What was traded, what is held, and why."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, PrimaryKeyConstraint, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, Choice, Exact, LimitedText, Now, created, index, key, part_key, reference, updated


class TradeAction(StrEnum):
    """The side of an execution."""

    BUY = "BUY"
    SELL = "SELL"


class TradeStatus(StrEnum):
    """How far an order came."""

    PENDING = "PENDING"
    FILLED = "FILLED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


class Side(StrEnum):
    """The direction of something held."""

    LONG = "LONG"
    SHORT = "SHORT"


class PositionStatus(StrEnum):
    """The state of a holding."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    CLOSING = "CLOSING"


class SignalDirection(StrEnum):
    """What a signal advises."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class ActionStatus(StrEnum):
    """How far an agent's action came."""

    PENDING = "PENDING"
    DONE = "DONE"
    FAILED = "FAILED"


class AlertSeverity(StrEnum):
    """How urgent an alert is, in rising order."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    EMERGENCY = "EMERGENCY"


class Trade(Base):
    """Executions: what was bought and sold, one row a fill or order."""

    __tablename__ = "trades"

    id: Mapped[int] = part_key("trades")
    symbol: Mapped[str] = mapped_column(LimitedText(64))
    action: Mapped[TradeAction] = mapped_column(Choice(TradeAction))
    quantity: Mapped[Decimal]
    price: Mapped[Decimal] = mapped_column(comment="A unit's price in currency")
    fee: Mapped[Decimal] = mapped_column(server_default=text("0"))
    fee_currency: Mapped[str | None] = mapped_column(LimitedText(16))
    currency: Mapped[str] = mapped_column(LimitedText(16), comment="The currency of price")
    executed_at: Mapped[datetime]
    order_id: Mapped[str | None] = mapped_column(LimitedText(100), comment="The order's identifier at the exchange")
    status: Mapped[TradeStatus] = mapped_column(Choice(TradeStatus), server_default=TradeStatus.PENDING)
    exchange: Mapped[str | None] = mapped_column(LimitedText(50))
    strategy: Mapped[str | None] = mapped_column(LimitedText(100))
    source: Mapped[str | None] = mapped_column(LimitedText(50), comment="The program that wrote the row")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    __table_args__ = (
        PrimaryKeyConstraint("symbol", "executed_at", "id"),
        UniqueConstraint("symbol", "executed_at", "order_id"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("price >= 0", name="price"),
        index("executed_at desc", "id desc"),
        index("symbol", "executed_at desc", "id desc"),
        index("id"),
        index("order_id"),
    )


class Position(Base):
    """What is held now and what was held, with its profit and loss."""

    __tablename__ = "positions"

    id: Mapped[int] = key()
    symbol: Mapped[str]
    side: Mapped[Side] = mapped_column(Choice(Side), server_default=Side.LONG)
    quantity: Mapped[Decimal]
    entry_price: Mapped[Decimal] = mapped_column(server_default=text("0"))
    current_price: Mapped[Decimal] = mapped_column(server_default=text("0"))
    market_value: Mapped[Decimal] = mapped_column(server_default=text("0"))
    unrealized_pnl: Mapped[Decimal] = mapped_column(server_default=text("0"))
    realized_pnl: Mapped[Decimal] = mapped_column(server_default=text("0"))
    take_profit: Mapped[Decimal | None] = mapped_column(comment="The price at which to close with a gain")
    stop_loss: Mapped[Decimal | None] = mapped_column(comment="The price at which to close with a loss")
    leverage: Mapped[Decimal] = mapped_column(Exact(10, 4), server_default=text("1"))
    currency: Mapped[str] = mapped_column(comment="The currency of all amounts in the row")
    status: Mapped[PositionStatus] = mapped_column(Choice(PositionStatus), server_default=PositionStatus.OPEN)
    opened_at: Mapped[datetime] = mapped_column(server_default=Now())
    closed_at: Mapped[datetime | None] = mapped_column(comment="Set exactly when status is CLOSED")
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    __table_args__ = (
        CheckConstraint("(closed_at IS NULL) = (status <> 'CLOSED')", name="closed_at"),
        index("symbol", "side", name="uq_positions_symbol_side", unique=True, where="status = 'OPEN'"),
    )


class Portfolio(Base):
    """The account's value over time."""

    __tablename__ = "portfolios"

    id: Mapped[int] = key()
    timestamp: Mapped[datetime] = mapped_column(server_default=Now(), comment="When the value was observed")
    total_value: Mapped[Decimal]
    cash_balance: Mapped[Decimal]
    currency: Mapped[str] = mapped_column(server_default="USD")
    source: Mapped[str | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    __table_args__ = (index("timestamp desc"),)


class PortfolioSnapshot(Base):
    """One person's whole portfolio at one moment."""

    __tablename__ = "portfolio_snapshots"

    id: Mapped[int] = key()
    user_id: Mapped[int] = reference("usr_users", "cascade")
    snapshot_data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = created()

    __table_args__ = (index("user_id", "created_at desc"),)


class Signal(Base):
    """What a strategy advises; agent_decisions says what was made of it."""

    __tablename__ = "signals"

    id: Mapped[int] = key()
    symbol: Mapped[str]
    timeframe: Mapped[str | None] = mapped_column(LimitedText(8))
    direction: Mapped[SignalDirection] = mapped_column(Choice(SignalDirection))
    strength: Mapped[Decimal | None] = mapped_column(Exact(6, 5), comment="0 to 1")
    price: Mapped[Decimal | None]
    strategy: Mapped[str]
    reason: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    generated_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = created()

    __table_args__ = (
        CheckConstraint("strength BETWEEN 0 AND 1", name="strength"),
        index("symbol", "generated_at desc"),
    )


class AgentDecision(Base):
    """What an agent decided, and from what."""

    __tablename__ = "agent_decisions"

    id: Mapped[int] = key()
    agent: Mapped[str] = mapped_column(LimitedText(100))
    symbol: Mapped[str | None]
    decision: Mapped[str] = mapped_column(LimitedText(50))
    confidence: Mapped[Decimal | None] = mapped_column(Exact(6, 5), comment="0 to 1")
    reasoning: Mapped[str | None]
    inputs: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="What the agent looked at")
    signal_id: Mapped[int | None] = reference("signals", "set null")
    decided_at: Mapped[datetime]
    created_at: Mapped[datetime] = created()

    __table_args__ = (
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        index("agent", "decided_at desc"),
    )


class AgentAction(Base):
    """What an agent did about a decision, and how it ended."""

    __tablename__ = "agent_actions"

    id: Mapped[int] = key()
    decision_id: Mapped[int | None] = reference("agent_decisions", "set null")
    agent: Mapped[str]
    action: Mapped[str] = mapped_column(LimitedText(50))
    status: Mapped[ActionStatus] = mapped_column(Choice(ActionStatus))
    order_id: Mapped[str | None]
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None]
    acted_at: Mapped[datetime]
    created_at: Mapped[datetime] = created()

    __table_args__ = (index("agent", "acted_at desc"),)


class Alert(Base):
    """What somebody should look at, until it is resolved."""

    __tablename__ = "alerts"

    id: Mapped[int] = key()
    alert_type: Mapped[str] = mapped_column(LimitedText(50))
    severity: Mapped[AlertSeverity] = mapped_column(Choice(AlertSeverity))
    message: Mapped[str] = mapped_column(server_default="")
    source: Mapped[str | None] = mapped_column(LimitedText(50))
    resolved: Mapped[bool] = mapped_column(server_default=false())
    resolution: Mapped[str | None]
    resolved_at: Mapped[datetime | None] = mapped_column(comment="Set exactly when resolved")
    resolved_by: Mapped[str | None] = mapped_column(comment="Who resolved it; set exactly when resolved")
    fingerprint: Mapped[str | None] = mapped_column(LimitedText(64), comment="Alerts about the same thing share it")
    timestamp: Mapped[datetime] = mapped_column(server_default=Now(), comment="When the alert was raised")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    __table_args__ = (
        CheckConstraint("(resolved_at IS NOT NULL) = resolved", name="resolved_at"),
        CheckConstraint("(resolved_by IS NOT NULL) = resolved", name="resolved_by"),
        index("timestamp desc"),
        index("severity", where="NOT resolved"),
    )


class PerformanceMetric(Base):
    """Figures about how trading went, for instance the win rate of a strategy in a period."""

    __tablename__ = "performance_metrics"

    id: Mapped[int] = key()
    name: Mapped[str] = mapped_column(LimitedText(100))
    value: Mapped[Decimal]
    unit: Mapped[str | None] = mapped_column(LimitedText(20))
    symbol: Mapped[str | None]
    strategy: Mapped[str | None]
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    recorded_at: Mapped[datetime]
    created_at: Mapped[datetime] = created()

    __table_args__ = (index("name", "recorded_at desc"),)
