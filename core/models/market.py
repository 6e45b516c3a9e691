"""What the market did, what the platform noticed, and what the account was worth."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, Choice, LimitedText, Now, created, index, key, part_key, updated


class Timeframe(StrEnum):
    """The length of a candle, in rising order."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"
    W1 = "1w"


LENGTHS: dict[str, timedelta] = {
    Timeframe.M1: timedelta(minutes=1),
    Timeframe.M5: timedelta(minutes=5),
    Timeframe.M15: timedelta(minutes=15),
    Timeframe.M30: timedelta(minutes=30),
    Timeframe.H1: timedelta(hours=1),
    Timeframe.H4: timedelta(hours=4),
    Timeframe.D1: timedelta(days=1),
    Timeframe.W1: timedelta(weeks=1),
}


class EventSeverity(StrEnum):
    """How serious an event is, in rising order."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Candle(Base):
    """Open, high, low, close and volume of one symbol in one stretch of time."""

    __tablename__ = "candles"

    symbol: Mapped[str]
    timeframe: Mapped[Timeframe] = mapped_column(Choice(Timeframe))
    open_time: Mapped[datetime] = mapped_column(comment="When the stretch begins")
    open: Mapped[Decimal]
    high: Mapped[Decimal]
    low: Mapped[Decimal]
    close: Mapped[Decimal]
    volume: Mapped[Decimal]
    exchange: Mapped[str | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    __table_args__ = (
        PrimaryKeyConstraint("symbol", "timeframe", "open_time"),
        CheckConstraint("open >= 0", name="open"),
        CheckConstraint("high >= 0", name="high"),
        CheckConstraint("low >= 0", name="low"),
        CheckConstraint("close >= 0", name="close"),
        CheckConstraint("volume >= 0", name="volume"),
        CheckConstraint("low <= open AND low <= close", name="low_open_close"),
        CheckConstraint("open <= high AND close <= high", name="high_open_close"),
        index("timeframe", "open_time desc"),
    )


class SystemEvent(Base):
    """What the platform noticed and decided: decision traces and the audit trail of trading."""

    __tablename__ = "system_events"

    id: Mapped[int] = part_key("system_events")
    event_type: Mapped[str] = mapped_column(
        LimitedText(50), comment="DECISION_TRACE, NO_SIGNAL, ORDER, RECONCILE, ERROR and others"
    )
    symbol: Mapped[str | None]
    severity: Mapped[EventSeverity] = mapped_column(Choice(EventSeverity), server_default=EventSeverity.INFO)
    message: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    occurred_at: Mapped[datetime] = mapped_column(server_default=Now())

    __table_args__ = (
        PrimaryKeyConstraint("occurred_at", "id"),
        index("event_type", "occurred_at desc"),
        index("symbol", "occurred_at desc"),
        index("id"),
    )


class AccountState(Base):
    """The account's balance at the exchange, each time it was read."""

    __tablename__ = "account_state"

    id: Mapped[int] = key()
    account: Mapped[str] = mapped_column(LimitedText(100), server_default="main")
    currency: Mapped[str]
    equity: Mapped[Decimal] = mapped_column(comment="Balance plus unrealized profit and loss")
    balance: Mapped[Decimal]
    available: Mapped[Decimal] = mapped_column(comment="What new orders may use")
    margin_used: Mapped[Decimal] = mapped_column(server_default=text("0"))
    unrealized_pnl: Mapped[Decimal] = mapped_column(server_default=text("0"))
    recorded_at: Mapped[datetime]
    created_at: Mapped[datetime] = created()

    __table_args__ = (index("account", "recorded_at desc"),)
