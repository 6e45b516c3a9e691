"""Messages that leave the platform, and the health of what sends them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    CheckConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.models.base import Base, Choice, Exact, LimitedText, Now, created, index, key, part_key, reference, updated


class FeedbackType(StrEnum):
    """What a feedback is about."""

    BUG = "bug"
    FEATURE = "feature"
    OTHER = "other"


class FeedbackStatus(StrEnum):
    """What became of a feedback."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    CLOSED = "closed"


class MessagePriority(StrEnum):
    """How urgent a message is, in rising order."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class MessageStatus(StrEnum):
    """How far a message came."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class DeliveryStatus(StrEnum):
    """How far a message came on one channel."""

    PENDING = "PENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    BOUNCED = "BOUNCED"


class HealthStatus(StrEnum):
    """How a component is."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


class TelegramCommandAudit(Base):
    """Commands that the Telegram bot was given, and how it answered."""

    __tablename__ = "telegram_command_audits"

    id: Mapped[int] = part_key("telegram_command_audits")
    telegram_user_id: Mapped[str] = mapped_column(LimitedText(50))
    command: Mapped[str] = mapped_column(LimitedText(100))
    full_message: Mapped[str | None]
    is_registered_user: Mapped[bool]
    user_email: Mapped[str | None]
    success: Mapped[bool]
    error_message: Mapped[str | None]
    response_time_ms: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = created()

    __table_args__ = (
        PrimaryKeyConstraint("created_at", "id"),
        index("telegram_user_id"),
        index("success"),
        index("id"),
        {"info": {"append_only": True}},
    )


class TelegramBroadcastLog(Base):
    """Messages that went to everybody, and how many they reached."""

    __tablename__ = "telegram_broadcast_logs"

    id: Mapped[int] = key()
    message: Mapped[str]
    sent_by: Mapped[str]
    success_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    total_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[datetime] = created()

    __table_args__ = (CheckConstraint("success_count <= total_count", name="success_count_total_count"),)


class TelegramFeedback(Base):
    """What people say about the platform."""

    __tablename__ = "telegram_feedbacks"

    id: Mapped[int] = key()
    user_id: Mapped[int | None] = reference("usr_users", "cascade", comment="Empty when nobody was signed in")
    type: Mapped[FeedbackType] = mapped_column(Choice(FeedbackType))
    message: Mapped[str]
    status: Mapped[FeedbackStatus] = mapped_column(Choice(FeedbackStatus), server_default=FeedbackStatus.OPEN)
    created_at: Mapped[datetime] = created()


class TelegramSetting(Base):
    """Settings of the Telegram bot."""

    __tablename__ = "telegram_settings"

    key: Mapped[str] = mapped_column(LimitedText(100), primary_key=True)
    value: Mapped[str | None]
    updated_at: Mapped[datetime] = updated()


class Message(Base):
    """The queue of messages to people."""

    __tablename__ = "msg_messages"

    id: Mapped[int] = key()
    user_id: Mapped[int | None] = reference("usr_users", "set null")
    message_type: Mapped[str] = mapped_column(LimitedText(50))
    priority: Mapped[MessagePriority] = mapped_column(Choice(MessagePriority), server_default=MessagePriority.NORMAL)
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text).with_variant(JSON(none_as_null=True), "sqlite"))
    recipient: Mapped[str | None]
    subject: Mapped[str | None]
    content: Mapped[dict[str, Any]]
    status: Mapped[MessageStatus] = mapped_column(Choice(MessageStatus), server_default=MessageStatus.PENDING)
    scheduled_for: Mapped[datetime] = mapped_column(server_default=Now())
    locked_by: Mapped[str | None] = mapped_column(comment="The worker that is sending it")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(Integer, server_default=text("3"))
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    deliveries: Mapped[list[MessageDelivery]] = relationship(
        back_populates="message", lazy="raise", passive_deletes=True
    )

    __table_args__ = (index("status", "priority", "scheduled_for"),)


class MessageDelivery(Base):
    """What became of a message on each of its channels."""

    __tablename__ = "msg_delivery_status"

    id: Mapped[int] = key()
    message_id: Mapped[int] = reference("msg_messages", "cascade")
    channel: Mapped[str] = mapped_column(LimitedText(50))
    status: Mapped[DeliveryStatus] = mapped_column(Choice(DeliveryStatus))
    delivered_at: Mapped[datetime | None]
    response_time_ms: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None]
    external_id: Mapped[str | None] = mapped_column(comment="The message's identifier at the channel's provider")
    created_at: Mapped[datetime] = created()

    message: Mapped[Message] = relationship(back_populates="deliveries", lazy="raise")

    __table_args__ = (UniqueConstraint("message_id", "channel"),)


class SystemHealth(Base):
    """The last known health of each system and its components."""

    __tablename__ = "msg_system_health"

    id: Mapped[int] = key()
    system: Mapped[str] = mapped_column(
        LimitedText(50), comment="notification, telegram_bot, api_service, web_ui, trading_bot, database"
    )
    component: Mapped[str | None] = mapped_column(LimitedText(100), comment="Empty for the system as a whole")
    status: Mapped[HealthStatus] = mapped_column(Choice(HealthStatus))
    last_success: Mapped[datetime | None]
    last_failure: Mapped[datetime | None]
    failure_count: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="Failures since the last success"
    )
    avg_response_time_ms: Mapped[int | None] = mapped_column(Integer)
    error_message: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    checked_at: Mapped[datetime] = mapped_column(server_default=Now())

    # A system as a whole exists once too. SQLite knows no NULLS NOT DISTINCT.
    __table_args__ = (
        UniqueConstraint("system", "component", postgresql_nulls_not_distinct=True).ddl_if(dialect="postgresql"),
        Index("uq_msg_system_health_system_component", text("system, coalesce(component, '')"), unique=True).ddl_if(
            dialect="sqlite"
        ),
    )


class RateLimit(Base):
    """How many messages a person may still be sent on a channel: a bucket of tokens that refills."""

    __tablename__ = "msg_rate_limits"

    id: Mapped[int] = key()
    user_id: Mapped[int] = reference("usr_users", "cascade")
    channel: Mapped[str]
    tokens: Mapped[Decimal] = mapped_column(Exact(12, 4), comment="What is left, as of last_refill")
    max_tokens: Mapped[Decimal] = mapped_column(Exact(12, 4))
    refill_per_minute: Mapped[Decimal] = mapped_column(Exact(12, 4))
    last_refill: Mapped[datetime]

    __table_args__ = (UniqueConstraint("user_id", "channel"),)


class ChannelConfig(Base):
    """How each channel sends."""

    __tablename__ = "msg_channel_configs"

    id: Mapped[int] = key()
    channel: Mapped[str] = mapped_column(LimitedText(50), unique=True)
    enabled: Mapped[bool]
    config: Mapped[dict[str, Any]] = mapped_column(comment="Secrets only as names of settings, never their values")
    rate_limit_per_minute: Mapped[int] = mapped_column(Integer)
    max_retries: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = updated()
