"""Trading bots, what they hold, and their round trips."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Integer, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.models.base import Base, Choice, LimitedText, created, index, key, part_key, reference, updated
from core.models.trading import Side


class BotType(StrEnum):
    """What a bot trades with: nothing real, real money, history, or history many times over."""

    PAPER = "paper"
    LIVE = "live"
    BACKTEST = "backtest"
    OPTIMIZATION = "optimization"


class BotStatus(StrEnum):
    """What a bot is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    ERROR = "error"
    STOPPING = "stopping"


class BotPositionStatus(StrEnum):
    """The state of a bot's holding."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class RoundTripStatus(StrEnum):
    """The state of a round trip."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


class TradingBot(Base):
    """Bots: their configuration, state and heartbeat."""

    __tablename__ = "trading_bots"

    id: Mapped[int] = key()
    user_id: Mapped[int] = reference("usr_users", "restrict")
    type: Mapped[BotType] = mapped_column(Choice(BotType))
    name: Mapped[str] = mapped_column(LimitedText(100))
    status: Mapped[BotStatus] = mapped_column(Choice(BotStatus), server_default=BotStatus.STOPPED)
    started_at: Mapped[datetime | None]
    last_heartbeat: Mapped[datetime | None] = mapped_column(comment="When the bot last said that it is alive")
    error_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    current_balance: Mapped[Decimal | None]
    total_pnl: Mapped[Decimal | None]
    currency: Mapped[str] = mapped_column(comment="The currency of balance and profit")
    extra_metadata: Mapped[dict[str, Any]] = mapped_column(default=dict)
    config: Mapped[dict[str, Any]]
    description: Mapped[str | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    __table_args__ = (
        CheckConstraint("error_count >= 0", name="error_count"),
        index("user_id"),
        index("status"),
    )


class TradingPosition(Base):
    """What a bot holds or held."""

    __tablename__ = "trading_positions"

    id: Mapped[int] = key()
    bot_id: Mapped[int] = reference("trading_bots", "restrict")
    trade_type: Mapped[BotType] = mapped_column(Choice(BotType))
    symbol: Mapped[str]
    direction: Mapped[Side] = mapped_column(Choice(Side))
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    qty_open: Mapped[Decimal] = mapped_column(server_default=text("0"))
    avg_price: Mapped[Decimal | None]
    realized_pnl: Mapped[Decimal] = mapped_column(server_default=text("0"))
    status: Mapped[BotPositionStatus] = mapped_column(Choice(BotPositionStatus))
    extra_metadata: Mapped[dict[str, Any]] = mapped_column(default=dict)

    bot: Mapped[TradingBot] = relationship(lazy="raise")

    __table_args__ = (index("bot_id"), index("status"))


class TradingTrade(Base):
    """Round trips of the bots: from entry to exit."""

    __tablename__ = "trading_trades"

    id: Mapped[int] = part_key("trading_trades")
    bot_id: Mapped[int] = reference("trading_bots", "restrict")
    position_id: Mapped[int | None] = reference("trading_positions", "set null")
    trade_type: Mapped[BotType] = mapped_column(Choice(BotType))
    strategy_name: Mapped[str | None]
    entry_logic_name: Mapped[str | None]
    exit_logic_name: Mapped[str | None]
    symbol: Mapped[str]
    interval: Mapped[str] = mapped_column(LimitedText(8), comment="The candles' timeframe")
    entry_time: Mapped[datetime]
    exit_time: Mapped[datetime | None]
    entry_price: Mapped[Decimal]
    exit_price: Mapped[Decimal | None]
    size: Mapped[Decimal]
    direction: Mapped[Side] = mapped_column(Choice(Side))
    commission: Mapped[Decimal] = mapped_column(server_default=text("0"))
    currency: Mapped[str] = mapped_column(comment="The currency of prices, commission and profit")
    gross_pnl: Mapped[Decimal | None] = mapped_column(comment="Before commission")
    net_pnl: Mapped[Decimal | None] = mapped_column(comment="After commission")
    pnl_percentage: Mapped[Decimal | None]
    exit_reason: Mapped[str | None]
    status: Mapped[RoundTripStatus] = mapped_column(Choice(RoundTripStatus))
    extra_metadata: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    bot: Mapped[TradingBot] = relationship(lazy="raise")
    position: Mapped[TradingPosition | None] = relationship(lazy="raise")

    __table_args__ = (
        PrimaryKeyConstraint("symbol", "entry_time", "id"),
        CheckConstraint("size > 0", name="size"),
        CheckConstraint(
            "status <> 'CLOSED' OR (exit_time IS NOT NULL AND exit_price IS NOT NULL)", name="exit_time_exit_price"
        ),
        index("strategy_name", name="ix_trading_trades_strategy_name"),
        index("symbol", name="ix_trading_trades_symbol"),
        index("id"),
        index("bot_id", "entry_time desc"),
        index("exit_time desc"),
    )


class TradingPerformanceMetric(Base):
    """Figures of a bot's trading, computed for one symbol, interval and logic or for all."""

    __tablename__ = "trading_performance_metrics"

    id: Mapped[int] = key()
    bot_id: Mapped[int] = reference("trading_bots", "cascade")
    trade_type: Mapped[str]
    symbol: Mapped[str | None]
    interval: Mapped[str | None]
    entry_logic_name: Mapped[str | None]
    exit_logic_name: Mapped[str | None]
    metrics: Mapped[dict[str, Any]]
    calculated_at: Mapped[datetime]
    created_at: Mapped[datetime] = created()

    __table_args__ = (index("calculated_at"),)
