"""What the web interface keeps: its audit log, templates and configuration."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, PrimaryKeyConstraint, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, LimitedText, created, index, key, part_key, reference, updated


class AuditLog(Base):
    """Who did what in the web interface, and from where; rows are added and never changed."""

    __tablename__ = "webui_audit_logs"

    id: Mapped[int] = part_key("webui_audit_logs")
    user_id: Mapped[int | None] = reference("usr_users", "set null")
    action: Mapped[str] = mapped_column(LimitedText(100))
    resource_type: Mapped[str | None]
    resource_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    ip_address: Mapped[str | None] = mapped_column(LimitedText(45))
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime] = created()

    __table_args__ = (
        PrimaryKeyConstraint("created_at", "id"),
        index("user_id"),
        index("id"),
        {"info": {"append_only": True}},
    )


class PerformanceSnapshot(Base):
    """A strategy's figures at one moment, computed once and shown often."""

    __tablename__ = "webui_performance_snapshots"

    id: Mapped[int] = key()
    strategy_id: Mapped[str] = mapped_column(LimitedText(100))
    timestamp: Mapped[datetime]
    pnl: Mapped[dict[str, Any]]
    positions: Mapped[dict[str, Any]]
    trades_count: Mapped[int] = mapped_column(Integer)
    win_rate: Mapped[dict[str, Any]]
    drawdown: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]

    __table_args__ = (index("strategy_id"),)


class StrategyTemplate(Base):
    """Strategies to start from, a person's own or everybody's."""

    __tablename__ = "webui_strategy_templates"

    id: Mapped[int] = key()
    name: Mapped[str] = mapped_column(LimitedText(100))
    description: Mapped[str | None]
    template_data: Mapped[dict[str, Any]]
    is_public: Mapped[bool] = mapped_column(server_default=false())
    created_by: Mapped[int] = reference("usr_users", "cascade")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    __table_args__ = (UniqueConstraint("created_by", "name"),)


class SystemConfig(Base):
    """Settings of the web interface."""

    __tablename__ = "webui_system_config"

    id: Mapped[int] = key()
    key: Mapped[str] = mapped_column(LimitedText(100), unique=True)
    value: Mapped[dict[str, Any]]
    description: Mapped[str | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()
